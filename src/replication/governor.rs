//! The load governor: degrades replication while the event loop is overloaded, and restores it afterwards.
//!
//! Quality is reduced in this order: flushes become rarer, with at most one interest update per five flushes;
//! then interest updates become rarer, unless they are at one per second already; then interest sets shrink. The tick rate never changes. The
//! governor is pure: the caller passes in the time.
//!
//! The event loop is overloaded if its CPU time leaves too little slack, or if flush rounds outlast their
//! ticks for any reason, such as a CPU quota or a noisy neighbor. The governor uses CPU time rather than
//! wall-clock time, so that a moment of preemption does not degrade quality.
//!
//! An overloaded window moves to the next [`QualityLevel`]. The previous level is restored only if the
//! window's work would still fit after growing with that level's rates. A shorter flush interval scales all
//! of the work; more interest updates or larger interest sets scale the replication work. This bound prevents
//! oscillation: restoring a level never causes the overload that would degrade it again.

use serde::{Deserialize, Serialize};

/// The settings of one quality level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityLevel {
    /// Time between two flushes of a viewer, in milliseconds.
    pub flush_interval_ms: u32,
    /// Interest updates per second and viewer.
    pub visibility_rate_hz: u32,
    /// Maximum size of an interest set.
    pub max_visible: usize,
}

/// Cumulative work of the event loop since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// CPU time of the event loop's thread, in nanoseconds.
    pub busy_ns: u64,
    /// Part of the CPU time spent on interest updates and encoding, in nanoseconds.
    pub replication_ns: u64,
    /// Number of ticks.
    pub ticks: u64,
    /// Number of ticks at which the flush round of an earlier tick was still unfinished.
    pub overruns: u64,
}

/// Chooses the quality level. Level 0 is the configured one; higher levels are more degraded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Governor {
    levels: Vec<QualityLevel>,
    level: usize,
    window_start_ns: u64,
    at_start: Load,
    calm_windows: u32,
    busy_windows: u32,
    degradations_total: u64,
}

/// Length of the measurement window between decisions, in nanoseconds.
const WINDOW_NS: u64 = 500_000_000;

/// Share of a window, in percent, above which the event loop is overloaded.
const BUSY_PERCENT_MAX: u64 = 90;

/// Share, in percent, above which two levels are degraded: without idle time the overload is unknown.
const BUSY_PERCENT_ALARM: u64 = 97;

/// Maximum estimated share after restoring a level, in percent.
const BUSY_PERCENT_AFTER_RESTORE: u64 = 86;

/// Share of a window's ticks, in percent, that may overrun before the event loop counts as overloaded.
const OVERRUN_PERCENT_MAX: u64 = 30;

/// Maximum share of overrunning ticks at which a level is restored, in percent.
const OVERRUN_PERCENT_CALM: u64 = 5;

/// Consecutive windows that must allow restoring a level before it is restored.
const CALM_WINDOWS: u32 = 6;

/// Consecutive overloaded windows before levels beyond the longest flush interval are used. A burst of joins
/// is short, and smaller interest sets would not reduce the cost of admitting players.
const SUSTAINED_WINDOWS: u32 = 8;

/// The longest flush interval of a level, in milliseconds. A longer configured interval is kept.
///
/// Flushes farther apart than the peer's retransmission timeout cost more, not less. After such a gap Linux
/// acknowledges each of the next 16 segments separately (`tcp_event_data_recv`), which raises the cost of a
/// write by half. The timeout is 200 ms plus the round trip, and a flush round may be late by three ticks.
const FLUSH_INTERVAL_MS_MAX: u32 = 150;

/// Minimum number of flushes per interest update on degraded levels. An interest update costs more than a delta and changes
/// less on the screen. In a crowd it also exchanges members at the edge, so rarer updates mean fewer sprites to load.
const FLUSHES_PER_INTEREST_UPDATE: u32 = 5;

/// Minimum size limit of an interest set on any level.
const VISIBLE_MIN: usize = 32;

impl Governor {
    /// Returns a governor at the configured quality level.
    pub fn new(configured: QualityLevel, now_ns: u64) -> Self {
        Self {
            levels: quality_levels(configured),
            level: 0,
            window_start_ns: now_ns,
            at_start: Load::default(),
            calm_windows: 0,
            busy_windows: 0,
            degradations_total: 0,
        }
    }

    /// Replaces the configured quality; the current level is kept, or the highest one if there are fewer now.
    pub fn reconfigure(&mut self, configured: QualityLevel) {
        self.levels = quality_levels(configured);
        self.level = self.level.min(self.levels.len() - 1);
        self.calm_windows = 0;
    }

    /// Returns the current quality.
    pub fn quality(&self) -> QualityLevel {
        self.levels[self.level]
    }

    /// Returns the current level; 0 is the configured quality.
    pub fn level(&self) -> usize {
        self.level
    }

    /// Returns the configured quality.
    pub fn configured(&self) -> QualityLevel {
        self.levels[0]
    }

    /// Returns the highest level.
    pub fn level_max(&self) -> usize {
        self.levels.len() - 1
    }

    /// Returns the number of degradations since the start.
    pub fn degradations_total(&self) -> u64 {
        self.degradations_total
    }

    /// Records the load so far. Returns the new quality if it changed.
    pub fn observe(&mut self, now_ns: u64, load: Load) -> Option<QualityLevel> {
        let elapsed_ns = now_ns.saturating_sub(self.window_start_ns);
        if elapsed_ns < WINDOW_NS {
            return None;
        }
        let before = self.level;
        let busy_ns = load.busy_ns.saturating_sub(self.at_start.busy_ns);
        let replication_ns = load.replication_ns.saturating_sub(self.at_start.replication_ns).min(busy_ns);
        let ticks = load.ticks.saturating_sub(self.at_start.ticks).max(1);
        let overruns = load.overruns.saturating_sub(self.at_start.overruns);
        (self.window_start_ns, self.at_start) = (now_ns, load);
        let percent = |ns: u64| ns * 100 / elapsed_ns;
        self.decide(percent(busy_ns), percent(replication_ns), overruns * 100 / ticks);
        (self.level != before).then(|| self.quality())
    }

    fn decide(&mut self, busy_percent: u64, replication_percent: u64, overrun_percent: u64) {
        if busy_percent > BUSY_PERCENT_MAX || overrun_percent > OVERRUN_PERCENT_MAX {
            let steps = if busy_percent > BUSY_PERCENT_ALARM { 2 } else { 1 };
            self.busy_windows += 1;
            self.calm_windows = 0;
            self.degrade(steps);
            return;
        }
        self.busy_windows = 0;
        let restore_fits = self.level > 0
            && overrun_percent <= OVERRUN_PERCENT_CALM
            && self.busy_percent_after_restore(busy_percent, replication_percent)
                <= BUSY_PERCENT_AFTER_RESTORE;
        self.calm_windows = if restore_fits { self.calm_windows + 1 } else { 0 };
        if self.calm_windows >= CALM_WINDOWS {
            self.level -= 1;
            self.calm_windows = 0;
        }
    }

    fn degrade(&mut self, steps: usize) {
        let mut highest = self.levels.len() - 1;
        if self.busy_windows < SUSTAINED_WINDOWS {
            let longest_ms = self.levels[highest].flush_interval_ms;
            let first = self.levels.iter().position(|quality| quality.flush_interval_ms == longest_ms);
            highest = first.unwrap_or(highest).max(self.level);
        }
        let level = (self.level + steps).min(highest);
        self.degradations_total += u64::from(level > self.level);
        self.level = level;
    }

    /// Returns an upper bound on the event loop's busy share at the next lower level, in percent.
    fn busy_percent_after_restore(&self, busy_percent: u64, replication_percent: u64) -> u64 {
        let (here, below) = (self.levels[self.level], self.levels[self.level - 1]);
        let grown = |work: u64, above: u64, under: u64| (work * above).div_ceil(under);
        let flushes =
            grown(busy_percent, u64::from(here.flush_interval_ms), u64::from(below.flush_interval_ms));
        let updates = grown(
            replication_percent,
            u64::from(below.visibility_rate_hz),
            u64::from(here.visibility_rate_hz),
        );
        let visible = grown(replication_percent, below.max_visible as u64, here.max_visible as u64);
        // A shorter flush interval and more updates add up; the size of interest sets never changes with them.
        flushes + updates.max(visible) - replication_percent
    }
}

/// Returns the levels from the configured quality to the lowest acceptable quality.
fn quality_levels(configured: QualityLevel) -> Vec<QualityLevel> {
    let mut quality = configured;
    let mut levels = vec![quality];
    while quality.flush_interval_ms < FLUSH_INTERVAL_MS_MAX {
        quality.flush_interval_ms = (quality.flush_interval_ms * 4 / 3).min(FLUSH_INTERVAL_MS_MAX);
        let updates_hz = (1000 / (FLUSHES_PER_INTEREST_UPDATE * quality.flush_interval_ms)).max(1);
        quality.visibility_rate_hz = quality.visibility_rate_hz.min(updates_hz);
        levels.push(quality);
    }
    for rate_hz in [3, 2, 1] {
        if rate_hz < quality.visibility_rate_hz {
            quality.visibility_rate_hz = rate_hz;
            levels.push(quality);
        }
    }
    while quality.max_visible > VISIBLE_MIN {
        quality.max_visible = (quality.max_visible / 2).max(VISIBLE_MIN);
        levels.push(quality);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: QualityLevel =
        QualityLevel { flush_interval_ms: 50, visibility_rate_hz: 5, max_visible: 128 };

    /// A simulated server. Its busy percentage is a base plus the cost of flushes and updates, with noise.
    struct Plant {
        base: f64,
        flushes: f64,
        updates: f64,
        noise: f64,
    }

    impl Plant {
        fn busy_percent(&self, quality: QualityLevel, window: u64) -> f64 {
            let noise = ((window.wrapping_mul(2_654_435_761) >> 7) % 1000) as f64 / 500.0 - 1.0;
            let flushes = self.flushes * 50.0 / f64::from(quality.flush_interval_ms) * 0.5;
            (self.base + flushes + self.replication_percent(quality) + self.noise * noise).clamp(0.0, 100.0)
        }

        /// Half of the cost of a flush is encoding; the other half is the write.
        fn replication_percent(&self, quality: QualityLevel) -> f64 {
            let visible = quality.max_visible as f64 / 128.0;
            let flushes = self.flushes * 50.0 / f64::from(quality.flush_interval_ms) * 0.5;
            (flushes + self.updates * f64::from(quality.visibility_rate_hz) / 5.0) * visible
        }
    }

    /// Runs for a number of windows; returns the level after each.
    fn run(governor: &mut Governor, plant: &Plant, windows: u64) -> Vec<usize> {
        let (mut now, mut load) = (governor.window_start_ns, governor.at_start);
        (0..windows)
            .map(|window| {
                now += WINDOW_NS;
                let spent = |percent: f64| (percent * WINDOW_NS as f64 / 100.0) as u64;
                load.busy_ns += spent(plant.busy_percent(governor.quality(), window));
                load.replication_ns += spent(plant.replication_percent(governor.quality()));
                load.ticks += 30;
                governor.observe(now, load);
                governor.level()
            })
            .collect()
    }

    #[test]
    fn the_number_of_levels_depends_on_the_configured_quality() {
        let level_max = |flush_interval_ms, max_visible| {
            let configured = QualityLevel { flush_interval_ms, max_visible, ..CONFIGURED };
            let mut governor = Governor::new(CONFIGURED, 0);
            governor.reconfigure(configured);
            assert_eq!(governor.configured(), configured);
            governor.level_max()
        };
        assert_eq!((level_max(50, 128), level_max(100, 128), level_max(100, 32)), (6, 4, 2));
    }

    #[test]
    fn keeps_the_configured_quality_without_overload() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 30.0, flushes: 40.0, updates: 5.0, noise: 4.0 };
        assert!(run(&mut governor, &plant, 500).iter().all(|&level| level == 0));
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn overload_lengthens_the_flush_interval_within_seconds() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 25.0, flushes: 130.0, updates: 10.0, noise: 3.0 };
        run(&mut governor, &plant, 8);
        let quality = governor.quality();
        assert!(plant.busy_percent(quality, 0) <= 85.0, "{quality:?}");
        assert_eq!((quality.visibility_rate_hz, quality.max_visible), (1, 128), "{quality:?}");
        assert!(quality.flush_interval_ms > 50 && quality.flush_interval_ms <= 150);
    }

    #[test]
    fn permanent_overload_stops_at_the_highest_level() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 99.0, flushes: 50.0, updates: 50.0, noise: 0.0 };
        run(&mut governor, &plant, 100);
        let last = QualityLevel { flush_interval_ms: 150, visibility_rate_hz: 1, max_visible: VISIBLE_MIN };
        assert_eq!(governor.quality(), last);
    }

    #[test]
    fn restores_the_configured_quality_when_the_load_falls() {
        let mut governor = Governor::new(CONFIGURED, 0);
        run(&mut governor, &Plant { base: 60.0, flushes: 130.0, updates: 30.0, noise: 3.0 }, 60);
        assert!(governor.level() > 3);
        run(&mut governor, &Plant { base: 5.0, flushes: 10.0, updates: 3.0, noise: 3.0 }, 200);
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn restores_interest_sets_after_a_burst_even_if_sockets_keep_the_server_busy() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let service = Plant { base: 50.0, flushes: 60.0, updates: 5.0, noise: 3.0 };
        run(&mut governor, &Plant { base: 99.0, ..service }, 60);
        assert_eq!(governor.quality().max_visible, VISIBLE_MIN);
        run(&mut governor, &service, 100);
        let quality = governor.quality();
        assert_eq!((quality.visibility_rate_hz, quality.max_visible), (1, 128), "{quality:?}");
    }

    #[test]
    fn a_short_burst_does_not_shrink_interest_sets() {
        let mut governor = Governor::new(CONFIGURED, 0);
        run(&mut governor, &Plant { base: 99.0, flushes: 20.0, updates: 5.0, noise: 0.0 }, 7);
        let quality = governor.quality();
        assert_eq!(
            (quality.flush_interval_ms, quality.visibility_rate_hz, quality.max_visible),
            (150, 1, 128)
        );
    }

    #[test]
    fn does_not_oscillate_under_steady_load() {
        for load in 1..60 {
            let mut governor = Governor::new(CONFIGURED, 0);
            let plant = Plant { base: 20.0, flushes: f64::from(load) * 5.0, updates: 10.0, noise: 3.0 };
            run(&mut governor, &plant, 40);
            let levels = run(&mut governor, &plant, 400);
            let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 4, "load {load}: {changes} changes in 200 s");
        }
    }

    #[test]
    fn overrunning_rounds_are_overload_even_at_low_cpu_time() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let mut load = Load::default();
        for window in 1..=10 {
            load = Load { ticks: load.ticks + 30, overruns: load.overruns + 12, ..load };
            governor.observe(window * WINDOW_NS, load);
        }
        assert_eq!(governor.level(), 6);
    }

    #[test]
    fn reconfiguring_takes_effect_immediately_and_keeps_the_level() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let configured = QualityLevel { flush_interval_ms: 100, max_visible: 64, ..CONFIGURED };
        governor.reconfigure(configured);
        assert_eq!(governor.quality(), configured);
        run(&mut governor, &Plant { base: 99.0, flushes: 50.0, updates: 50.0, noise: 0.0 }, 100);
        governor.reconfigure(QualityLevel { flush_interval_ms: 1000, max_visible: 8, visibility_rate_hz: 1 });
        assert_eq!(governor.level(), 0, "the new quality has a single level");
        governor.reconfigure(CONFIGURED);
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn degraded_levels_have_at_least_five_flushes_per_interest_update() {
        let rates: Vec<_> = quality_levels(CONFIGURED)
            .iter()
            .map(|quality| (quality.flush_interval_ms, quality.visibility_rate_hz))
            .collect();
        assert_eq!(rates, [(50, 5), (66, 3), (88, 2), (117, 1), (150, 1), (150, 1), (150, 1)]);
        assert!(rates.iter().skip(1).all(|(flush_ms, updates_hz)| 5 * flush_ms * updates_hz <= 1000));
    }

    #[test]
    fn a_longer_configured_interval_is_never_shortened() {
        let configured = QualityLevel { flush_interval_ms: 1000, ..CONFIGURED };
        assert!(quality_levels(configured).iter().all(|quality| quality.flush_interval_ms == 1000));
    }
}
