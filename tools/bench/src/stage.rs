//! Starts servers and load tests, and ends them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::http;
use game_client::{Failure, Interrupt};
use pixi_game_server::config::SETTINGS;
use serde_json::Value as Json;

use crate::process::{Process, tail};

/// Longest time from the start of a server to its first successful response.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest time for one response during a start.
const START_RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time for one response beside a load.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time of a load test; longer than any measured time.
const LOAD_TIMEOUT: Duration = Duration::from_hours(24);

/// The programs of a measurement, and the signals that end it.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    /// Ends all waits.
    pub interrupt: Interrupt,
}

/// A server on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Server {
    /// The process; ends when this value is dropped.
    pub process: Process,
    /// The address of its listener.
    pub address: SocketAddr,
}

impl Stage {
    /// Locates the game server and the load test beside this program, and watches for signals.
    ///
    /// # Errors
    /// A program is missing, or no descriptor is left.
    pub fn new() -> Result<Stage, Failure> {
        Ok(Stage { folder: folder_with(&["pixi-game-server", "loadtest"])?, interrupt: Interrupt::watch()? })
    }

    /// Returns the folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a command for a program beside this one.
    pub fn program(&self, name: &str) -> Command {
        command_of(&self.folder.join(name))
    }

    /// Returns a command for the game server on 127.0.0.1 with default settings, whatever the environment contains.
    pub fn game(&self) -> Command {
        game_of(&self.folder.join("pixi-game-server"))
    }

    /// Starts a server on a free port, which it gets as PORT, and waits until this path responds with 200. `log` is the
    /// file of its log, to quote after a failure.
    ///
    /// # Errors
    /// The server ends, or is not ready in time, or the wait is interrupted.
    pub fn start(
        &self,
        name: &'static str,
        command: &mut Command,
        path: &str,
        log: Option<&Path>,
    ) -> Result<Server, Failure> {
        let address = local(free_ports(1)?[0]);
        command.env("PORT", address.port().to_string()).stdout(Stdio::null());
        let mut process = Process::start(name, command)?;
        self.await_ready(name, &mut process, address, path, log)?;
        Ok(Server { process, address })
    }

    /// Waits until a server responds with 200.
    ///
    /// # Errors
    /// See [`Stage::start`].
    pub fn await_ready(
        &self,
        name: &str,
        process: &mut Process,
        address: SocketAddr,
        path: &str,
        log: Option<&Path>,
    ) -> Result<(), Failure> {
        let failure = |problem: String| {
            let log = log.map(|log| format!(":\n{}", tail(log))).unwrap_or_default();
            Failure::Failed(format!("{name}: {problem}{log}"))
        };
        let is_ready = self.interrupt.wait_for(START_TIMEOUT, || match process.status()? {
            Some(status) => Err(failure(format!("ended during startup with {status}"))),
            None => Ok(responds(address, path).then_some(())),
        })?;
        is_ready.ok_or_else(|| failure(format!("did not respond on port {}", address.port())))
    }

    /// Returns a command for the load test against this address, with these flags.
    pub fn load_test(&self, server: SocketAddr, flags: &str) -> Command {
        let mut command = self.program("loadtest");
        command.args(["--server", &url(server)]).args(flags.split_whitespace());
        command
    }

    /// Starts the load test, whose results are captured.
    ///
    /// # Errors
    /// The program can't be run.
    pub fn start_load(&self, server: SocketAddr, flags: &str) -> Result<Process, Failure> {
        Process::capture("loadtest", self.load_test(server, flags).arg("--json"))
    }

    /// Starts hostile peers, whose counts are captured.
    ///
    /// # Errors
    /// The program can't be run.
    pub fn start_hostile(&self, server: SocketAddr, flags: &str) -> Result<Process, Failure> {
        let mut command = self.program("loadtest");
        command.args(["hostile", "--json", "--server", &url(server)]).args(flags.split_whitespace());
        Process::capture("hostile", &mut command)
    }

    /// Runs the load test against this address to its end, and returns its results.
    ///
    /// # Errors
    /// The load test does not run or prints no results, or a signal interrupts. Faults of the server are results.
    pub fn load(&self, server: SocketAddr, flags: &str) -> Result<Json, Failure> {
        let mut load = self.start_load(server, flags)?;
        load.wait(&self.interrupt, LOAD_TIMEOUT)?;
        load.results()
    }
}

impl Server {
    /// Returns the server's metrics.
    ///
    /// # Errors
    /// The server does not respond in time.
    pub fn metrics(&self) -> io::Result<Json> {
        http::get_json(self.address, "/metrics", RESPONSE_TIMEOUT)
    }

    /// Returns the number of players.
    ///
    /// # Errors
    /// The server does not respond in time.
    pub fn players(&self) -> io::Result<u64> {
        let health = http::get_json(self.address, "/health", RESPONSE_TIMEOUT)?;
        Ok(health["players"].as_u64().unwrap_or_default())
    }
}

/// Returns a command for this program.
pub fn command_of(file: &Path) -> Command {
    let mut command = Command::new(file);
    command.stdin(Stdio::null());
    command
}

/// Returns a command like [`Stage::game`] for another build of the game server.
pub fn game_of(file: &Path) -> Command {
    let mut command = command_of(file);
    for setting in SETTINGS {
        command.env_remove(setting.variable);
    }
    command.env("HOST", "127.0.0.1").env("LOG_LEVEL", "warn");
    command
}

/// Whether a path responds with 200.
pub fn responds(address: SocketAddr, path: &str) -> bool {
    http::get(address, path, START_RESPONSE_TIMEOUT).is_ok_and(|answer| answer.status == 200)
}

/// Returns the address of a port of 127.0.0.1.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Returns the URL of the game at this address.
pub fn url(server: SocketAddr) -> String {
    format!("ws://{server}/ws")
}

/// Returns `count` different free ports of 127.0.0.1. Every port is held until the last one is found.
///
/// # Errors
/// Not enough ports are left.
pub fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held: io::Result<Vec<TcpListener>> = (0..count).map(bind).collect();
    let ports = held.and_then(|held| {
        held.iter().map(|listener| listener.local_addr().map(|address| address.port())).collect()
    });
    ports.map_err(|error| Failure::Failed(format!("no port is free: {error}")))
}

/// Returns the folder of this program, which must also contain `programs`.
fn folder_with(programs: &[&str]) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().map(PathBuf::from).unwrap_or_default();
    match programs.iter().find(|program| !folder.join(program).is_file()) {
        None => Ok(folder),
        Some(program) => Err(Failure::Failed(format!(
            "{program} is missing beside {}; run this program through make",
            own.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> Stage {
        Stage { folder: PathBuf::from("/nowhere"), interrupt: Interrupt::unwatched() }
    }

    #[test]
    fn a_server_that_fails_to_start_is_named() {
        let ended = stage().start("false", &mut Command::new("false"), "/", None);
        assert_eq!(ended.unwrap_err().to_string(), "false: ended during startup with exit status: 1");
        let missing = stage().start("server", &mut stage().game(), "/", None).unwrap_err().to_string();
        assert!(missing.starts_with("server: /nowhere/pixi-game-server can't be run: "), "{missing}");
    }

    #[test]
    fn a_wait_for_a_server_can_be_interrupted() {
        let stage = stage();
        stage.interrupt.request();
        let result = stage.start("sleep", Command::new("sleep").arg("60"), "/", None);
        assert_eq!(result.unwrap_err(), Failure::Interrupted);
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = folder_with(&["no-such-program"]).unwrap_err().to_string();
        assert!(failure.starts_with("no-such-program is missing beside /"), "{failure}");
    }
}
