//! A server of its own with default settings.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use pixi_game_server::config::SETTINGS;
use stage::server::{self, ReadinessProbe, free_port};
use stage::{Failure, Interrupt, Process};

/// A server, and where it listens.
#[derive(Debug)]
pub struct Stand {
    /// The process, which ends with this value.
    pub server: Process,
    probe: ReadinessProbe<'static>,
}

impl Stand {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.probe.address()
    }
}

/// Starts the server that `command` names, with the flags it has, and waits until it answers.
///
/// # Errors
/// It does not start, or somebody interrupts.
pub fn start_server(command: &mut Command, interrupt: &Interrupt) -> Result<Stand, Failure> {
    let probe = ReadinessProbe { port: free_port()?, path: "/health", log: None };
    // The defaults are what is measured, whatever is set around here.
    for setting in SETTINGS {
        command.env_remove(setting.variable);
    }
    command.envs([("HOST", "127.0.0.1"), ("LOG_LEVEL", "error")]);
    command.env("PORT", probe.port.to_string()).stdin(Stdio::null());
    let server = server::start_server("pixi-game-server", command, probe, interrupt)?;
    Ok(Stand { server, probe })
}
