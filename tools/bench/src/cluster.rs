//! A cluster of several servers with one world: delays for players, effects of faults, and cost; or a demonstration.
//!
//! ```text
//! cluster ──> local                the nodes, Redis and HAProxy
//!         ├─> views, faults, cost  the measurements, one Markdown section each
//!         └─> demo                 keeps the cluster running, with a load test through it if there is one
//! ```

mod cost;
mod demo;
mod faults;
pub mod local;
mod views;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::Failure;
use game_client::options::{CommandLine, Flag, Program, verdict};

use crate::machine::Occasion;
use crate::results::{folder, report};
use crate::stage::Stage;

const PROGRAM: Program<'_> = Program {
    name: "bench cluster",
    about: "Measures a cluster of several servers: delays, losses after faults, and cost. With --demo, starts Redis, \
            three servers and HAProxy, or several processes on one port, and keeps them running until Ctrl-C.\n\n\
            Exit status: 0 if every limit is met or the demo ended well, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("parts", "LIST", "views,faults,cost", "parts to measure").variable("PARTS"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
    Flag::switch("demo", "keep a cluster running instead"),
    Flag::new("port", "PORT", "8108", "demo: port of the game").within(1.0, 65_535.0).variable("PORT"),
    Flag::new("processes", "N", "", "demo: processes on one port instead, without HAProxy").within(2.0, 64.0).variable("PROCESSES"),
    Flag::new("load", "FLAGS", "", "demo: load test to run through the balancer; the demo ends with it").variable("LOAD"),
];

/// The parts that can be measured.
const PARTS: [&str; 3] = ["views", "faults", "cost"];

/// A valid set of options.
enum Options {
    Measure { parts: Vec<&'static str>, results: Option<PathBuf> },
    Demo { port: u16, processes: Option<usize>, load: String },
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| match options {
        Options::Measure { parts, results } => verdict(bench(&parts, results.as_deref())),
        Options::Demo { port, processes, load } => verdict(demo::run(port, processes, &load)),
    })
}

fn options(line: &mut CommandLine<'_>) -> Options {
    if line.is_given("demo") {
        let (port, processes) = (line.value("port"), line.optional("processes"));
        return Options::Demo { port, processes, load: line.text("load").to_owned() };
    }
    Options::Measure {
        parts: line.value_with("parts", |text, _| parts(text)),
        results: line.optional("results"),
    }
}

fn parts(text: &str) -> Result<Vec<&'static str>, String> {
    let known = |part: &str| PARTS.into_iter().find(|known| *known == part);
    let parts = text.split(',').map(|part| known(part.trim())).collect::<Option<Vec<_>>>();
    parts.ok_or_else(|| format!("some of {}", PARTS.join(",")))
}

/// Measures the parts. Returns whether every limit is met.
fn bench(parts: &[&str], given: Option<&Path>) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let mut is_met = true;
    for part in parts {
        let occasion = Occasion::current();
        let folder = folder(given, &occasion.machine)?;
        let mut missed = Vec::new();
        let section = match *part {
            "views" => views::measure(&stage, &mut missed)?,
            "faults" => faults::measure(&stage, &mut missed)?,
            _ => cost::measure(&stage)?,
        };
        let command = format!("make bench-cluster PARTS={part}");
        let text = occasion.head(&format!("One world of several servers: {part}"), &command) + &section;
        is_met &= report(&folder.join(format!("cluster-{part}.md")), &text, &missed)?;
    }
    Ok(is_met)
}
