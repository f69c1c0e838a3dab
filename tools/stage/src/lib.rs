//! Shared code of the tools that start programs: it starts a server and its load, and always ends them.
//!
//! * [`process`]: a child process that never outlives its handle. [`server`]: starts a server and waits until it is ready.
//! * [`machine`]: facts about the machine and the measured code.

pub mod machine;
pub mod process;
pub mod server;

pub use process::Process;
