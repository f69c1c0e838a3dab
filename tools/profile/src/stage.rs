//! The server and its load: started, connected, settled; ended when dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::ask;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::options::Load;
use crate::process::{Process, log_file, tail};

/// What stands before the address in the server's log.
const LISTENING: &str = "listening on http://";

/// The unit of `/proc`, on every Linux.
const JIFFIES_PER_S: f64 = 100.0;

/// Longest wait for the server to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for another client to get in.
const JOIN_PATIENCE: Duration = Duration::from_secs(15);

/// A server with all clients connected. The load ends first.
#[derive(Debug)]
pub struct Stage {
    load: Process,
    load_log: PathBuf,
    /// The server.
    pub server: Process,
    address: SocketAddr,
}

/// What the server has done between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Time between the moments, in seconds.
    pub seconds: f64,
    /// CPU time the server has used, in seconds.
    pub cpu_s: f64,
    /// Players at the end.
    pub players: u64,
    /// Messages received, nearly all of them MOVEs.
    pub messages_in: u64,
    /// How far the load governor has climbed.
    pub governor_level: u64,
}

/// A moment, to count from.
#[derive(Debug)]
pub struct Mark {
    at: Instant,
    cpu_s: f64,
    messages_in: u64,
}

impl Stage {
    /// Starts the server and the load test from this folder, and waits until all are in. Logs go to `output`, which
    /// is the server's working directory.
    ///
    /// # Errors
    /// Either ends before its time, or fewer clients get in; the message says what was logged.
    pub fn set(load: &Load, binaries: &Path, output: &Path, interrupt: &Interrupt) -> Result<Self, Failure> {
        let server_log = output.join("server.log");
        let mut server = start_server(load, binaries, output, &server_log)?;
        let address = interrupt.wait_for(START_PATIENCE, || {
            if let Some(status) = server.status()? {
                return Err(Failure::Failed(format!("the server ended, {status}:\n{}", tail(&server_log))));
            }
            Ok(address(&fs::read_to_string(&server_log)?))
        })?;
        let address = address.ok_or_else(|| {
            Failure::Failed(format!("the server does not say where it listens:\n{}", tail(&server_log)))
        })?;
        let load_log = output.join("load-test.log");
        let log = log_file(&load_log)?;
        let mut command = Command::new(binaries.join("loadtest"));
        command.args(&load.args).arg(format!("--server=ws://{address}/ws"));
        // It is ended from here, a day is never reached.
        command.arg("--duration=24h").arg(format!("--pid={}", server.id()));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let generator = Process::start("loadtest", &mut command)?;
        let mut stage = Self { load: generator, load_log, server, address };
        stage.await_clients(load.clients as u64, interrupt)?;
        Ok(stage)
    }

    /// Waits until so many are in.
    fn await_clients(&mut self, clients: u64, interrupt: &Interrupt) -> Result<(), Failure> {
        eprintln!("profile: connecting {clients} clients to {}", self.address);
        let mut most = 0;
        while most < clients {
            let more = interrupt.wait_for(JOIN_PATIENCE, || {
                self.check_load()?;
                let health = ask::get(self.address, "/health")?;
                Ok(number(&health, "players").filter(|players| *players > most))
            })?;
            most = more.ok_or_else(|| {
                let log = tail(&self.load_log);
                Failure::Failed(format!("{most} of {clients} clients got in, and no more came:\n{log}"))
            })?;
        }
        Ok(())
    }

    /// A moment to count from.
    ///
    /// # Errors
    /// No answer from the server.
    pub fn mark(&self) -> Result<Mark, Failure> {
        let metrics = ask::get(self.address, "/metrics")?;
        let messages_in = number(&metrics, "messages_in_total").unwrap_or_default();
        Ok(Mark { at: Instant::now(), cpu_s: self.cpu_s(), messages_in })
    }

    /// What has happened since a moment.
    ///
    /// # Errors
    /// No answer from the server, or the load is gone.
    pub fn since(&mut self, mark: &Mark) -> Result<Traffic, Failure> {
        self.check_load()?;
        let metrics = ask::get(self.address, "/metrics")?;
        Ok(Traffic {
            seconds: mark.at.elapsed().as_secs_f64(),
            cpu_s: self.cpu_s() - mark.cpu_s,
            players: number(&metrics, "players").unwrap_or_default(),
            messages_in: number(&metrics, "messages_in_total").unwrap_or_default() - mark.messages_in,
            governor_level: number(&metrics, "governor_level").unwrap_or_default(),
        })
    }

    /// CPU time the server has used so far, in seconds; 0 when the kernel does not tell.
    fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.id()));
        stat.ok().and_then(|stat| cpu_jiffies(&stat)).unwrap_or_default() as f64 / JIFFIES_PER_S
    }

    /// Ends the load at once, and the server in order.
    ///
    /// # Errors
    /// The server does not end well.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.load.kill()?;
        let status = self.server.end()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::Failed(format!("the server did not end well: {status}")))
        }
    }

    fn check_load(&mut self) -> Result<(), Failure> {
        let Some(status) = self.load.status()? else { return Ok(()) };
        let text = format!("the load test ended, {status}:\n{}", tail(&self.load_log));
        // Its word for a command line that makes no sense.
        Err(if status.code() == Some(2) { Failure::Usage(text) } else { Failure::Failed(text) })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Asked politely, it would settle and compare pictures first. The processes themselves do the rest.
        let _ = self.load.kill();
    }
}

fn start_server(load: &Load, binaries: &Path, output: &Path, log: &Path) -> Result<Process, Failure> {
    let mut command = Command::new(binaries.join("pixi-game-server"));
    command.args(["--host=127.0.0.1", "--port=0"]).current_dir(output);
    command.env("LOG_LEVEL", "info").env_remove("LOG_FILE").env_remove("STATIC_DIR");
    if std::env::var_os("MAX_CONNECTIONS").is_none() {
        command.arg(format!("--max-connections={}", load.clients));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log_file(log)?);
    Process::start("pixi-game-server", &mut command)
}

/// Where the server listens, by its log.
fn address(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(LISTENING)?;
    // Without the end of the line, the address may not be whole yet.
    rest.split_once('\n')?.0.trim().parse().ok()
}

/// CPU time in user space and in the kernel, by a process's `stat`.
fn cpu_jiffies(stat: &str) -> Option<u64> {
    // The second field is a name in brackets, in which anything may stand; these are the 14th and the 15th.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(fields.next()? + fields.next()?)
}

fn number(object: &Json, key: &str) -> Option<u64> {
    object.get(key)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_a_whole_line_of_the_log() {
        assert_eq!(address("[INFO] x listening on http://127.0.0.1:81\nmore"), "127.0.0.1:81".parse().ok());
        assert_eq!(address("[INFO] x listening on http://127.0.0.1:8"), None);
        assert_eq!(address("[WARN] limits\n"), None);
    }

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 0 0 120 34 0 0 20 0 3 0";
        assert_eq!(cpu_jiffies(stat), Some(154));
        assert_eq!(cpu_jiffies("7 (a) S 1"), None);
    }
}
