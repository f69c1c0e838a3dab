//! The load governor: when the loop is too busy, viewers are told less often, and looked after at every fifth telling at
//! most; then looked after less often still, then shown fewer others, in this order. The tick stays what it is. Pure: the
//! caller brings the time.
//!
//! Too busy means one of two things: the loop's own processor time leaves too little slack, or its rounds do not end
//! within their ticks, for whatever reason (a quota, a neighbour). Processor time and not the clock, so that a moment
//! in which somebody else had the processor costs nobody anything.
//!
//! What can be given up is a ladder of [`QualityLevel`]s. A window that was too busy climbs; stepping down waits until the
//! window's work, were all that may grow with the lower rung's rate to grow, would still fit: everything when flushes
//! come more often, the work on views when more is looked at or shown. That bound is what keeps the governor from
//! oscillating: a step down never causes the overload that would lead straight back up.

/// The measures of one rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityLevel {
    /// Time between two flushes of one viewer, in milliseconds.
    pub flush_interval_ms: u32,
    /// Looks a second of one viewer.
    pub visibility_rate_hz: u32,
    /// Most players shown to one viewer.
    pub max_visible: usize,
}

/// What the loop has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Processor time of the loop's thread, in nanoseconds.
    pub busy_ns: u64,
    /// The part of it that went into finding out and encoding what viewers are told, in nanoseconds.
    pub replication_ns: u64,
    /// Ticks.
    pub ticks: u64,
    /// Ticks at which the round of an earlier one was still under way.
    pub overruns: u64,
}

/// Decides on which rung the server stands.
#[derive(Debug, Clone)]
pub struct Governor {
    levels: Vec<QualityLevel>,
    level: usize,
    window_start_ns: u64,
    at_start: Load,
    calm_windows: u32,
    busy_windows: u32,
    degradations_total: u64,
}

/// How long the load is watched before anything is decided, in nanoseconds.
const WINDOW_NS: u64 = 500_000_000;

/// The part of a window in which the loop may be busy before the governor climbs, in percent.
const BUSY_PERCENT_MAX: u64 = 90;

/// Above this, in percent, it climbs two rungs at once: such a loop has no time left to measure with.
const BUSY_PERCENT_ALARM: u64 = 97;

/// How busy the loop may become by a step down at the worst, in percent.
const BUSY_PERCENT_AFTER_RESTORE: u64 = 86;

/// The part of a window's ticks that may find the round before them unfinished before the governor climbs, in percent.
const OVERRUN_PERCENT_MAX: u64 = 30;

/// No step down while more than this part of the ticks finds the round before them unfinished, in percent.
const OVERRUN_PERCENT_CALM: u64 = 5;

/// Windows in a row that must allow a step down before it is taken.
const CALM_WINDOWS: u32 = 6;

/// Windows in a row that must be too busy before anything but the flush interval is given up: a rush of players passes,
/// and to show them fewer of the others would not help against what it costs to let them in.
const SUSTAINED_WINDOWS: u32 = 8;

/// The longest flush interval the ladder reaches, in milliseconds; a longer configured one stays as it is.
///
/// Flushes that are farther apart than the peer's retransmission timeout cost more, not less: after such a gap Linux
/// acknowledges each of the next sixteen segments by itself (`tcp_event_data_recv`), and what a write costs goes up by half.
/// The timeout is 200 ms and the round trip, and a round may be late by three ticks.
const FLUSH_INTERVAL_MS_MAX: u32 = 150;

/// Flushes to a look, once anything is given up: to find out whom to show costs more than to tell what those do, and shows
/// less for it. In a crowd, looks also exchange those at the edge, who come and go: fewer looks, fewer sprites to load.
const FLUSHES_PER_INTEREST_UPDATE: u32 = 5;

/// Fewest players shown, however busy the server is.
const VISIBLE_MIN: usize = 32;

impl Governor {
    /// A governor on the lowest rung, which is what the operator configured.
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

    /// Starts from other measures, as far up as it stands.
    pub fn reconfigure(&mut self, configured: QualityLevel) {
        self.levels = quality_levels(configured);
        self.level = self.level.min(self.levels.len() - 1);
        self.calm_windows = 0;
    }

    /// The measures in force.
    pub fn quality(&self) -> QualityLevel {
        self.levels[self.level]
    }

    /// How far up it stands; 0 is the configured measures.
    pub fn level(&self) -> usize {
        self.level
    }

    /// The measures that were configured.
    pub fn configured(&self) -> QualityLevel {
        self.levels[0]
    }

    /// How far up it can stand.
    pub fn level_max(&self) -> usize {
        self.levels.len() - 1
    }

    /// How often it has climbed since the start.
    pub fn degradations_total(&self) -> u64 {
        self.degradations_total
    }

    /// Takes note of the load so far. Returns the new measures when they change.
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

    /// How busy the loop could be one rung down at the most, in percent.
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
        // More looks at more flushes are both counted; what is shown changes in steps of its own.
        flushes + updates.max(visible) - replication_percent
    }
}

/// From the configured measures to the least that is still a game.
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

    /// A server whose busy time, in percent, is a base, plus flushes, looks and what they show; with some noise.
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

        /// Half of what a flush costs is telling what is shown; the rest is the write.
        fn replication_percent(&self, quality: QualityLevel) -> f64 {
            let visible = quality.max_visible as f64 / 128.0;
            let flushes = self.flushes * 50.0 / f64::from(quality.flush_interval_ms) * 0.5;
            (flushes + self.updates * f64::from(quality.visibility_rate_hz) / 5.0) * visible
        }
    }

    /// Runs for some windows; returns the level after each.
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
    fn the_highest_level_follows_from_what_was_configured() {
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
    fn a_server_at_ease_keeps_what_was_configured() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 30.0, flushes: 40.0, updates: 5.0, noise: 4.0 };
        assert!(run(&mut governor, &plant, 500).iter().all(|&level| level == 0));
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn overload_is_answered_within_seconds_and_by_flushing_less_often_first() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 25.0, flushes: 130.0, updates: 10.0, noise: 3.0 };
        run(&mut governor, &plant, 8);
        let quality = governor.quality();
        assert!(plant.busy_percent(quality, 0) <= 85.0, "{quality:?}");
        assert_eq!((quality.visibility_rate_hz, quality.max_visible), (1, 128), "{quality:?}");
        assert!(quality.flush_interval_ms > 50 && quality.flush_interval_ms <= 150);
    }

    #[test]
    fn the_worst_overload_ends_at_the_last_rung_and_no_further() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let plant = Plant { base: 99.0, flushes: 50.0, updates: 50.0, noise: 0.0 };
        run(&mut governor, &plant, 100);
        let last = QualityLevel { flush_interval_ms: 150, visibility_rate_hz: 1, max_visible: VISIBLE_MIN };
        assert_eq!(governor.quality(), last);
    }

    #[test]
    fn what_was_given_up_is_taken_back_when_the_load_falls() {
        let mut governor = Governor::new(CONFIGURED, 0);
        run(&mut governor, &Plant { base: 60.0, flushes: 130.0, updates: 30.0, noise: 3.0 }, 60);
        assert!(governor.level() > 3);
        run(&mut governor, &Plant { base: 5.0, flushes: 10.0, updates: 3.0, noise: 3.0 }, 200);
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn a_server_kept_busy_by_its_sockets_shows_everybody_again_after_a_rush() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let service = Plant { base: 50.0, flushes: 60.0, updates: 5.0, noise: 3.0 };
        run(&mut governor, &Plant { base: 99.0, ..service }, 60);
        assert_eq!(governor.quality().max_visible, VISIBLE_MIN);
        run(&mut governor, &service, 100);
        let quality = governor.quality();
        assert_eq!((quality.visibility_rate_hz, quality.max_visible), (1, 128), "{quality:?}");
    }

    #[test]
    fn a_rush_of_seconds_costs_nobody_the_sight_of_others() {
        let mut governor = Governor::new(CONFIGURED, 0);
        run(&mut governor, &Plant { base: 99.0, flushes: 20.0, updates: 5.0, noise: 0.0 }, 7);
        let quality = governor.quality();
        assert_eq!(
            (quality.flush_interval_ms, quality.visibility_rate_hz, quality.max_visible),
            (150, 1, 128)
        );
    }

    #[test]
    fn a_steady_load_does_not_make_it_oscillate() {
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
    fn rounds_that_outlast_their_ticks_are_overload_however_idle_the_thread_seems() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let mut load = Load::default();
        for window in 1..=10 {
            load = Load { ticks: load.ticks + 30, overruns: load.overruns + 12, ..load };
            governor.observe(window * WINDOW_NS, load);
        }
        assert_eq!(governor.level(), 6);
    }

    #[test]
    fn other_measures_take_effect_at_once_and_keep_what_was_given_up() {
        let mut governor = Governor::new(CONFIGURED, 0);
        let configured = QualityLevel { flush_interval_ms: 100, max_visible: 64, ..CONFIGURED };
        governor.reconfigure(configured);
        assert_eq!(governor.quality(), configured);
        run(&mut governor, &Plant { base: 99.0, flushes: 50.0, updates: 50.0, noise: 0.0 }, 100);
        governor.reconfigure(QualityLevel { flush_interval_ms: 1000, max_visible: 8, visibility_rate_hz: 1 });
        assert_eq!(governor.level(), 0, "there is nothing left to give up");
        governor.reconfigure(CONFIGURED);
        assert_eq!(governor.quality(), CONFIGURED);
    }

    #[test]
    fn there_are_five_flushes_to_a_look_at_least_once_anything_is_given_up() {
        let measures: Vec<_> = quality_levels(CONFIGURED)
            .iter()
            .map(|quality| (quality.flush_interval_ms, quality.visibility_rate_hz))
            .collect();
        assert_eq!(measures, [(50, 5), (66, 3), (88, 2), (117, 1), (150, 1), (150, 1), (150, 1)]);
        assert!(measures.iter().skip(1).all(|(flush_ms, updates_hz)| 5 * flush_ms * updates_hz <= 1000));
    }

    #[test]
    fn a_longer_configured_interval_is_never_shortened() {
        let configured = QualityLevel { flush_interval_ms: 1000, ..CONFIGURED };
        assert!(quality_levels(configured).iter().all(|quality| quality.flush_interval_ms == 1000));
    }
}
