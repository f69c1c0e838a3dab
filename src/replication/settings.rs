//! The measures of replication in ticks, as in force now: the load governor stretches some of them.

use crate::limits::{
    CLAIM_DISTANCE_MAX, FIRST_SPRITE_LOAD_MS, INTEREST_DWELL_MS, INTEREST_UPDATE_RATE_HZ, JUMP_SYNC_MS,
    JUMP_SYNC_PAUSE_MS, KEYFRAME_AFTER_MS, REMOVED_DWELL_MS,
};
use crate::world::{Pace, Tick};

/// How often, how much and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Most players a viewer is shown.
    pub max_visible: usize,
    /// Ticks between two flushes of one viewer.
    pub flush_interval: Tick,
    /// Ticks between two looks of one viewer.
    pub interest_interval: Tick,
    /// Ticks between two full states of one viewer.
    pub sync_interval: Tick,
    /// Ticks that somebody stays visible at least.
    pub dwell: Tick,
    /// Ticks between a JOINED and the LEFT of a player that is gone from the world.
    pub removed_dwell: Tick,
    /// Ticks from an entrance to the repetition of its vector.
    pub keyframe_after: Tick,
    /// Ticks from a viewer's first remote entrance in which no full state may follow.
    pub first_sprite_load: Tick,
    /// Ticks within which a jump is followed by a full state.
    pub jump_sync: Tick,
    /// Ticks between two full states of one viewer at least, whoever jumps.
    pub jump_sync_pause: Tick,
    /// Ticks after which an attack is old news.
    pub attack: Tick,
    /// How far anybody can get within a second, in units: what a remembered region may be off by.
    pub drift: i32,
    /// Ticks after which a remembered region is worth nothing.
    pub regions_ttl: Tick,
}

impl Settings {
    /// The measures of a server that is not under load.
    pub fn new(
        pace: Pace,
        max_visible: usize,
        batch_interval_ms: u32,
        sync_interval_s: u32,
        attack_ms: u32,
    ) -> Self {
        let mut settings = Self {
            max_visible,
            flush_interval: 1,
            interest_interval: 1,
            sync_interval: sync_interval(pace, sync_interval_s),
            dwell: pace.ticks(INTEREST_DWELL_MS),
            removed_dwell: pace.ticks(REMOVED_DWELL_MS),
            keyframe_after: pace.ticks(KEYFRAME_AFTER_MS),
            first_sprite_load: pace.ticks(FIRST_SPRITE_LOAD_MS),
            jump_sync: pace.ticks(JUMP_SYNC_MS),
            jump_sync_pause: pace.ticks(JUMP_SYNC_PAUSE_MS),
            attack: pace.ticks(attack_ms),
            drift: pace.speed_per_s as i32 + CLAIM_DISTANCE_MAX,
            regions_ttl: pace.ticks(1000),
        };
        settings.set_quality(pace, batch_interval_ms, INTEREST_UPDATE_RATE_HZ, max_visible);
        settings
    }

    /// Ticks within which every viewer looks that is flushed: looks that are left to rides come at twice the interval, and each
    /// waits for a flush.
    pub fn interest_update_max(&self) -> Tick {
        2 * (self.interest_interval + self.flush_interval)
    }

    /// Changes how often viewers get a full state; who has been promised one gets it as promised.
    pub fn set_sync_interval(&mut self, pace: Pace, sync_interval_s: u32) {
        self.sync_interval = sync_interval(pace, sync_interval_s);
    }

    /// Changes how often viewers are told and looked after, and how much they are shown.
    ///
    /// Intervals are rounded down to whole ticks: a flush may come early but not late.
    pub fn set_quality(
        &mut self,
        pace: Pace,
        flush_interval_ms: u32,
        visibility_rate_hz: u32,
        max_visible: usize,
    ) {
        let rate_hz = u64::from(pace.tick_rate_hz);
        self.flush_interval = flush_interval(rate_hz, flush_interval_ms);
        self.interest_interval = (rate_hz / u64::from(visibility_rate_hz)).max(1);
        self.max_visible = max_visible;
    }
}

/// Ticks between two flushes.
pub fn flush_interval(tick_rate_hz: u64, flush_interval_ms: u32) -> Tick {
    (u64::from(flush_interval_ms) * tick_rate_hz / 1000).max(1)
}

fn sync_interval(pace: Pace, seconds: u32) -> Tick {
    Tick::from(seconds) * Tick::from(pace.tick_rate_hz)
}
