//! Sliding windows over tick durations and rates. The constants here bound the memory; the caller passes times in.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Ticks in the window of the percentiles: 17 s at 60 Hz.
pub(super) const TICKS_KEPT: usize = 1_024;

/// Window of the rates, in seconds.
pub(super) const RATE_WINDOW_S: u64 = 5;

const RATE_WINDOW_NS: u64 = RATE_WINDOW_S * NS_PER_S;

/// Load samples kept: one per second of the window, and the one at its start.
const SAMPLES_KEPT: usize = RATE_WINDOW_S as usize + 1;

const NS_PER_S: u64 = 1_000_000_000;

/// Percentiles of the last 1,024 tick durations, in nanoseconds: exact, by nearest rank. Zero before the first tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickPercentiles {
    /// Half of the ticks took at most this long.
    pub p50_ns: u64,
    /// 99 of 100 ticks took at most this long.
    pub p99_ns: u64,
    /// The longest tick.
    pub max_ns: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Tick {
    ended_ns: u64,
    duration_ns: u64,
}

/// The last ticks, and a histogram of all ticks since the start.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TickWindow {
    /// At most [`TICKS_KEPT`], the newest last.
    last: VecDeque<Tick>,
    histogram: Histogram,
}

impl TickWindow {
    pub(super) fn record(&mut self, ended_ns: u64, duration_ns: u64) {
        if self.last.len() == TICKS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Tick { ended_ns, duration_ns });
        self.histogram.record(duration_ns);
    }

    pub(super) fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    pub(super) fn last_duration_ns(&self) -> u64 {
        self.last.back().map_or(0, |tick| tick.duration_ns)
    }

    pub(super) fn percentiles(&self) -> TickPercentiles {
        let mut sorted: Vec<u64> = self.last.iter().map(|tick| tick.duration_ns).collect();
        sorted.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            rank.checked_sub(1).map_or(0, |at| sorted[at])
        };
        TickPercentiles { p50_ns: percentile(50), p99_ns: percentile(99), max_ns: percentile(100) }
    }

    /// Returns ticks per second over the window that ends with the last tick.
    pub(super) fn rate_hz(&self) -> f64 {
        let Some(newest) = self.last.back() else { return 0.0 };
        let start_ns = newest.ended_ns.saturating_sub(RATE_WINDOW_NS);
        let first = self.last.partition_point(|tick| tick.ended_ns < start_ns);
        let periods = self.last.len() - first - 1;
        ratio(periods as u64 * NS_PER_S, newest.ended_ns - self.last[first].ended_ns)
    }
}

/// Buckets of a [`Histogram`].
const BUCKETS: usize = 13;

/// Histogram of durations since the start.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Histogram {
    /// One count per bucket; the last counts durations above all bounds.
    counts: [u64; BUCKETS],
    sum_ns: u64,
}

impl Histogram {
    /// Inclusive upper bounds of the buckets, in nanoseconds. 16.7 ms is the tick period at 60 Hz.
    const BOUNDS_NS: [u64; BUCKETS - 1] = [
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 16_700_000, 25_000_000,
        50_000_000, 100_000_000, 250_000_000,
    ];

    pub(super) fn record(&mut self, duration_ns: u64) {
        self.counts[Self::BOUNDS_NS.partition_point(|&bound_ns| bound_ns < duration_ns)] += 1;
        self.sum_ns += duration_ns;
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// Iterates over each bound, in nanoseconds, with the number of durations up to it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        Self::BOUNDS_NS.iter().zip(self.counts).scan(0, |sum, (&bound_ns, count)| {
            *sum += count;
            Some((bound_ns, *sum))
        })
    }
}

/// The counters from which the rates are computed, at one point in time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct LoadSample {
    pub(super) at_ns: u64,
    pub(super) messages_in_total: u64,
    pub(super) busy_ns_total: u64,
}

/// Load samples of the last seconds, one per second.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LoadWindow {
    /// At most [`SAMPLES_KEPT`], the newest last, at least a second apart.
    samples: VecDeque<LoadSample>,
}

impl LoadWindow {
    pub(super) fn sample(&mut self, sample: LoadSample) {
        if self.samples.back().is_some_and(|last| sample.at_ns < last.at_ns + NS_PER_S) {
            return;
        }
        if self.samples.len() == SAMPLES_KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn events_per_second(&self) -> f64 {
        self.ends().map_or(0.0, |(first, last)| {
            let messages = last.messages_in_total - first.messages_in_total;
            ratio(messages * NS_PER_S, last.at_ns - first.at_ns)
        })
    }

    pub(super) fn busy_ratio(&self) -> f64 {
        self.ends().map_or(0.0, |(first, last)| {
            ratio(last.busy_ns_total - first.busy_ns_total, last.at_ns - first.at_ns).min(1.0)
        })
    }

    fn ends(&self) -> Option<(&LoadSample, &LoadSample)> {
        Some((self.samples.front()?, self.samples.back()?))
    }
}

/// Divides; zero if `whole` is zero.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[track_caller]
    fn assert_close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
    }

    #[test]
    fn percentiles_are_exact() {
        let mut ticks = TickWindow::default();
        assert_eq!(ticks.percentiles(), TickPercentiles::default());
        for n in 0..100 {
            // 1 to 100, shuffled.
            ticks.record(n, n * 37 % 100 + 1);
        }
        assert_eq!(ticks.percentiles(), TickPercentiles { p50_ns: 50, p99_ns: 99, max_ns: 100 });
        ticks.record(100, 1_000);
        assert_eq!(ticks.percentiles(), TickPercentiles { p50_ns: 51, p99_ns: 100, max_ns: 1_000 });
        assert_eq!(ticks.last_duration_ns(), 1_000);
    }

    #[test]
    fn percentiles_drop_old_ticks_and_the_histogram_keeps_them() {
        let mut ticks = TickWindow::default();
        ticks.record(0, 9_999);
        for n in 1..=TICKS_KEPT as u64 {
            ticks.record(n, 5);
        }
        assert_eq!(ticks.percentiles(), TickPercentiles { p50_ns: 5, p99_ns: 5, max_ns: 5 });
        assert_eq!(ticks.histogram().count(), TICKS_KEPT as u64 + 1);
        assert_eq!(ticks.histogram().sum_ns(), 9_999 + 5 * TICKS_KEPT as u64);
    }

    #[test]
    fn histogram_bounds_are_inclusive() {
        let mut histogram = Histogram::default();
        for duration_ns in [100_000, 100_001, 250_000, 900 * MS] {
            histogram.record(duration_ns);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[..2], [(100_000, 1), (250_000, 3)]);
        assert_eq!(cumulative.last(), Some(&(250 * MS, 3)));
        assert_eq!(histogram.count(), 4);
    }

    #[test]
    fn the_tick_rate_covers_five_seconds() {
        let mut ticks = TickWindow::default();
        assert_close(ticks.rate_hz(), 0.0);
        ticks.record(0, 1);
        assert_close(ticks.rate_hz(), 0.0);
        for n in 1..=10 {
            ticks.record(n * 100 * MS, 1);
        }
        assert_close(ticks.rate_hz(), 10.0);
        for n in 1..=250 {
            ticks.record(1_000 * MS + n * 20 * MS, 1);
        }
        assert_close(ticks.rate_hz(), 50.0);
    }

    #[test]
    fn load_is_averaged_over_the_window() {
        let mut load = LoadWindow::default();
        let mut sample = |at_ms: u64, messages_in_total, busy_ms: u64| {
            load.sample(LoadSample { at_ns: at_ms * MS, messages_in_total, busy_ns_total: busy_ms * MS });
            (load.events_per_second(), load.busy_ratio())
        };
        let (events, busy) = sample(10_000, 0, 0);
        assert_close(events, 0.0);
        assert_close(busy, 0.0);
        let (events, _) = sample(10_500, 900, 100);
        assert_close(events, 0.0);
        let (events, busy) = sample(12_000, 1_000, 500);
        assert_close(events, 500.0);
        assert_close(busy, 0.25);
        for second in 13..=17 {
            sample(second * 1_000, 1_000, 500);
        }
        let (events, busy) = sample(18_000, 1_600, 9_000);
        assert_close(events, 120.0);
        assert_close(busy, 1.0);
    }
}
