//! What operators have decided: bans, and whether new players are admitted.

use serde::{Deserialize, Serialize};

use super::bans::Bans;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Operations {
    pub bans: Bans,
    /// Time until which no player is admitted, in milliseconds of the loop's clock; 0 for never.
    closed_until_ms: u64,
}

impl Operations {
    /// Admits no players for this time in milliseconds, or until [`Operations::open`].
    pub fn close(&mut self, now_ms: u64, duration_ms: Option<u64>) {
        self.closed_until_ms = duration_ms.map_or(u64::MAX, |duration_ms| now_ms.saturating_add(duration_ms));
    }

    /// Admits players again.
    pub fn open(&mut self) {
        self.closed_until_ms = 0;
    }

    /// Whether no player is admitted.
    pub fn is_closed(&self, now_ms: u64) -> bool {
        now_ms < self.closed_until_ms
    }
}
