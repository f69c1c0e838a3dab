//! Replication settings in ticks. The load governor changes some of them while the server runs.

use crate::limits::{
    CLAIM_DISTANCE_MAX, FIRST_SPRITE_LOAD_MS, INTEREST_DWELL_MS, INTEREST_UPDATE_RATE_HZ, JUMP_SYNC_MS,
    JUMP_SYNC_PAUSE_MS, KEYFRAME_AFTER_MS, REMOVED_DWELL_MS,
};
use crate::world::{Pace, Tick};
use serde::{Deserialize, Serialize};

/// Time after a LEFT in which a player outside the nearest half does not enter again, in milliseconds. At most the dwell time, so that
/// no more players than the interest set holds can leave within it.
const REENTER_AFTER_MS: u32 = 2_000;

const _: () = assert!(REENTER_AFTER_MS <= INTEREST_DWELL_MS);

/// Time after an enter in which most sprites have loaded, in milliseconds; the first sheet of a fast client too.
const EARLY_KEYFRAME_AFTER_MS: u32 = 400;

/// Interval at which vectors and facings of all visible players are repeated while no snapshot is allowed, in milliseconds.
const KEYFRAME_REPEAT_MS: u32 = 2_000;

/// Intervals, limits and delays of replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Maximum size of an interest set.
    pub max_visible: usize,
    /// Ticks between two flushes of a viewer.
    pub flush_interval: Tick,
    /// Ticks between two interest updates of a viewer.
    pub interest_interval: Tick,
    /// Ticks between two snapshots of a viewer.
    pub sync_interval: Tick,
    /// Minimum number of ticks that an entity stays in an interest set.
    pub dwell: Tick,
    /// Minimum number of ticks between LEFT and JOINED of an entity outside the nearest half.
    pub reenter_after: Tick,
    /// Minimum number of ticks between JOINED and LEFT of an entity that was removed from the world.
    pub removed_dwell: Tick,
    /// Ticks from an entity's JOINED to the keyframe that repeats its vector.
    pub keyframe_after: Tick,
    /// Ticks from an entity's JOINED to an earlier keyframe, while no snapshot is allowed.
    pub early_keyframe_after: Tick,
    /// Ticks between two repetitions of all vectors while no snapshot is allowed.
    pub keyframe_repeat: Tick,
    /// Ticks after a viewer's first JOINED in which no snapshot is sent.
    pub first_sprite_load: Tick,
    /// Ticks within which a snapshot follows a jump.
    pub jump_sync: Tick,
    /// Minimum number of ticks between a snapshot and the next one that a jump causes.
    pub jump_sync_pause: Tick,
    /// Ticks after which an attack is no longer sent.
    pub attack: Tick,
    /// Distance an entity can move in one second, in units, by which interest masks are widened.
    pub drift: i32,
    /// Ticks for which a viewer's region mask stays valid.
    pub regions_ttl: Tick,
}

impl Settings {
    /// Returns the settings of a server that is not overloaded.
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
            reenter_after: pace.ticks(REENTER_AFTER_MS),
            removed_dwell: pace.ticks(REMOVED_DWELL_MS),
            keyframe_after: pace.ticks(KEYFRAME_AFTER_MS),
            early_keyframe_after: pace.ticks(EARLY_KEYFRAME_AFTER_MS),
            keyframe_repeat: pace.ticks(KEYFRAME_REPEAT_MS),
            first_sprite_load: pace.ticks(FIRST_SPRITE_LOAD_MS),
            jump_sync: pace.ticks(JUMP_SYNC_MS),
            jump_sync_pause: pace.ticks(JUMP_SYNC_PAUSE_MS),
            attack: pace.ticks(attack_ms),
            drift: pace.distance_max(Tick::from(pace.tick_rate_hz)) as i32 + CLAIM_DISTANCE_MAX,
            regions_ttl: pace.ticks(1000),
        };
        settings.set_quality(pace, batch_interval_ms, INTEREST_UPDATE_RATE_HZ, max_visible);
        settings
    }

    /// Returns an upper bound on the ticks between two interest updates of a viewer that is being flushed.
    /// Piggybacked updates come at twice the interval, and each one waits for a flush.
    pub fn interest_update_max(&self) -> Tick {
        2 * (self.interest_interval + self.flush_interval)
    }

    /// Changes the snapshot interval. Snapshots that are already scheduled keep their tick.
    pub fn set_sync_interval(&mut self, pace: Pace, sync_interval_s: u32) {
        self.sync_interval = sync_interval(pace, sync_interval_s);
    }

    /// Sets the flush interval, the interest update rate and the maximum size of an interest set.
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

/// Returns the ticks between two flushes, at least 1.
pub fn flush_interval(tick_rate_hz: u64, flush_interval_ms: u32) -> Tick {
    (u64::from(flush_interval_ms) * tick_rate_hz / 1000).max(1)
}

fn sync_interval(pace: Pace, seconds: u32) -> Tick {
    Tick::from(seconds) * Tick::from(pace.tick_rate_hz)
}
