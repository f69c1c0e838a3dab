//! The browser client's side of the protocol: its messages and its replica of the world.
//!
//! The server's tests and the load tools observe the server through this crate. [`codec`] writes the client's
//! messages and reads the server's. It deliberately shares no code with the server, so a mistake in the server's
//! encoding cannot hide behind the same mistake here. It is also stricter than the browser, which ignores unexpected
//! bytes. [`replica`] is the scene that the browser would show after the messages it received. It reproduces the
//! browser's defects: sprites that miss messages while they load, ghosts, duplicates. It records every server fault
//! that the client does not tolerate as a [`Violation`].
//!
//! [`frame`] and [`handshake`] are the WebSocket below the codec; [`mod@line`] is a player's connection for sequential code.
//! Codec, replica, frame and handshake have no IO and no clock: payloads are byte slices, and time is milliseconds since any fixed moment.
//!
//! The other modules are the shared part of the tools' command lines:
//!
//! * [`options`]: flags and environment variables, from a table. [`endpoint`]: the address of a server.
//! * [`http`]: one request and its response, within one deadline ([`deadline`]).
//! * [`interrupt`]: waits that Ctrl-C ends. [`failure`]: all reasons for an early end.
//! * [`console`], [`text`], [`statistics`]: output to a terminal, formatting, summaries of several runs.

pub mod codec;
pub mod console;
pub mod deadline;
pub mod endpoint;
pub mod failure;
pub mod frame;
pub mod handshake;
pub mod http;
pub mod interrupt;
pub mod line;
pub mod options;
pub mod replica;
pub mod statistics;
pub mod text;

pub use codec::{ClientMessage, DecodeError, Entry, Facing, PlayerId, ServerMessage, State, Vector};
pub use failure::Failure;
pub use interrupt::Interrupt;
pub use replica::{
    FIRST_SPRITE_LOAD_MS, Prediction, RemotePlayer, Replica, ReplicaOptions, STEP_UNITS, STEPS_PER_S,
    Violation,
};
