//! Shared code of the tools. It starts a server and its load, waits for them, queries them, and always ends them.
//!
//! * [`process`]: a child process that never outlives its handle. [`server`]: starts a server and waits until it is ready.
//! * [`interrupt`]: waits that Ctrl-C ends. [`failure`]: all reasons for an early end.
//! * [`http`]: one request and its response, within one deadline ([`deadline`]). [`endpoint`]: the address of a
//!   server.
//! * [`cli`]: options from flags and environment variables.
//! * [`console`]: output to a terminal that may be closed or full.
//! * [`machine`], [`statistics`], [`text`]: facts about the machine, summaries of several runs, formatting of
//!   numbers.

pub mod cli;
pub mod console;
pub mod deadline;
pub mod endpoint;
pub mod failure;
pub mod http;
pub mod interrupt;
pub mod machine;
pub mod process;
pub mod server;
pub mod statistics;
pub mod text;

pub use failure::Failure;
pub use interrupt::Interrupt;
pub use process::Process;
