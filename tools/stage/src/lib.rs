//! What the tools stand on: a server and its load are started, waited for, asked, and ended whatever happens.
//!
//! * [`process`]: a child that never outlives the value that stands for it. [`server`]: one that listens, once it does.
//! * [`interrupt`]: waiting that Ctrl-C ends. [`failure`]: what else ends a run before its time.
//! * [`http`]: one question and its answer, [`deadline`]: within one deadline. [`endpoint`]: where a server is.
//! * [`cli`]: what people ask for, by flags or variables.
//! * [`console`]: words for the terminal, which may be closed or full.
//! * [`machine`], [`statistics`], [`text`]: what was measured on, several runs in a few numbers, numbers as people read them.

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
