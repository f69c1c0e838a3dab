//! Starts the server and the load test, waits until all clients have joined, and ends both on drop.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use game_client::console::progress;
use game_client::{Failure, Interrupt, http};
use serde_json::Value as Json;
use stage::Process;
use stage::process::{log_file, tail};
use stage::server::{ReadinessProbe, free_port, start_server};

use crate::options::Load;

/// Unit of the CPU times in `/proc`: `USER_HZ`, 100 on every Linux architecture in use.
const JIFFIES_PER_S: f64 = 100.0;

/// Timeout of an HTTP request. A server that counts allocations may stall for seconds.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the number of players to grow while clients join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A server with all clients connected. On drop, the load test ends before the server.
#[derive(Debug)]
pub struct Rig {
    load: Process,
    load_log: PathBuf,
    /// The server process.
    pub server: Process,
    address: SocketAddr,
}

/// CPU time and messages of the server since a [`Mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Elapsed time, in seconds.
    pub seconds: f64,
    /// CPU time used by the server, in seconds.
    pub cpu_s: f64,
    /// Players at the end of the period.
    pub players: u64,
    /// Messages received from clients, nearly all of them MOVEs.
    pub messages_in: u64,
    /// Quality level of the governor at the end; 0 is full quality.
    pub governor_level: u64,
}

/// Counters at the start of a period.
#[derive(Debug)]
pub struct Mark {
    at: Instant,
    cpu_s: f64,
    messages_in: u64,
}

impl Rig {
    /// Starts the server and the load test from the directory `binaries`, and waits until all clients have joined. The
    /// logs are in `output`, the server's working directory.
    ///
    /// # Errors
    /// A program exits early, some clients don't join, or the run is interrupted. The message has the end of the log.
    pub fn set_up(
        load: &Load,
        binaries: &Path,
        output: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let server_log = output.join("server.log");
        let probe = ReadinessProbe { port: free_port()?, path: "/health", log: Some(&server_log) };
        let mut command = server_command(load, binaries, output, probe.port);
        command.stderr(log_file(&server_log)?);
        let server = start_server("pixi-game-server", &mut command, probe, interrupt)?;
        let address = probe.address();
        let load_log = output.join("load-test.log");
        let log = log_file(&load_log)?;
        let mut command = Command::new(binaries.join("loadtest"));
        command.args(&load.args).arg(format!("--server=ws://{address}/ws"));
        // This program ends the load test long before its duration is over.
        command.arg("--duration=24h").arg(format!("--pid={}", server.id()));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let load_test = Process::start("loadtest", &mut command)?;
        let mut rig = Self { load: load_test, load_log, server, address };
        rig.await_clients(load.clients as u64, interrupt)?;
        Ok(rig)
    }

    /// Waits until `clients` players have joined.
    fn await_clients(&mut self, clients: u64, interrupt: &Interrupt) -> Result<(), Failure> {
        progress(format_args!("profile: connecting {clients} clients to {}", self.address));
        let mut joined = 0;
        while joined < clients {
            let more = interrupt.wait_for(JOIN_TIMEOUT, || {
                self.check_load()?;
                let health = http::get_json(self.address, "/health", RESPONSE_TIMEOUT)?;
                Ok(number(&health, "players").filter(|players| *players > joined))
            })?;
            joined = more.ok_or_else(|| {
                let log = tail(&self.load_log);
                let waited_s = JOIN_TIMEOUT.as_secs();
                Failure::Failed(format!(
                    "{joined} of {clients} clients joined, then none for {waited_s} s:\n{log}"
                ))
            })?;
        }
        Ok(())
    }

    /// Reads the counters at the start of a period.
    ///
    /// # Errors
    /// The server does not respond.
    pub fn mark(&self) -> Result<Mark, Failure> {
        let metrics = http::get_json(self.address, "/metrics", RESPONSE_TIMEOUT)?;
        let messages_in = number(&metrics, "messages_in_total").unwrap_or_default();
        Ok(Mark { at: Instant::now(), cpu_s: self.cpu_s(), messages_in })
    }

    /// Returns the traffic since `mark`.
    ///
    /// # Errors
    /// The server does not respond, or the load test has exited.
    pub fn since(&mut self, mark: &Mark) -> Result<Traffic, Failure> {
        self.check_load()?;
        let metrics = http::get_json(self.address, "/metrics", RESPONSE_TIMEOUT)?;
        Ok(Traffic {
            seconds: mark.at.elapsed().as_secs_f64(),
            cpu_s: self.cpu_s() - mark.cpu_s,
            players: number(&metrics, "players").unwrap_or_default(),
            messages_in: number(&metrics, "messages_in_total").unwrap_or_default() - mark.messages_in,
            governor_level: number(&metrics, "governor_level").unwrap_or_default(),
        })
    }

    /// Returns the CPU time used by the server since its start, in seconds; 0 if `/proc` can't be read.
    fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.id()));
        stat.ok().and_then(|stat| cpu_jiffies(&stat)).unwrap_or_default() as f64 / JIFFIES_PER_S
    }

    /// Kills the load test and shuts the server down with SIGTERM.
    ///
    /// # Errors
    /// The server exits with an error status.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.load.kill()?;
        let status = self.server.end()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::Failed(format!("the server exited with an error: {status}")))
        }
    }

    fn check_load(&mut self) -> Result<(), Failure> {
        let Some(status) = self.load.status()? else { return Ok(()) };
        let text = format!("the load test exited early, {status}:\n{}", tail(&self.load_log));
        // The load test exits with 2 if its command line is invalid.
        Err(if status.code() == Some(2) { Failure::Usage(text) } else { Failure::Failed(text) })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // SIGKILL, since on SIGTERM the load test would first settle and compare its clients' states.
        let _ = self.load.kill();
    }
}

fn server_command(load: &Load, binaries: &Path, output: &Path, port: u16) -> Command {
    let mut command = Command::new(binaries.join("pixi-game-server"));
    command.args(["--host=127.0.0.1".to_owned(), format!("--port={port}")]).current_dir(output);
    command.env("LOG_LEVEL", "info").env_remove("LOG_FILE").env_remove("STATIC_DIR");
    if std::env::var_os("MAX_CONNECTIONS").is_none() {
        command.arg(format!("--max-connections={}", load.clients));
    }
    command.stdin(Stdio::piped());
    command
}

/// Returns a process's CPU time in user space and kernel together, from the text of `/proc/PID/stat`.
fn cpu_jiffies(stat: &str) -> Option<u64> {
    // The second field, the name in parentheses, may contain spaces and parentheses. The times are fields 14 and 15.
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
    fn cpu_time_is_read_despite_parentheses_in_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 0 0 120 34 0 0 20 0 3 0";
        assert_eq!(cpu_jiffies(stat), Some(154));
        assert_eq!(cpu_jiffies("7 (a) S 1"), None);
    }
}
