//! The server: [`driver`] owns the operating system's side, [`core`] decides.

pub mod assets;
pub mod core;
pub mod driver;
