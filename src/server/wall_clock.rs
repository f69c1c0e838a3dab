//! The date of answers: the wall clock is read, and the date written out, once a second.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Server;
use crate::wire::http::Date;

const NS_PER_S: u64 = 1_000_000_000;

/// The date that was written last.
#[derive(Debug)]
pub(super) struct WallClock {
    date: Date,
    /// When the next second begins, in nanoseconds of the loop's clock. A clock that is set shows by then.
    until_ns: u64,
}

impl WallClock {
    /// A clock that reads the time when it is asked first.
    pub fn new() -> Self {
        Self { date: Date::from_unix_s(0), until_ns: 0 }
    }

    /// The date now, which is `now_ns` on the loop's clock.
    pub fn date(&mut self, now_ns: u64) -> Date {
        if now_ns >= self.until_ns {
            // A clock before 1970 shows 1970.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date = Date::from_unix_s(since.as_secs());
            self.until_ns = now_ns + NS_PER_S - u64::from(since.subsec_nanos());
        }
        self.date
    }
}

impl Server {
    /// The date of answers given now.
    pub(super) fn date(&mut self) -> Date {
        self.wall_clock.date(self.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_once_a_second() {
        let mut clock = WallClock::new();
        clock.date(1);
        assert!(clock.until_ns > 1 && clock.until_ns <= 1 + NS_PER_S, "{}", clock.until_ns);
        let later = Date::from_unix_s(784_111_777);
        clock.date = later;
        assert_eq!(clock.date(clock.until_ns - 1), later, "what was written is used again");
        assert_ne!(clock.date(clock.until_ns), later);
    }
}
