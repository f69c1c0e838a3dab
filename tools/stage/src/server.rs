//! Starting servers on free ports until they are ready, and locating the tools' programs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::{Failure, Interrupt, http};

use crate::Process;
use crate::process::tail;

/// Longest time from the start of a server to its first successful response.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest time for one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a free port of 127.0.0.1.
///
/// # Errors
/// No port is left.
pub fn free_port() -> Result<u16, Failure> {
    Ok(free_ports(1)?[0])
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

/// The check that detects a ready server, and the log to quote if it does not become ready.
#[derive(Clone, Copy, Debug)]
pub struct ReadinessProbe<'a> {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Path that responds with status 200 once the server is ready.
    pub path: &'a str,
    /// Its log file, if its log is not visible otherwise.
    pub log: Option<&'a Path>,
}

impl ReadinessProbe<'_> {
    /// Its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn is_ready(&self) -> bool {
        http::get(self.address(), self.path, RESPONSE_TIMEOUT).is_ok_and(|answer| answer.status == 200)
    }

    /// Returns a failure with the end of the server's log.
    fn failure(&self, name: &str, problem: &str) -> Failure {
        let log = self.log.map(|log| format!(":\n{}", tail(log))).unwrap_or_default();
        Failure::Failed(format!("{name}: {problem}{log}"))
    }
}

/// Starts a server and waits until it is ready.
///
/// # Errors
/// The server ends, or is not ready in time, or the wait is interrupted.
pub fn start_server(
    name: &'static str,
    command: &mut Command,
    probe: ReadinessProbe<'_>,
    interrupt: &Interrupt,
) -> Result<Process, Failure> {
    let mut server = Process::start(name, command.stdout(Stdio::null()))?;
    let is_ready = interrupt.wait_for(START_TIMEOUT, || match server.status()? {
        Some(status) => Err(probe.failure(name, &format!("ended during startup with {status}"))),
        None => Ok(probe.is_ready().then_some(())),
    })?;
    match is_ready {
        Some(()) => Ok(server),
        None => Err(probe.failure(name, &format!("did not respond on port {}", probe.port))),
    }
}

/// Returns the folder of this program, which must also contain `programs`.
///
/// # Errors
/// One of the programs is missing.
pub fn folder_with(programs: &[&str]) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error: io::Error| Failure::Failed(error.to_string()))?;
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

    #[test]
    fn a_server_that_fails_to_start_is_named() {
        let probe = ReadinessProbe { port: free_port().unwrap(), path: "/", log: None };
        let ended = start_server("false", &mut Command::new("false"), probe, &Interrupt::unwatched());
        assert_eq!(ended.unwrap_err().to_string(), "false: ended during startup with exit status: 1");
    }

    #[test]
    fn a_wait_for_a_server_can_be_interrupted() {
        let interrupt = Interrupt::unwatched();
        interrupt.request();
        let probe = ReadinessProbe { port: free_port().unwrap(), path: "/", log: None };
        let result = start_server("sleep", Command::new("sleep").arg("60"), probe, &interrupt);
        assert_eq!(result.unwrap_err(), Failure::Interrupted);
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = folder_with(&["no-such-program"]).unwrap_err().to_string();
        assert!(failure.starts_with("no-such-program is missing beside /"), "{failure}");
    }
}
