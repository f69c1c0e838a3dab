//! Replication: sends each viewer the changes around it. Each flush reads the current state, and no changes are
//! queued: only the first snapshot, and the rest of a partial write, wait in an outbox.
//!
//! Every entity carries the tick of its last change, and every [`Viewer`] the tick up to which it has been sent changes. A
//! flush sends the latest state of each member of the viewer's interest set that has changed since that tick. A viewer
//! whose socket is not writable is skipped: it costs nothing, and its next flush brings it up to date.
//!
//! * [`Scene`]: the world and its grid, lent to the worker pool during a fan-out.
//! * [`grid`]: a spatial index of the entities. [`interest`] updates an interest set, using [`search`],
//!   [`interest_set`], [`recent_leaves`], [`slot_mask`], [`epoch_set`] and [`compaction`].
//! * [`schedule`]: when a viewer is due for what. [`flush`]: encodes one viewer's flush through [`frames`].
//! * [`Viewers`]: all viewers, with a [`timer_wheel`] of their due ticks. [`pool`]: the threads that encode flushes.

mod compaction;
#[cfg(test)]
mod delta_tests;
mod epoch_set;
mod flush;
mod frames;
pub mod governor;
pub mod grid;
pub mod interest;
mod interest_set;
pub mod pool;
mod recent_leaves;
mod schedule;
mod search;
mod settings;
mod slot_mask;
#[cfg(test)]
mod tests;
mod timer_wheel;
mod viewer;
mod viewers;

pub use frames::FrameCounts;
use serde::{Deserialize, Serialize};
pub use settings::{Settings, flush_interval};
pub use viewer::Viewer;
pub use viewers::Viewers;

use crate::world::changes::{ALL_REGIONS, Removals};
use crate::world::{Rules, Tick, World};
use grid::Grid;

/// The world and the spatial index over it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scene {
    /// The entities.
    pub world: World,
    /// Index of the entities by position, as of the last [`Scene::refresh`].
    pub grid: Grid,
    refreshed_at: Tick,
    /// [`World::removals`] at the last rebuild of the grid.
    removals_seen: Removals,
}

impl Scene {
    /// Returns an empty scene.
    pub fn new(rules: Rules) -> Self {
        let grid = Grid::new(rules.width, rules.height);
        Self { world: World::new(rules), grid, refreshed_at: 0, removals_seen: Removals::default() }
    }

    /// Brings the grid up to date with the last closed tick, if any entity moved, joined or left.
    pub fn refresh(&mut self) {
        if self.refreshed_at == self.world.tick() {
            return;
        }
        if self.world.changes_since(self.refreshed_at).may_have_movement_in(ALL_REGIONS) {
            self.grid.rebuild(&self.world);
            self.removals_seen = self.world.removals();
        }
        self.refreshed_at = self.world.tick();
    }

    /// Returns whether the grid holds an entity that has left the world since the rebuild.
    pub(crate) fn has_removals(&self) -> bool {
        self.removals_seen != self.world.removals()
    }
}
