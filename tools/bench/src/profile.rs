//! Profiles the server's CPU time or heap: starts the server and the load test, measures, and prints a summary of ten
//! lines.
//!
//! ```text
//! profile ──> cpu   sampling with perf, and the flame graph by inferno
//!         └─> mem   counting allocations in the server, in DHAT's format
//! ```

mod cpu;
mod mem;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::{output, progress};
use game_client::options::{CommandLine, Flag, Program};
use game_client::text::thousands;

use crate::process::{Process, log_file};
use crate::stage::{Server, Stage};

const PROGRAM: Program<'_> = Program {
    name: "bench profile",
    about: "Starts a server and a load test, and profiles the server's CPU time or heap.\n\n    \
            bench profile cpu [FLAGS]\n    bench profile mem [FLAGS]\n\n\
            cpu: samples stacks with perf. Draws the flame graph cpu.svg; `perf report` reads perf.data.\n\
            mem: counts every allocation in two phases: until all clients have settled, and in the steady state.\n     \
            DHAT's viewer shows dhat-heap.json and dhat-heap-steady.json.\n\n\
            All files are in target/profile.",
    flags: FLAGS,
    takes_arguments: true,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("seconds", "N", "10", "duration of the measurement, after all clients have settled").within(1.0, 3_600.0).variable("PROFILE_SECONDS"),
    Flag::new("load", "FLAGS", "--clients 10000 --moves-per-second 2", "flags of the load test, except server and duration").variable("LOAD"),
];

/// The server's connection limit, which fits into the usual hard limit of 20,000 open files.
const MAX_CONNECTIONS: &str = "19400";

/// Time without a new player after which all clients have joined and settled. It exceeds a client's wait for its first
/// snapshot, after which all buffers have reached their final size.
const SETTLE_TIME: Duration = Duration::from_secs(7);

/// Prefix of the names of the server's functions.
const PROJECT: &str = "pixi_game_server::";

/// A valid set of options.
struct Options {
    /// Whether to measure the heap instead of CPU time.
    is_mem: bool,
    /// Duration of the measurement, after all clients have joined and settled.
    duration: Duration,
    /// The load test's flags.
    load: String,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| {
        run(&options).map(|text| {
            output(format_args!("{}", text.trim_end()));
            ExitCode::SUCCESS
        })
    })
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let arguments = line.arguments.join(" ");
    let is_mem = arguments == "mem";
    if !is_mem && arguments != "cpu" {
        line.problems.push(format!("{arguments:?}: expected cpu or mem; see --help"));
    }
    let duration = Duration::from_secs(line.value("seconds"));
    Options { is_mem, duration, load: line.text("load").to_owned() }
}

/// Measures and returns the text to print.
fn run(options: &Options) -> Result<String, Failure> {
    let stage = Stage::new()?;
    let output = stage.folder().with_file_name("profile");
    std::fs::create_dir_all(&output)?;
    if options.is_mem { mem::run(options, &stage, &output) } else { cpu::run(options, &stage, &output) }
}

/// A server under load. On drop, the load test ends before the server.
struct Rig {
    load: Process,
    server: Server,
}

/// The load on the server during a measurement.
struct Traffic {
    /// Players at its end.
    players: u64,
    /// Messages received from clients, nearly all of them MOVEs.
    messages_in: u64,
    /// Players, messages, quality level and CPU time, in one line.
    headline: String,
}

impl Rig {
    /// Starts the server and the load test, and waits until all clients have joined and settled. `output` is the server's
    /// working directory, with its log.
    ///
    /// # Errors
    /// A program exits early, no client joins, or the run is interrupted.
    fn set_up(stage: &Stage, load: &str, output: &Path) -> Result<Rig, Failure> {
        let log = output.join("server.log");
        let mut command = stage.game();
        command.env("LOG_LEVEL", "info").env("MAX_CONNECTIONS", MAX_CONNECTIONS);
        command.current_dir(output).stdin(Stdio::piped()).stderr(log_file(&log)?);
        let server = stage.start("pixi-game-server", &mut command, "/health", Some(&log))?;
        progress(format_args!("profile: connecting clients to {}: {load}", server.address));
        // This program ends the load test long before its duration is over. The last of two equal flags wins.
        let flags = format!("{load} --duration 24h --pid {}", server.process.id());
        let mut rig = Rig { load: stage.start_load(server.address, &flags)?, server };
        let (mut most, mut since) = (0, Instant::now());
        while since.elapsed() < SETTLE_TIME {
            rig.check_load()?;
            let players = rig.server.players()?;
            if players > most {
                (most, since) = (players, Instant::now());
            }
            stage.interrupt.sleep(Duration::from_millis(100))?;
        }
        if most == 0 { Err(Failure::Failed("no client has joined".to_owned())) } else { Ok(rig) }
    }

    /// Runs `work`. Returns its result and the load meanwhile.
    fn during<T>(
        &mut self,
        work: impl FnOnce(&Server) -> Result<T, Failure>,
    ) -> Result<(T, Traffic), Failure> {
        let (before, began) = (self.server.metrics()?, Instant::now());
        let done = work(&self.server)?;
        let (after, seconds) = (self.server.metrics()?, began.elapsed().as_secs_f64());
        self.check_load()?;
        let count = |key: &str| after[key].as_u64().unwrap_or_default();
        let more = |key: &str| count(key) - before[key].as_u64().unwrap_or_default();
        let (players, messages_in, cpu_s) =
            (count("players"), more("messages_in_total"), more("cpu_ns_total") as f64 / 1e9);
        let headline = format!(
            "{} players, {} messages/s in, {seconds:.0} s, quality level {}: {:.2} cores, {:.1} us of CPU per message",
            thousands(players),
            thousands((messages_in as f64 / seconds) as u64),
            count("governor_level"),
            cpu_s / seconds,
            cpu_s * 1e6 / messages_in.max(1) as f64,
        );
        Ok((done, Traffic { players, messages_in, headline }))
    }

    /// Kills the load test and shuts the server down with SIGTERM.
    ///
    /// # Errors
    /// The server exits with an error status.
    fn end(mut self) -> Result<(), Failure> {
        self.load.kill()?;
        let status = self.server.process.end()?;
        let failure = || Failure::Failed(format!("the server exited with an error: {status}"));
        status.success().then_some(()).ok_or_else(failure)
    }

    fn check_load(&mut self) -> Result<(), Failure> {
        let Some(status) = self.load.status()? else { return Ok(()) };
        let text = format!("the load test exited early, {status}");
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

/// Counts by name.
type Counts = BTreeMap<String, u64>;

/// Returns the `most` largest counts with their percentage of `all`.
fn ranked(counts: &Counts, all: u64, most: usize) -> impl Iterator<Item = (String, &str)> {
    let mut rows: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    rows.into_iter().take(most).map(move |(name, count)| (percent(count, all), name))
}

/// Formats a part of a whole as a percentage; 0 if the whole is 0.
fn percent(part: u64, whole: u64) -> String {
    format!("{:5.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Whether a function belongs to the server's crate, as opposed to a library or the kernel.
fn is_ours(function: &str) -> bool {
    function.trim_start_matches(['<', '&']).starts_with(PROJECT)
}
