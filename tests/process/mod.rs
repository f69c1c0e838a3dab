//! The process as a whole: how it ends when the program is at fault, how it survives being suspended, and how it
//! runs under the restrictions of its systemd unit.

mod fault;
mod install;
mod installed_modes;
mod last_line;
mod log_file;
mod log_lines;
mod package;
mod reload;
mod sandbox;
mod shutdown;
mod signals;
pub mod unit;
mod watchdog;
