//! Measures the server's cost of one client's bytes: bytes out and CPU time per byte in, for each message, route and event.
//!
//! One attacker acts where idle viewers see it. Bytes out are those to all connections. The load without the attacker is
//! measured first and subtracted. It includes the viewers' regular snapshots, because one player turns once a second.
//!
//! ```text
//! amplification ──> cases     inputs and their rates
//!               ├─> measure   a case between two samples of the server's counters
//!               └─> report    table and verdict, as Markdown and as JSON
//! ```

mod cases;
mod measure;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use game_client::Failure;
use game_client::options::{Bounds, CommandLine, Flag, Program, Value as _, WholeSeconds, verdict};
use serde::{Deserialize, Serialize};

use crate::machine::Occasion;
use crate::results::{folder, print_verdict, write_both};
use crate::stage::Stage;
use report::Results;

const PROGRAM: Program<'_> = Program {
    name: "bench amplification",
    about: "Measures bytes and CPU time of the server for each byte that one client sends.\n\n\
            Exit status: 0 if every message is within its limit, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

const FLAGS: &[Flag] = &[
    Flag::new("viewers", "N", "120", "idle players that see the client").within(1.0, 1e4).variable("VIEWERS"),
    Flag::new("duration", "TIME", "5s", "measured time of each message")
        .within(5.0, 600.0)
        .variable("DURATION"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

/// Seconds between a viewer's regular snapshots. The measured time is a multiple, so that all windows contain equally many.
const SNAPSHOT_INTERVAL_S: u64 = 5;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Options {
    /// Idle players that see the attacker.
    viewers: u32,
    /// Measured time of each message, in seconds.
    seconds: u64,
    /// Folder for the results, if given.
    #[serde(skip)]
    results: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options {
        viewers: line.value("viewers"),
        seconds: line.value_with("duration", intervals),
        results: line.optional("results"),
    }
}

fn intervals(text: &str, bounds: Bounds) -> Result<u64, String> {
    let WholeSeconds(seconds) = WholeSeconds::parse(text, bounds)?;
    let is_multiple = seconds.is_multiple_of(SNAPSHOT_INTERVAL_S);
    is_multiple.then_some(seconds).ok_or_else(|| format!("a multiple of {SNAPSHOT_INTERVAL_S}s"))
}

/// Measures all cases, writes and prints the results, and returns whether every case keeps to its limit.
fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let mut results = Results { occasion: Occasion::current(), options: options.clone(), rows: Vec::new() };
    let server = stage.start("pixi-game-server", &mut stage.game(), "/health", None)?;
    results.rows = measure::all(server.address, options, &stage.interrupt)?;
    drop(server);
    let folder = folder(options.results.as_deref(), &results.occasion.machine)?;
    let markdown = results.markdown();
    write_both(&folder, "amplification", &results, &markdown)?;
    Ok(print_verdict(&markdown, &folder.join("amplification.md"), &results.missed()))
}
