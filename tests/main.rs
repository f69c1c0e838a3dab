//! Integration tests: the built server as a process, and clients on real sockets.
//!
//! One binary, so that it links once and runs in parallel. The areas:
//!
//! - `rules`: what the existing browser client needs, rule by rule
//! - `protocol`: messages and frames, right and wrong, closing, the rate limit
//! - `conformance`: WebSocket framing by RFC 6455, row by row
//! - `limits`: how many may come in, all together and from one address
//! - `proxies`: whom a connection counts for behind proxies, with real ones and TLS
//! - `http`: the handshake, health, metrics, static files, refusals
//! - `documents`: links, targets and commands in what people read
//! - `crowd`: three hundred clients at once, and whether what they see is true
//! - `exhaustion`: no descriptors, memory, ports or room on the disk; the log rotated
//! - `churn`: thousands of reconnects, storms, and what they leave behind: nothing
//! - `cluster`: several servers and one world, with a real Redis between them
//! - `resume`: who comes back is where it was, also after a restart
//! - `replay`: recorded browsers, with their timing and with stalls
//! - `shutdown`: signals and the drain
//! - `fuzz_seeds`: the fuzz targets' properties over their seeds
//! - `process`: panics, the watchdog, suspension, the systemd unit
//! - `hostile`: slow, silent and greedy peers, a vanished one, a suspended server
//! - `operation`: what operators do to a running server: read its log, reload it
//! - `cli`: flags, variables, exit codes, the log at the start
//! - `simulation`: wire, game and view without sockets, by seed
//! - `tidy`: what the tree itself must keep to
//! - `support`: the server process, clients with a picture of the world, bare sockets, waiting
//!
//! Nothing here sleeps for a fixed time and then hopes: tests wait for conditions, with one generous deadline. The
//! few that look on for a while do so for the sake of what must not happen.

// The test harness catches these macros alone.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod admission;
mod cluster;
mod config;
mod documents;
mod fuzz_seeds;
mod http;
mod overload;
mod process;
mod protocol;
mod sessions;
mod simulation;
mod support;
mod tidy;
mod tools;
