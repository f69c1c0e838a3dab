//! The browser client's side of the protocol: its messages and its replica of the world.
//!
//! The server's tests and the load tools observe the server through this crate. [`codec`] writes the client's
//! messages and reads the server's. It deliberately shares no code with the server, so a mistake in the server's
//! encoding cannot hide behind the same mistake here. It is also stricter than the browser, which ignores unexpected
//! bytes. [`replica`] is the scene that the browser would show after the messages it received. It reproduces the
//! browser's defects: sprites that miss messages while they load, ghosts, duplicates. It records every server fault
//! that the client does not tolerate as a [`Violation`].
//!
//! No IO and no clock: payloads are byte slices, and time is milliseconds since any fixed moment.

pub mod codec;
pub mod replica;

pub use codec::{ClientMessage, DecodeError, Entry, Facing, PlayerId, ServerMessage, State, Vector};
pub use replica::{RemotePlayer, Replica, ReplicaOptions, Violation};
