//! The world: who is where, moving which way, doing what. Pure: time is a number of ticks, randomness a seed, and
//! nothing here knows of messages, sockets or viewers.
//!
//! * [`World`]: the players in arrays by slot; [`World::apply`] an input, [`World::step`] the time.
//! * [`reconciliation`]: which claimed positions are believed. [`ReconciliationBudget`]: what of that outlives a player.
//! * `extrapolation`: where viewers draw a player, and when that is too far off.
//! * [`dirty_regions`]: where something changed lately, so that viewers elsewhere need not look. `dirty_set`: who
//!   changed lately, so that viewers nearby need not ask everybody.

mod budget;
mod change_tick;
pub mod dirty_regions;
pub(crate) mod dirty_set;
mod entities;
mod entity_state;
mod extrapolation;
mod grid_axis;
mod id_allocator;
mod motion;
mod random;
pub mod reconciliation;
#[cfg(test)]
pub(crate) mod testing;

pub use budget::ReconciliationBudget;
pub use entities::{Ack, GhostUpdate, Input, Position, Rules, Spawn, State, Vector, World};
pub use grid_axis::GridAxis;
pub use motion::Pace;

/// Number of world steps since the start. At 60 Hz it fits 32 bits for 2.2 years; 64 bits last for ever.
pub type Tick = u64;
