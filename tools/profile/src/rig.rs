//! The server and its load: started, connected, settled; ended when dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use stage::console::progress;
use stage::process::{log_file, tail};
use stage::server::{ReadinessProbe, free_port, start_server};
use stage::{Failure, Interrupt, Process, http};

use crate::options::Load;

/// The unit of `/proc`, on every Linux.
const JIFFIES_PER_S: f64 = 100.0;

/// Longest wait for an answer; a server that counts allocations may stand still for seconds.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for another client to get in.
const JOIN_PATIENCE: Duration = Duration::from_secs(15);

/// A server with all clients connected. The load ends first.
#[derive(Debug)]
pub struct Rig {
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

impl Rig {
    /// Starts the server and the load test from this folder, and waits until all are in. Logs go to `output`, which
    /// is the server's working directory.
    ///
    /// # Errors
    /// Either ends before its time, or fewer clients get in; the message says what was logged.
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
        // It is ended from here, a day is never reached.
        command.arg("--duration=24h").arg(format!("--pid={}", server.id()));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let generator = Process::start("loadtest", &mut command)?;
        let mut rig = Self { load: generator, load_log, server, address };
        rig.await_clients(load.clients as u64, interrupt)?;
        Ok(rig)
    }

    /// Waits until so many are in.
    fn await_clients(&mut self, clients: u64, interrupt: &Interrupt) -> Result<(), Failure> {
        progress(format_args!("profile: connecting {clients} clients to {}", self.address));
        let mut most = 0;
        while most < clients {
            let more = interrupt.wait_for(JOIN_PATIENCE, || {
                self.check_load()?;
                let health = http::get_json(self.address, "/health", ANSWER_PATIENCE)?;
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
        let metrics = http::get_json(self.address, "/metrics", ANSWER_PATIENCE)?;
        let messages_in = number(&metrics, "messages_in_total").unwrap_or_default();
        Ok(Mark { at: Instant::now(), cpu_s: self.cpu_s(), messages_in })
    }

    /// What has happened since a moment.
    ///
    /// # Errors
    /// No answer from the server, or the load is gone.
    pub fn since(&mut self, mark: &Mark) -> Result<Traffic, Failure> {
        self.check_load()?;
        let metrics = http::get_json(self.address, "/metrics", ANSWER_PATIENCE)?;
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

impl Drop for Rig {
    fn drop(&mut self) {
        // Asked politely, it would settle and compare pictures first. The processes themselves do the rest.
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
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 0 0 120 34 0 0 20 0 3 0";
        assert_eq!(cpu_jiffies(stat), Some(154));
        assert_eq!(cpu_jiffies("7 (a) S 1"), None);
    }
}
