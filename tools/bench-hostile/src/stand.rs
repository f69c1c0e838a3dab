//! A server with default settings, for one run.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use game_client::{Failure, Interrupt};
use pixi_game_server::config::SETTINGS;
use stage::Process;
use stage::server::{self, ReadinessProbe, free_port};

/// A running server and its address.
#[derive(Debug)]
pub struct Stand {
    /// The process; ends when this value is dropped.
    pub server: Process,
    probe: ReadinessProbe<'static>,
}

impl Stand {
    /// The address of its listener.
    pub fn address(&self) -> SocketAddr {
        self.probe.address()
    }
}

/// Starts the server with this command, and waits until it responds.
///
/// # Errors
/// The server does not start, or a signal interrupts.
pub fn start_server(command: &mut Command, interrupt: &Interrupt) -> Result<Stand, Failure> {
    let probe = ReadinessProbe { port: free_port()?, path: "/health", log: None };
    // The benchmark measures the defaults.
    for setting in SETTINGS {
        command.env_remove(setting.variable);
    }
    command.envs([("HOST", "127.0.0.1"), ("LOG_LEVEL", "error")]);
    command.env("PORT", probe.port.to_string()).stdin(Stdio::null());
    let server = server::start_server("pixi-game-server", command, probe, interrupt)?;
    Ok(Stand { server, probe })
}
