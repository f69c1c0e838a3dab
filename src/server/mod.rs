//! The server: [`driver`] owns the operating system's side, [`core`] decides.

pub mod core;
pub mod driver;

pub use crate::server::core::{browser_addresses, log_shadowed_files};
pub use crate::server::driver::{Outcome, ReadConfig, Server, check};
