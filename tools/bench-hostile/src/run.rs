//! One pair: the load test alone, and beside the hostile peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bench_hostile::stand::{self, Stand};
use game_client::console::progress;
use game_client::{Failure, Interrupt, http};
use loadtest::hostile::attack::{Attack, Figure};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stage::Process;
use stage::process::{log_file, output_of};
use stage::server::folder_with;

use crate::figures::essence;
use crate::footprint::{Footprint, most_while};
use crate::options::Plan;

/// Timeout of a response. It is long, because the server is busy beside hostile peers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Maximum time until the hostile peers are connected, and until the server has closed them; exceeds every timeout of the server.
const PEERS_PATIENCE: Duration = Duration::from_secs(100);

/// Fraction of the hostile peers that must be connected before the players start; some are always reconnecting.
const PEERS_PART: f64 = 0.5;

/// Longer than any run; this program ends the hostile peers.
const HOSTILE_DURATION: &str = "24h";

/// The file that a healthy client downloads slowly, and its size: four seconds at 1 MiB/s.
const DOWNLOAD: &str = "download.bin";
const DOWNLOAD_BYTES: usize = 4 << 20;

/// The results of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Results of the load test alone.
    pub alone: Json,
    /// Results of the load test beside the hostile peers.
    pub beside: Json,
    /// Results of the hostile peers.
    pub hostile: Json,
    /// Footprint of the server before the first connection.
    pub before: Footprint,
    /// Maximum footprint during the load.
    pub with: Footprint,
    /// Footprint after all connections have closed.
    pub after: Footprint,
}

impl Pair {
    /// Returns the figures of the attack; empty for kinds of peers.
    pub fn outcomes(&self) -> Vec<Figure> {
        if self.hostile["kinds"].is_object() {
            return Vec::new();
        }
        let lacking = || Figure {
            name: "the attack's figures".to_owned(),
            value: None,
            at_most: None,
            at_least: Some(1.0),
        };
        serde_json::from_value(self.hostile["figures"].clone()).unwrap_or_else(|_| vec![lacking()])
    }
}

/// The programs and files of the runs.
pub struct Bench {
    /// Folder of the programs.
    folder: PathBuf,
    /// Folder of the servers' static files, if a plan needs them.
    files: PathBuf,
    interrupt: Interrupt,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The folder is missing if no plan needed it.
        let _ = fs::remove_dir_all(&self.files);
    }
}

impl Bench {
    /// Locates the programs beside this one.
    ///
    /// # Errors
    /// A program is missing, or no descriptor is left.
    pub fn new() -> Result<Bench, Failure> {
        let folder = folder_with(&["pixi-game-server", "loadtest"])?;
        let files = std::env::temp_dir().join(format!("bench-hostile-files-{}", std::process::id()));
        Ok(Bench { folder, files, interrupt: Interrupt::watch()? })
    }

    /// Runs both parts of a pair: beside hostile peers first, or alone first.
    ///
    /// # Errors
    /// A program can't be run, or a signal interrupts. Faults of the server are part of the results.
    pub fn pair(&self, plan: &Plan, beside_first: bool) -> Result<Pair, Failure> {
        let first = if beside_first { None } else { Some(self.alone(plan)?) };
        let mut pair = self.beside(plan)?;
        pair.alone = match first {
            Some(alone) => alone,
            None => self.alone(plan)?,
        };
        Ok(pair)
    }

    fn alone(&self, plan: &Plan) -> Result<Json, Failure> {
        progress(format_args!("  {} players alone", plan.clients));
        let stand = self.start_server(plan)?;
        self.load(&stand, plan)
    }

    /// Measures the run beside hostile peers, and the server's footprint.
    fn beside(&self, plan: &Plan) -> Result<Pair, Failure> {
        progress(format_args!("  {} players beside {} hostile peers", plan.clients, plan.peers));
        let stand = self.start_server(plan)?;
        let pid = stand.server.id();
        let before = Footprint::of(pid);
        let output = std::env::temp_dir().join(format!("bench-hostile-{}.json", std::process::id()));
        let mut hostile = self.start_hostile(&stand, plan, &output)?;
        if let Some(attack) = plan.attack {
            // The server decides how many of these peers it accepts.
            self.interrupt.sleep(Duration::from_secs(attack.lead_seconds()))?;
        } else {
            let wanted = (f64::from(plan.peers) * PEERS_PART) as u64;
            self.await_connections(&stand, Some(&mut hostile), |open| open >= wanted)?;
        }
        let (beside, with) = most_while(pid, || self.load(&stand, plan));
        let beside = beside?;
        let status = hostile.end()?;
        let counts = fs::read_to_string(&output)?;
        let _ = fs::remove_file(&output);
        let hostile = serde_json::from_str(&counts)
            .map_err(|error| Failure::Failed(format!("hostile: {status}, and no counts: {error}")))?;
        // The `/metrics` request has a connection of its own.
        self.await_connections(&stand, None, |open| open <= 1)?;
        Ok(Pair { alone: Json::Null, beside, hostile, before, with, after: Footprint::of(pid) })
    }

    fn start_server(&self, plan: &Plan) -> Result<Stand, Failure> {
        let mut command = self.program("pixi-game-server");
        if plan.attack == Some(Attack::Slots) {
            fs::create_dir_all(&self.files)?;
            fs::write(self.files.join(DOWNLOAD), vec![b'.'; DOWNLOAD_BYTES])?;
            return stand::start_server(command.arg("--static-dir").arg(&self.files), &self.interrupt);
        }
        stand::start_server(&mut command, &self.interrupt)
    }

    fn start_hostile(&self, stand: &Stand, plan: &Plan, output: &Path) -> Result<Process, Failure> {
        let mut command = self.program("loadtest");
        command.args(["hostile", "--json", "--server", &url(stand), "--duration", HOSTILE_DURATION]);
        command.args(plan.hostile_flags().split(' '));
        if plan.attack == Some(Attack::Slots) {
            command.args(["--download", &format!("/{DOWNLOAD}")]);
        }
        command.stdin(Stdio::null()).stdout(log_file(output)?);
        Process::start("hostile", &mut command)
    }

    fn load(&self, stand: &Stand, plan: &Plan) -> Result<Json, Failure> {
        let mut command = self.program("loadtest");
        command.args(["--json", "--server", &url(stand), "--pid", &stand.server.id().to_string()]);
        command.args(plan.load_flags().split(' '));
        let results = output_of("loadtest", &mut command, &self.interrupt)?;
        let results: Json = serde_json::from_str(&results)
            .map_err(|error| Failure::Failed(format!("loadtest: no results: {error}")))?;
        Ok(essence(&results))
    }

    /// Waits until the number of open connections is as wanted.
    fn await_connections(
        &self,
        stand: &Stand,
        mut hostile: Option<&mut Process>,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Result<(), Failure> {
        let mut open = 0;
        let found = self.interrupt.wait_for(PEERS_PATIENCE, || {
            if let Some(hostile) = &mut hostile
                && let Some(status) = hostile.status()?
            {
                return Err(Failure::Failed(format!("hostile: ended at its start with {status}")));
            }
            // The request may find no free slot while the peers hold all of them.
            let answer = http::get_json(stand.address(), "/metrics", ANSWER_PATIENCE);
            let Ok(metrics) = answer else { return Ok(None) };
            open = metrics["connections"]["open"].as_u64().unwrap_or_default();
            Ok(is_wanted(open).then_some(()))
        })?;
        let seconds = PEERS_PATIENCE.as_secs();
        found.ok_or_else(|| Failure::Failed(format!("the server has {open} connections after {seconds} s")))
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join(name))
    }
}

fn url(stand: &Stand) -> String {
    format!("ws://{}/ws", stand.address())
}
