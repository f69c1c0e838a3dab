//! A real-time multiplayer server for a 2D browser game.
//!
//! One event loop owns every socket and interleaves reads and writes with a 60 Hz tick; worker threads compute interest
//! sets and encode deltas. The modules, each above those it depends on:
//!
//! ```text
//! main               parses the configuration, opens the log, binds and serves
//!  └─> server        the event loop, sockets, HTTP routes: the only user of mio and nix
//!       ├─> cluster      nodes, ghosts, the bus ──> world, sessions
//!       ├─> sessions     saved state of disconnected players, and its store ──> world
//!       ├─> replication  interest sets, deltas, flush schedule, workers, load governor ──> world, wire
//!       ├─> admission    addresses, trusted proxies, origins, rates (pure)
//!       ├─> wire         bytes <-> messages: HTTP heads, WebSocket frames, the game protocol (sans-IO)
//!       └─> world        entities, inputs, movement, change tracking (pure)
//! config             flags, environment file and environment become one validated Config
//! control            what operators ask of a running server, and the client of the control socket
//! ops                logging, metrics, panic hook, watchdog, kernel limits, secrets
//! limits, prefetch   every bound in one place; software prefetch
//! ```
//!
//! ARCHITECTURE.md follows one MOVE through the modules and states the invariants.

pub mod admission;
pub mod auth;
pub mod cluster;
pub mod config;
pub mod control;
pub mod limits;
pub mod ops;
pub mod prefetch;
pub mod replication;
pub mod server;
pub mod sessions;
pub mod wire;
pub mod world;
