//! The `Date` of responses: the wall clock is read, and the date formatted, once a second.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Server;
use crate::wire::http::Date;

const NS_PER_S: u64 = 1_000_000_000;

/// The date as of the last reading.
#[derive(Debug)]
pub(super) struct WallClock {
    date: Date,
    /// Time at which the next second begins, in nanoseconds of the loop's clock. A change of the system clock takes
    /// effect by then.
    until_ns: u64,
}

impl WallClock {
    /// Creates a clock that reads the time on its first use.
    pub fn new() -> Self {
        Self { date: Date::from_unix_s(0), until_ns: 0 }
    }

    /// Returns the date at `now_ns` of the loop's clock.
    pub fn date(&mut self, now_ns: u64) -> Date {
        if now_ns >= self.until_ns {
            // A system clock before 1970 reads as 1970.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date = Date::from_unix_s(since.as_secs());
            self.until_ns = now_ns + NS_PER_S - u64::from(since.subsec_nanos());
        }
        self.date
    }
}

impl Server {
    /// Returns the date for responses sent now.
    pub(super) fn date(&mut self) -> Date {
        self.wall_clock.date(self.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_once_a_second() {
        let mut clock = WallClock::new();
        clock.date(1);
        assert!(clock.until_ns > 1 && clock.until_ns <= 1 + NS_PER_S, "{}", clock.until_ns);
        let later = Date::from_unix_s(784_111_777);
        clock.date = later;
        assert_eq!(clock.date(clock.until_ns - 1), later, "the date is reused within the second");
        assert_ne!(clock.date(clock.until_ns), later);
    }
}
