//! A generator of hostile peers: thousands of malicious connections in one process, for a bounded time.
//!
//! It counts the server's reactions. Callers judge the counts: they know the server's promises and observe its healthy
//! clients.
//!
//! ```text
//! main ──> options    the command line becomes validated options
//!      ├─> swarm      the loop: the only user of mio
//!      │     ├─> peer     a connection and its input ──> script: output and its times
//!      │     └─> kind     behaviors of peers
//!      ├─> tally      the counts, as text or JSON
//!      └─> attack     a few peers with a plan, one file each; figures with limits
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
