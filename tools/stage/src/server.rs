//! Servers on ports of their own, waited for until they answer; and the programs beside this one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::tail;
use crate::{Failure, Interrupt, Process, http};

/// How long a server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// A free port of 127.0.0.1.
///
/// # Errors
/// No port is left.
pub fn free_port() -> Result<u16, Failure> {
    Ok(free_ports(1)?[0])
}

/// Free ports of 127.0.0.1, all different: each is held until the last is found.
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

/// Where a server will answer, and what it says when it does not.
#[derive(Clone, Copy, Debug)]
pub struct ReadinessProbe<'a> {
    /// The port of 127.0.0.1 that it was told.
    pub port: u16,
    /// What it answers with status 200 once it is ready.
    pub path: &'a str,
    /// Where it logs, unless people see that anyway.
    pub log: Option<&'a Path>,
}

impl ReadinessProbe<'_> {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn answers(&self) -> bool {
        http::get(self.address(), self.path, ANSWER_PATIENCE).is_ok_and(|answer| answer.status == 200)
    }

    /// A complaint about it, with the end of its log.
    fn failure(&self, name: &str, problem: &str) -> Failure {
        let log = self.log.map(|log| format!(":\n{}", tail(log))).unwrap_or_default();
        Failure::Failed(format!("{name}: {problem}{log}"))
    }
}

/// Starts a server and waits until it answers.
///
/// # Errors
/// It ends, or does not answer in time; or somebody interrupts.
pub fn start_server(
    name: &'static str,
    command: &mut Command,
    probe: ReadinessProbe<'_>,
    interrupt: &Interrupt,
) -> Result<Process, Failure> {
    let mut server = Process::start(name, command.stdout(Stdio::null()))?;
    let answered = interrupt.wait_for(START_PATIENCE, || match server.status()? {
        Some(status) => Err(probe.failure(name, &format!("ended at its start with {status}"))),
        None => Ok(probe.answers().then_some(())),
    })?;
    match answered {
        Some(()) => Ok(server),
        None => Err(probe.failure(name, &format!("did not answer on port {}", probe.port))),
    }
}

/// The folder in which this program lies, and these others beside it.
///
/// # Errors
/// One of them is not there.
pub fn folder_with(programs: &[&str]) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error: io::Error| Failure::Failed(error.to_string()))?;
    let folder = own.parent().map(PathBuf::from).unwrap_or_default();
    match programs.iter().find(|program| !folder.join(program).is_file()) {
        None => Ok(folder),
        Some(program) => {
            Err(Failure::Failed(format!("{program} is not beside {}: run me by make", own.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_start_is_named() {
        let probe = ReadinessProbe { port: free_port().unwrap(), path: "/", log: None };
        let ended = start_server("false", &mut Command::new("false"), probe, &Interrupt::unwatched());
        assert_eq!(ended.unwrap_err().to_string(), "false: ended at its start with exit status: 1");
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
    fn free_ports_are_all_different() {
        let ports = free_ports(200).unwrap();
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 200);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = folder_with(&["no-such-program"]).unwrap_err().to_string();
        assert!(failure.starts_with("no-such-program is not beside /"), "{failure}");
    }
}
