//! A real-time multiplayer server for a 2D browser game.
//!
//! One loop owns every socket and interleaves reads and writes with a 60 Hz tick; a few threads work out who sees what.
//! The modules, in the direction in which they depend on each other:
//!
//! ```text
//! main ──> config            flags and environment become one validated Config
//!      └─> server            the loop, the sockets, HTTP routes: the only user of mio and nix
//!            ├─> wire        bytes <-> messages: HTTP heads, WebSocket frames, the game protocol (sans-IO)
//!            ├─> game        the world: inputs, ticks, positions (pure)
//!            ├─> view        who sees whom, and the frames that say so ──> game, wire
//!            ├─> admission       how many connections an address may open and hold, and whose word it is (pure)
//!            ├─> tick, rate, governor   deadlines, allowances, load (pure)
//!            ├─> resume      who comes back where it was, and the store for it
//!            ├─> origins     which web pages may connect (pure)
//!            └─> metrics     what is counted, and how it is shown
//! last_line, watchdog        how the process ends when the program itself is at fault
//! files                      opened without waiting for a peer
//! secret, printable          what never leaves the process, and how foreign text does
//! limits, prefetch           every cap in one place, and memory called before it is needed: for everybody
//! ```
//!
//! One MOVE, from the socket that sent it to the sockets that show it:
//!
//! ```text
//! readable event -> Server::read -> Session::next_event -> message::decode -> World::apply
//!     -> ack into the batch's replies -> Server::write_replies                      (same batch, sub-millisecond)
//! tick deadline  -> World::step -> Grid::rebuild -> Views: who is due -> Pool: look, encode
//!     -> Server::write_slice, 16 writes at a time between polls                    (within the flush interval)
//! ```

pub mod admission;
pub mod cluster;
pub mod config;
pub mod limits;
pub mod ops;
pub mod prefetch;
pub mod replication;
pub mod server;
pub mod sessions;
pub mod wire;
pub mod world;
