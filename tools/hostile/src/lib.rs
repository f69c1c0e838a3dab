//! A generator of hostile peers: thousands of connections that mean no good, in one process, bounded in time.
//!
//! What the server does about each is counted; whether that is right is for others to judge, who know what it promises
//! and look at its healthy clients meanwhile.
//!
//! ```text
//! main ──> options    the command line becomes one valid set of options
//!      ├─> swarm      the loop: the only user of mio
//!      │     ├─> peer     a connection and what came back ──> script: what is sent, and when
//!      │     └─> kind     what there is to be done to a server
//!      ├─> tally      what came of it, as text or JSON
//!      └─> attack     a few peers with a plan instead, each in a file of its own; figures with limits
//!            ├─> line        a player's connection ──> game-client
//!            └─> requester   a plain HTTP connection
//! ```

pub mod attack;
pub mod kind;
pub mod line;
pub mod options;
mod peer;
pub mod requester;
mod script;
pub mod swarm;
pub mod tally;
