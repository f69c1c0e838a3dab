//! The programs beside the server.
//!
//! - `targets`: every target of the Makefile
//! - `programs`: `--help` and `--version` of every program
//! - `processes`: `start.sh` with several processes on one port
//! - `demo`: `demo.sh`
//! - `rust`: the builds where cargo is missing or too old
//! - `artillery`: the players of `make artillery-test`

mod artillery;
mod demo;
mod processes;
mod programs;
mod rust;
mod targets;
