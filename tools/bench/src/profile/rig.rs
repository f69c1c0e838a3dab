//! Starts the server and the load test, waits until all clients have joined, and ends both on drop.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use serde_json::Value as Json;

use super::Load;
use crate::kernel::cpu_s;
use crate::process::{Process, log_file, tail};
use crate::stage::{Server, Stage};

/// Timeout for the number of players to grow while clients join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A server with all clients connected. On drop, the load test ends before the server.
#[derive(Debug)]
pub struct Rig {
    load: Process,
    load_log: PathBuf,
    /// The server.
    pub server: Server,
}

/// CPU time and messages of the server over some time.
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
    /// Starts the server and the load test, and waits until all clients have joined. The logs are in `output`, the server's
    /// working directory.
    ///
    /// # Errors
    /// A program exits early, some clients don't join, or the run is interrupted. The message has the end of the log.
    pub fn set_up(stage: &Stage, load: &Load, output: &Path) -> Result<Self, Failure> {
        let (server_log, load_log) = (output.join("server.log"), output.join("load-test.log"));
        let mut command = stage.game();
        command.env("LOG_LEVEL", "info").env("MAX_CONNECTIONS", load.clients.to_string());
        command.current_dir(output).stdin(Stdio::piped()).stderr(log_file(&server_log)?);
        let server = stage.start("pixi-game-server", &mut command, "/health", Some(&server_log))?;
        // This program ends the load test long before its duration is over.
        let flags = format!("{} --duration 24h --pid {}", load.flags, server.process.id());
        let mut command = stage.load_test(server.address, &flags);
        let log = log_file(&load_log)?;
        let load_test = Process::start("loadtest", command.stdout(log.try_clone()?).stderr(log))?;
        let mut rig = Self { load: load_test, load_log, server };
        rig.await_clients(stage, load.clients)?;
        Ok(rig)
    }

    /// Waits until `clients` players have joined.
    fn await_clients(&mut self, stage: &Stage, clients: u64) -> Result<(), Failure> {
        progress(format_args!("profile: connecting {clients} clients to {}", self.server.address));
        let mut joined = 0;
        while joined < clients {
            let more = stage.interrupt.wait_for(JOIN_TIMEOUT, || {
                self.check_load()?;
                Ok(Some(self.server.players()?).filter(|players| *players > joined))
            })?;
            joined = more.ok_or_else(|| {
                let (log, waited_s) = (tail(&self.load_log), JOIN_TIMEOUT.as_secs());
                let problem =
                    format!("{joined} of {clients} clients joined, then none for {waited_s} s:\n{log}");
                Failure::Failed(problem)
            })?;
        }
        Ok(())
    }

    /// Reads the counters at the start of a period.
    ///
    /// # Errors
    /// The server does not respond.
    pub fn mark(&self) -> Result<Mark, Failure> {
        let messages_in = count(&self.server.metrics()?, "messages_in_total");
        Ok(Mark { at: Instant::now(), cpu_s: self.cpu_s(), messages_in })
    }

    /// Returns the traffic since `mark`.
    ///
    /// # Errors
    /// The server does not respond, or the load test has exited.
    pub fn since(&mut self, mark: &Mark) -> Result<Traffic, Failure> {
        self.check_load()?;
        let metrics = self.server.metrics()?;
        Ok(Traffic {
            seconds: mark.at.elapsed().as_secs_f64(),
            cpu_s: self.cpu_s() - mark.cpu_s,
            players: count(&metrics, "players"),
            messages_in: count(&metrics, "messages_in_total") - mark.messages_in,
            governor_level: count(&metrics, "governor_level"),
        })
    }

    fn cpu_s(&self) -> f64 {
        cpu_s(self.server.process.id()).unwrap_or_default()
    }

    /// Kills the load test and shuts the server down with SIGTERM.
    ///
    /// # Errors
    /// The server exits with an error status.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.load.kill()?;
        let status = self.server.process.end()?;
        let failure = || Failure::Failed(format!("the server exited with an error: {status}"));
        status.success().then_some(()).ok_or_else(failure)
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

fn count(metrics: &Json, key: &str) -> u64 {
    metrics[key].as_u64().unwrap_or_default()
}
