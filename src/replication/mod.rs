//! What each player is shown: pull, not push.
//!
//! Nothing is queued for a viewer. Every player's state carries the tick of its last change; a [`Viewer`] remembers up
//! to which tick it is served, and when it is due it gets, once, the latest state of everything in its visible set that
//! changed since. A viewer that can't be written to is simply not served, costs nothing meanwhile, and is whole again
//! after its next turn.
//!
//! * [`Scene`]: the world and the grid over it, lent to the worker pool during a fan-out.
//! * [`grid`]: who stands where. [`interest`]: whom a viewer sees, with [`search`], [`interest_set`],
//!   [`epoch_set`] and [`compaction`] as its tools.
//!   [`flush`]: what a turn tells, in [`frames`].
//! * [`Viewers`]: all viewers, and which of them are due by the [`timer_wheel`]. [`pool`]: the threads that serve them.

mod compaction;
mod epoch_set;
mod flush;
mod frames;
pub mod governor;
pub mod grid;
pub mod interest;
mod interest_mask;
mod interest_set;
pub mod pool;
mod search;
mod settings;
#[cfg(test)]
mod tests;
mod timer_wheel;
mod viewer;
mod viewers;

pub use frames::FrameCounts;
pub use settings::{Settings, flush_interval};
pub use viewer::{FlushKind, Viewer};
pub use viewers::Viewers;

use crate::world::dirty_regions::ALL_REGIONS;
use crate::world::{Rules, Tick, World};
use grid::Grid;

/// The world and what is derived from it for viewers.
#[derive(Debug)]
pub struct Scene {
    /// The players.
    pub world: World,
    /// Where they stand, as of the last [`Scene::refresh`].
    pub grid: Grid,
    refreshed_at: Tick,
    /// [`World::departures`] as of the last refresh.
    departures_seen: u64,
}

impl Scene {
    /// An empty scene.
    pub fn new(rules: Rules) -> Self {
        let grid = Grid::new(rules.width, rules.height);
        Self { world: World::new(rules), grid, refreshed_at: 0, departures_seen: 0 }
    }

    /// Brings the grid up to date with the tick closed last; nothing to do while nobody moves, joins or leaves.
    pub fn refresh(&mut self) {
        if self.refreshed_at == self.world.tick() {
            return;
        }
        if self.world.dirty_regions().has_moved(ALL_REGIONS, self.refreshed_at) {
            self.grid.rebuild(&self.world);
            self.departures_seen = self.world.removals();
        }
        self.refreshed_at = self.world.tick();
    }

    /// Whether the grid holds anybody who has left the world since.
    pub(crate) fn has_departures(&self) -> bool {
        self.departures_seen != self.world.removals()
    }
}
