//! The server process and its host.
//!
//! - `signals`, `shutdown`: signals, the drain, the exit status
//! - `booted`: the package under a systemd that has booted
//! - `fault`, `panics`, `watchdog`: panics and stalls, injected with strace
//! - `template`: the units of several processes
//! - `unit`, `sandbox`: the systemd unit and its restrictions
//! - `reload`: settings and files that change while the server runs
//! - `start_line`: the addresses at the end of a start
//! - `log_lines`, `log_file`: the format of the log, its rotation, a full disk
//! - `install`, `installed_modes`, `package`: installing, file modes, the Debian package

mod booted;
mod fault;
mod install;
mod installed_modes;
mod log_file;
mod log_lines;
mod package;
mod panics;
mod reload;
mod sandbox;
mod shutdown;
mod signals;
mod start_line;
mod template;
pub mod unit;
mod watchdog;
