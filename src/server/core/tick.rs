//! Tick schedule: absolute deadlines, so that lateness does not accumulate. Pure: the caller passes the time.

use crate::limits::TICK_LATENESS_PERIODS_MAX;
use serde::{Deserialize, Serialize};

const NS_PER_S: u128 = 1_000_000_000;

/// Tick deadlines since the start: the n-th is exactly `n / rate` seconds after it, rounded down to nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Schedule {
    start_ns: u64,
    rate_hz: u32,
    /// Number of the next deadline; the start is number 0.
    next: u64,
}

/// A tick that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Ticks by which the world advances in one step.
    pub steps: u32,
    /// Ticks among them that were skipped.
    pub skipped: u32,
}

impl Schedule {
    /// Creates a schedule whose first deadline is one period after `start_ns`.
    ///
    /// # Panics
    /// Panics if the rate is 0.
    pub fn new(start_ns: u64, rate_hz: u32) -> Self {
        assert!(rate_hz > 0, "a schedule needs a rate");
        Self { start_ns, rate_hz, next: 1 }
    }

    /// Returns the next deadline, in nanoseconds of the caller's clock.
    pub fn deadline_ns(&self) -> u64 {
        let since_start = u128::from(self.next) * NS_PER_S / u128::from(self.rate_hz);
        self.start_ns + since_start as u64
    }

    /// Whether the next tick makes up for skipped ones.
    pub fn is_behind(&self, now_ns: u64) -> bool {
        // Every turn asks this: two products instead of the division of `periods_late`.
        let periods = u128::from(self.next) + u128::from(TICK_LATENESS_PERIODS_MAX) + 1;
        u128::from(now_ns - self.start_ns) * u128::from(self.rate_hz) >= periods * NS_PER_S
    }

    /// Returns the tick that is due, if any. Up to a lateness of [`TICK_LATENESS_PERIODS_MAX`] periods, missed ticks are returned
    /// one by one. After a longer suspension or starvation, one step covers all missed ticks, and they count as skipped.
    pub fn poll(&mut self, now_ns: u64) -> Option<Due> {
        if now_ns < self.deadline_ns() {
            return None;
        }
        let skipped = if self.is_behind(now_ns) { self.periods_late(now_ns) } else { 0 };
        // A step covers at most 2^32 - 1 ticks; after a suspension of two years, several steps follow.
        let skipped = u32::try_from(skipped).unwrap_or(u32::MAX - 1);
        self.next += 1 + u64::from(skipped);
        Some(Due { steps: 1 + skipped, skipped })
    }

    /// Returns the whole periods since the next deadline.
    fn periods_late(&self, now_ns: u64) -> u64 {
        let elapsed = u128::from(now_ns - self.start_ns) * u128::from(self.rate_hz) / NS_PER_S;
        (elapsed as u64).saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD_NS: u64 = 16_666_667;

    #[test]
    fn late_ticks_are_caught_up_one_by_one_or_in_one_step() {
        let mut schedule = Schedule::new(500, 60);
        assert_eq!(schedule.poll(500 + PERIOD_NS - 2), None);
        // The time of the polls, and what is due then.
        for (now_ns, due) in [
            (500 + PERIOD_NS, vec![Due { steps: 1, skipped: 0 }]),
            (500 + 5 * PERIOD_NS, vec![Due { steps: 1, skipped: 0 }; 4]),
            (500 + 10_000_000_000, vec![Due { steps: 595, skipped: 594 }]),
        ] {
            assert_eq!(schedule.is_behind(now_ns), due[0].skipped > 0, "at {now_ns} ns");
            let polled: Vec<Due> = std::iter::from_fn(|| schedule.poll(now_ns)).collect();
            assert_eq!(polled, due, "at {now_ns} ns");
        }
    }

    proptest! {
        #[test]
        fn no_tick_is_lost_or_repeated(
            rate in 10u32..=128, pauses in proptest::collection::vec(1u64..200_000_000, 1..200),
        ) {
            let mut schedule = Schedule::new(7, rate);
            let (mut now, mut steps) = (7u64, 0u64);
            for pause in pauses {
                now += pause;
                while let Some(due) = schedule.poll(now) {
                    steps += u64::from(due.steps);
                }
                // A deadline is rounded down to a nanosecond, so a tick is due in the nanosecond that contains its exact time.
                prop_assert_eq!(steps, ((now - 7 + 1) * u64::from(rate) - 1) / 1_000_000_000);
            }
        }
    }
}
