//! The world: who is where, moving which way, doing what. Pure: time is a number of ticks, randomness a seed, and
//! nothing here knows of messages, sockets or viewers.
//!
//! * [`World`]: the players in arrays by slot; [`World::apply`] an input, [`World::step`] the time.
//! * [`adoption`]: which claimed positions are believed. [`Budget`]: what of that outlives a player.
//! * `extrapolation`: where viewers draw a player, and when that is too far off.
//! * [`activity`]: where something changed lately, so that viewers elsewhere need not look. `recent`: who
//!   changed lately, so that viewers nearby need not ask everybody.

pub mod activity;
pub mod adoption;
mod budget;
mod entities;
mod extrapolation;
mod ids;
mod motion;
mod outline;
mod random;
pub(crate) mod recent;
mod stamp;
mod strips;
#[cfg(test)]
pub(crate) mod testing;

pub use budget::Budget;
pub use entities::{Ack, Input, Position, Rules, Spawn, State, Told, Vector, World};
pub use motion::Pace;
pub use strips::Strips;

/// Number of world steps since the start. At 60 Hz it fits 32 bits for 2.2 years; 64 bits last for ever.
pub type Tick = u64;
