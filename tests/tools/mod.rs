//! The programs beside the server.
//!
//! - `targets`: every target of the Makefile
//! - `programs`: `--help` and `--version` of every program
//! - `demo`: `demo.sh`
//! - `artillery`: the players of `make artillery-test`

mod artillery;
mod demo;
mod programs;
mod targets;
