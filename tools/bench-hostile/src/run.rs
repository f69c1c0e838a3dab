//! One pair: the load test alone, and the same beside the hostile peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bench_hostile::stand::{self, Stand};
use hostile::attack::{Attack, Figure};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stage::console::progress;
use stage::process::{log_file, output_of};
use stage::server::folder_with;
use stage::{Failure, Interrupt, Process, http};

use crate::figures::essence;
use crate::footprint::{Footprint, most_while};
use crate::options::Plan;

/// How long a server may take to answer; beside hostile peers it is busy.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the hostile peers may take to come in, and the server to be rid of them: longer than any of its timeouts.
const PEERS_PATIENCE: Duration = Duration::from_secs(100);

/// Part of the hostile peers that are connected before the players come: some are always on their way back.
const PEERS_PART: f64 = 0.5;

/// Beyond any run: the hostile peers are ended from here.
const HOSTILE_DURATION: &str = "24h";

/// The file that a healthy client downloads slowly, and its size: four seconds' worth.
const DOWNLOAD: &str = "download.bin";
const DOWNLOAD_BYTES: usize = 4 << 20;

/// What came of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The load test's results with nobody beside it.
    pub alone: Json,
    /// The same with the hostile peers beside it.
    pub beside: Json,
    /// What the hostile peers met with.
    pub hostile: Json,
    /// What the server held before anybody came.
    pub before: Footprint,
    /// The most it held while all were there.
    pub with: Footprint,
    /// What it held when all had gone.
    pub after: Footprint,
}

impl Pair {
    /// The attack's own figures; none of peers that attack in no plan of theirs.
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

/// What runs take.
pub struct Bench {
    /// Where the programs are.
    folder: PathBuf,
    /// Where the servers' files are, while there are any.
    files: PathBuf,
    interrupt: Interrupt,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It is not there where no plan needed it.
        let _ = fs::remove_dir_all(&self.files);
    }
}

impl Bench {
    /// Takes the programs that lie beside this one.
    ///
    /// # Errors
    /// One of them is not there, or no descriptor is left.
    pub fn new() -> Result<Bench, Failure> {
        let folder = folder_with(&["pixi-game-server", "loadtest", "hostile"])?;
        let files = std::env::temp_dir().join(format!("bench-hostile-files-{}", std::process::id()));
        Ok(Bench { folder, files, interrupt: Interrupt::watch()? })
    }

    /// Measures alone and beside, in this order or the other.
    ///
    /// # Errors
    /// A program does not run, or somebody interrupts. What the server does wrong is none: it is for judging.
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

    /// Everything but the players alone.
    fn beside(&self, plan: &Plan) -> Result<Pair, Failure> {
        progress(format_args!("  {} players beside {} hostile peers", plan.clients, plan.peers));
        let stand = self.start_server(plan)?;
        let pid = stand.server.id();
        let before = Footprint::of(pid);
        let output = std::env::temp_dir().join(format!("bench-hostile-{}.json", std::process::id()));
        let mut hostile = self.bother(&stand, plan, &output)?;
        if let Some(attack) = plan.attack {
            // How many of these the server lets in is its own affair.
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
        // The one connection is the question's own.
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

    fn bother(&self, stand: &Stand, plan: &Plan, output: &Path) -> Result<Process, Failure> {
        let mut command = self.program("hostile");
        command.args(["--json", "--server", &url(stand), "--duration", HOSTILE_DURATION]);
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

    /// Waits until the server has as many connections as is wanted.
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
            // Beside those who keep all places at its door the server may have none for the question.
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
