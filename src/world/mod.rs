//! The world: all entities and the rules that move them. It is pure: time is a number of ticks, randomness comes
//! from a seed, and nothing depends on messages, sockets or viewers.
//!
//! * [`World`]: the entities in arrays by slot. [`World::apply`] applies an input, [`World::step`] advances time.
//! * [`reconciliation`]: accepts or refuses the positions clients claim. [`ReconciliationBudget`]: the part of that
//!   state that a saved session keeps.
//! * `extrapolation`: dead reckoning, the position at which viewers draw a player and its error.
//! * [`changes`]: what changed since a tick, in five structures behind one interface.

mod budget;
mod change_tick;
pub mod changes;
mod dirty_regions;
mod dirty_set;
mod entities;
mod entity_state;
mod extrapolation;
mod grid_axis;
mod id_allocator;
mod motion;
pub(crate) mod random;
pub mod reconciliation;
#[cfg(test)]
pub(crate) mod testing;

pub use budget::ReconciliationBudget;
pub use entities::{Ack, GhostUpdate, Input, Position, Rules, Spawn, State, Vector, World};
pub use grid_axis::GridAxis;
pub use motion::Pace;

/// Number of world steps since the start. At 60 Hz, 32 bits would overflow after 2.2 years; 64 bits never do.
pub type Tick = u64;
