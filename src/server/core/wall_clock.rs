//! The `Date` of responses: the wall clock is read, and the date formatted, once a second.

use std::time::Duration;

use crate::wire::http::Date;

const NS_PER_S: u64 = 1_000_000_000;

/// The date as of the last reading.
#[derive(Debug)]
pub(super) struct WallClock {
    date: Date,
    /// Time at which the next second begins, in nanoseconds of the loop's clock; it bounds the delay of a clock change.
    until_ns: u64,
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock {
    /// Creates a clock that reads the time on its first use.
    pub fn new() -> Self {
        Self { date: Date::from_unix_s(0), until_ns: 0 }
    }

    /// Returns the date at `now_ns` of the loop's clock.
    pub fn date(&mut self, now_ns: u64, unix_time: impl FnOnce() -> Duration) -> Date {
        if now_ns >= self.until_ns {
            let since = unix_time();
            self.date = Date::from_unix_s(since.as_secs());
            self.until_ns = now_ns + NS_PER_S - u64::from(since.subsec_nanos());
        }
        self.date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_once_a_second() {
        let mut clock = WallClock::new();
        let unix_time = || Duration::new(784_111_777, 250_000_000);
        let date = clock.date(1, unix_time);
        assert_eq!(date, Date::from_unix_s(784_111_777));
        assert_eq!(clock.until_ns, 750_000_001);
        let later = || Duration::from_secs(784_111_778);
        assert_eq!(clock.date(clock.until_ns - 1, later), date, "the date is reused within the second");
        assert_ne!(clock.date(clock.until_ns, later), date);
    }
}
