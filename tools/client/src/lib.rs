//! The browser client's side of the protocol: what it sends, what it understands, and what it would draw.
//!
//! The server's tests and the load tools look at the server with the eyes of the game's existing client. This
//! crate is those eyes. [`codec`] writes the client's messages and reads the server's; it shares no code with the
//! server on purpose, so that a mistake in the server's encoding can't hide behind the same mistake here, and it
//! is stricter than the browser, which ignores what it does not expect. [`replica`] is the scene the browser would
//! show after what it received, its defects included: sprites that load for a while and miss what arrives
//! meanwhile, ghosts, doubles. Whatever a server must never do to that client is recorded as a
//! [`Violation`].
//!
//! No IO and no clock: payloads come in as byte slices, time as milliseconds since any fixed moment.

pub mod codec;
pub mod replica;

pub use codec::{ClientMessage, DecodeError, Entry, Facing, PlayerId, ServerMessage, State, Vector};
pub use replica::{RemotePlayer, Replica, ReplicaOptions, Violation};
