//! Integration tests: the built server as a process, and clients on real sockets.
//!
//! All tests are one binary, which links once and runs them in parallel. Each area is a module:
//!
//! - `protocol`: messages, frames, the rules of the browser client, RFC 6455 conformance, replayed recordings
//! - `http`: the handshake, health, metrics, static files, the server's own pages, refused requests
//! - `admission`: limits per address and in total, trusted proxies, allowed origins
//! - `auth`: signed tokens, keys, the sessions of an account
//! - `overload`: crowds, reconnect storms, hostile peers, exhausted descriptors, memory and ports
//! - `sessions`: reconnecting with a session token, also after a restart
//! - `cluster`: several servers that share one world over a real Redis
//! - `process`: signals, the drain, panics, the watchdog, the systemd unit, reload, log files, installed packages
//! - `takeover`: a new process continues on the sockets of the running one
//! - `config`: flags, variables, secrets, exit codes
//! - `tools`: make targets, the demo, the load tools
//! - `simulation`: the whole server on a machine in memory, by seed
//! - `fuzz_seeds`: the properties of the fuzz targets, run over their seeds
//! - `tidy`: rules for the source tree itself
//! - `documents`: links, commands and numbers in the documents
//! - `support`: the server process, clients with a replica as in the browser, raw sockets, `/proc`, waiting
//! - `fixtures`: recordings of real browsers
//! - `page`: Node tests of the pages, run by `make test-page`
//!
//! Tests wait for conditions, with one generous deadline. They sleep only to let a known time pass, such as an expiry. A
//! test that asserts an absence observes for a fixed time.

// The test harness captures only the output of these macros.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod admission;
mod auth;
mod cluster;
mod config;
mod control;
mod documents;
mod fuzz_seeds;
mod http;
mod overload;
mod process;
mod protocol;
mod sessions;
mod simulation;
mod support;
mod takeover;
mod tidy;
mod tools;
