//! Exact average speed with integer positions, at any tick rate.

use super::Tick;
use crate::limits::CLIENT_STEPS_PER_S;
use serde::{Deserialize, Serialize};

/// Converts ticks into distance. From the start of tick 0 to the start of tick n, a moving entity covers
/// `floor(n * speed / rate)` units: each step is an integer, and the average speed is exact at every tick rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Ticks per second.
    pub tick_rate_hz: u32,
    /// Thousandths of a unit per second.
    pub speed_milli_per_s: u32,
}

/// Thousandths of a unit in a unit.
const MILLI: u32 = 1_000;

impl Pace {
    /// Creates the pace of a client that moves `units_per_client_step` in each of its 24 steps per second.
    ///
    /// # Panics
    /// If the tick rate is 0.
    pub fn new(tick_rate_hz: u32, units_per_client_step: u32) -> Self {
        Self::of_milli(tick_rate_hz, units_per_client_step * MILLI)
    }

    /// Creates the pace of a client whose steps are given in thousandths of a unit.
    ///
    /// # Panics
    /// If the tick rate is 0.
    pub fn of_milli(tick_rate_hz: u32, milli_per_client_step: u32) -> Self {
        assert!(tick_rate_hz > 0, "the tick rate is positive");
        Self { tick_rate_hz, speed_milli_per_s: milli_per_client_step * CLIENT_STEPS_PER_S }
    }

    /// Returns the units that a moving entity covers in the `ticks` steps after tick `from`. Saturates at 2^20.
    pub fn distance(self, from: Tick, ticks: u32) -> i32 {
        let travelled = |tick: Tick| tick * u64::from(self.speed_milli_per_s) / self.milli_ticks_per_s();
        (travelled(from + Tick::from(ticks)) - travelled(from)).min(1 << 20) as i32
    }

    /// Returns the largest distance that a moving entity covers in this many ticks, in units, from any tick.
    pub fn distance_max(self, ticks: Tick) -> u64 {
        (ticks * u64::from(self.speed_milli_per_s)).div_ceil(self.milli_ticks_per_s())
    }

    /// Returns the mean distance of a tick in units times `parts`, rounded down.
    pub fn tick_distance_in(self, parts: u32) -> u32 {
        (u64::from(parts) * u64::from(self.speed_milli_per_s) / self.milli_ticks_per_s()) as u32
    }

    /// The divisor that makes units of thousandths per second times ticks.
    fn milli_ticks_per_s(self) -> u64 {
        u64::from(MILLI) * u64::from(self.tick_rate_hz)
    }

    /// Converts milliseconds to ticks, rounded up, at least one.
    pub fn ticks(self, milliseconds: u32) -> Tick {
        (u64::from(milliseconds) * u64::from(self.tick_rate_hz)).div_ceil(1000).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATES_HZ: [u32; 6] = [10, 20, 24, 30, 60, 128];

    proptest! {
        #[test]
        fn the_average_is_exact_from_any_tick(from in 0u64..1 << 40, seconds in 1u32..100, rate in 0usize..6) {
            let rate_hz = RATES_HZ[rate];
            let pace = Pace::new(rate_hz, 4);
            let single: i32 = (0..rate_hz * seconds).map(|n| pace.distance(from + u64::from(n), 1)).sum();
            prop_assert_eq!(single, 96 * seconds as i32);
            prop_assert_eq!(pace.distance(from, rate_hz * seconds), single, "one step over many ticks covers the same distance");
        }

        #[test]
        fn a_fraction_of_a_unit_is_exact_over_a_thousand_seconds(
            from in 0u64..1 << 32, milli in 1_000u32..=40_000, rate in 0usize..6, ticks in 1u32..1_000,
        ) {
            let pace = Pace::of_milli(RATES_HZ[rate], milli);
            prop_assert_eq!(pace.distance(from, 1_000 * RATES_HZ[rate]), 24 * milli as i32);
            let distance = pace.distance(from, ticks);
            let mean = f64::from(milli) * 24.0 * f64::from(ticks) / (1_000.0 * f64::from(RATES_HZ[rate]));
            prop_assert!((f64::from(distance) - mean).abs() < 1.0, "{} units, {} on average", distance, mean);
            prop_assert!(u64::from(distance.unsigned_abs()) <= pace.distance_max(Tick::from(ticks)));
            let halves = pace.distance(from, ticks / 2) + pace.distance(from + Tick::from(ticks / 2), ticks.div_ceil(2));
            prop_assert_eq!(halves, distance, "two steps cover the distance of one");
        }

        #[test]
        fn a_step_differs_from_the_mean_by_at_most_one_unit(tick in 0u64..1 << 40, rate in 0usize..6) {
            let pace = Pace::new(RATES_HZ[rate], 4);
            let step = pace.distance(tick, 1);
            let mean = 96 / pace.tick_rate_hz as i32;
            prop_assert!(step == mean || step == mean + 1);
        }
    }

    #[test]
    fn the_longest_suspension_does_not_overflow() {
        assert_eq!(Pace::new(10, 50).distance(0, u32::MAX), 1 << 20);
    }

    #[test]
    fn durations_round_up_to_whole_ticks() {
        assert_eq!(Pace::new(60, 4).ticks(50), 3);
        assert_eq!(Pace::new(60, 4).ticks(1), 1);
        assert_eq!(Pace::new(10, 4).ticks(1000), 10);
    }
}
