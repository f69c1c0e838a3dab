//! One pair: the load test alone, and the same beside the hostile peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pixi_game_server::config::SETTINGS;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stage::console::say;
use stage::process::{log_file, output_of};
use stage::server::{Listening, folder_with, free_port, serve};
use stage::{Failure, Interrupt, Process, http};

use crate::footprint::{Footprint, most_while};
use crate::options::Options;

/// How long a server may take to answer; beside hostile peers it is busy.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the hostile peers may take to come in, and the server to be rid of them: longer than any of its timeouts.
const PEERS_PATIENCE: Duration = Duration::from_secs(100);

/// Part of the hostile peers that are connected before the players come: some are always on their way back.
const PEERS_PART: f64 = 0.5;

/// Beyond any run: the hostile peers are ended from here.
const HOSTILE_DURATION: &str = "24h";

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

/// What runs take.
pub struct Bench {
    /// Where the programs are.
    folder: PathBuf,
    interrupt: Interrupt,
}

/// A server of its own, and where it listens.
struct Stand {
    server: Process,
    listening: Listening<'static>,
}

impl Bench {
    /// Takes the programs that lie beside this one.
    ///
    /// # Errors
    /// One of them is not there, or no descriptor is left.
    pub fn new() -> Result<Bench, Failure> {
        let folder = folder_with(&["pixi-game-server", "loadtest", "hostile"])?;
        Ok(Bench { folder, interrupt: Interrupt::watch()? })
    }

    /// Measures alone and beside, in this order or the other.
    ///
    /// # Errors
    /// A program does not run, or somebody interrupts. What the server does wrong is none: it is for judging.
    pub fn pair(&self, options: &Options, beside_first: bool) -> Result<Pair, Failure> {
        let first = if beside_first { None } else { Some(self.alone(options)?) };
        let mut pair = self.beside(options)?;
        pair.alone = match first {
            Some(alone) => alone,
            None => self.alone(options)?,
        };
        Ok(pair)
    }

    fn alone(&self, options: &Options) -> Result<Json, Failure> {
        say(format_args!("  {} players alone", options.clients));
        let stand = self.serve()?;
        self.load(&stand, options)
    }

    /// Everything but the players alone.
    fn beside(&self, options: &Options) -> Result<Pair, Failure> {
        say(format_args!("  {} players beside {} hostile peers", options.clients, options.peers));
        let stand = self.serve()?;
        let pid = stand.server.id();
        let before = Footprint::of(pid);
        let output = std::env::temp_dir().join(format!("bench-hostile-{}.json", std::process::id()));
        let mut hostile = self.bother(&stand, options, &output)?;
        let wanted = (f64::from(options.peers) * PEERS_PART) as u64;
        self.await_connections(&stand, Some(&mut hostile), |open| open >= wanted)?;
        let (beside, with) = most_while(pid, || self.load(&stand, options));
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

    fn serve(&self) -> Result<Stand, Failure> {
        let listening = Listening { port: free_port()?, path: "/health", log: None };
        let mut command = self.program("pixi-game-server");
        // The defaults are what is measured, whatever is set around here.
        for setting in SETTINGS {
            command.env_remove(setting.variable);
        }
        command.envs([("HOST", "127.0.0.1"), ("LOG_LEVEL", "error")]);
        command.env("PORT", listening.port.to_string()).stdin(Stdio::null());
        let server = serve("pixi-game-server", &mut command, listening, &self.interrupt)?;
        Ok(Stand { server, listening })
    }

    fn bother(&self, stand: &Stand, options: &Options, output: &Path) -> Result<Process, Failure> {
        let mut command = self.program("hostile");
        command.args(["--json", "--server", &url(stand), "--duration", HOSTILE_DURATION]);
        command
            .args(["--peers", &options.peers.to_string(), "--kinds", &options.kinds])
            .stdin(Stdio::null())
            .stdout(log_file(output)?);
        Process::start("hostile", &mut command)
    }

    fn load(&self, stand: &Stand, options: &Options) -> Result<Json, Failure> {
        let mut command = self.program("loadtest");
        command.args(["--json", "--server", &url(stand), "--pid", &stand.server.id().to_string()]);
        command.args(load_flags(options).split(' '));
        let results = output_of("loadtest", &mut command, &self.interrupt)?;
        serde_json::from_str(&results)
            .map_err(|error| Failure::Failed(format!("loadtest: no results: {error}")))
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
            let answer = http::get_json(stand.listening.address(), "/metrics", ANSWER_PATIENCE);
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
    format!("ws://{}/ws", stand.listening.address())
}

/// What the load test is told beside the server.
pub fn load_flags(options: &Options) -> String {
    format!(
        "--clients {} --moves-per-second {} --duration {}s",
        options.clients, options.moves, options.seconds
    )
}
