//! Several processes on one port: what one core more buys.
//!
//! The load test shares the machine, so it must cost little: all clients but the oracle's sample read every five seconds
//! (`--read-every`), and wait for no readiness in between. Their sockets are as roomy as the kernel makes them, so the servers notice
//! nothing. Only the sample decodes what it receives and times acks. Each load test has as many clients as its descriptors allow.
//!
//! ```text
//! cores ──> run     servers, load tests, and the figures of both in the same window
//!       └─> report  tables, and players at the same quality
//! ```

mod report;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{CommandLine, Flag, Program, WholeSeconds, verdict};

use crate::load::rows::Row;
use crate::machine::Occasion;
use crate::results::{folder, report as write_report};
use crate::stage::Stage;
use run::{Load, Sample, run};

const PROGRAM: Program<'_> = Program {
    name: "bench cores",
    about: "Measures one process, and several that share a port and a world.\n\n\
            Exit status: 0 if every limit is met, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("parts", "LIST", "rows,players,crowd", "parts to measure").variable("PARTS"),
    Flag::new("processes", "N", "2", "processes to compare with one").within(2.0, 64.0).variable("PROCESSES"),
    Flag::new("pairs", "N", "3", "pairs of runs of a row").within(1.0, 99.0).variable("PAIRS"),
    Flag::new("duration", "TIME", "10s", "measured time of each run").within(1.0, 3_600.0).variable("DURATION"),
    Flag::new("counts", "LIST", "6000,8000,10000,12000,14000,16000", "players: numbers to try; one process takes those up to half of the largest, and to 19000").variable("COUNTS"),
    Flag::new("moves", "N", "0.2", "players: MOVEs of each per second; few, so that the load tests cost little").within(0.01, 60.0).variable("MOVES"),
    Flag::new("crowd", "N", "36000", "crowd: players").within(1.0, 1e6).variable("CROWD"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

const PARTS: [&str; 3] = ["rows", "players", "crowd"];

/// Rows of the table of loads that are repeated here.
const ROWS: [&str; 2] = ["c", "d"];

/// Load of each player of the crowd: few of them walk, so that two cores suffice for servers and load tests.
const CROWD: &str = "--profile player --moving 0.005";

/// Players of one process that its descriptors allow.
const OF_ONE_MAX: usize = 19_000;

/// A valid set of options.
struct Options {
    parts: Vec<&'static str>,
    processes: usize,
    pairs: usize,
    seconds: u64,
    counts: Vec<usize>,
    /// MOVEs of each player per second, while their number grows.
    moves: f64,
    crowd: usize,
    results: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let WholeSeconds(seconds) = line.value("duration");
    Options {
        parts: line.value_with("parts", |text, _| parts(text)),
        processes: line.value("processes"),
        pairs: line.value("pairs"),
        seconds,
        counts: line.value_with("counts", |text, _| counts(text)),
        moves: line.value("moves"),
        crowd: line.value("crowd"),
        results: line.optional("results"),
    }
}

fn parts(text: &str) -> Result<Vec<&'static str>, String> {
    let known = |part: &str| PARTS.into_iter().find(|known| *known == part);
    let parts = text.split(',').map(|part| known(part.trim())).collect::<Option<Vec<_>>>();
    parts.ok_or_else(|| format!("some of {}", PARTS.join(",")))
}

fn counts(text: &str) -> Result<Vec<usize>, String> {
    let counts = text.split(',').map(|count| count.trim().parse().ok().filter(|count| *count > 0));
    let counts = counts.collect::<Option<Vec<usize>>>().filter(|counts| counts.is_sorted());
    counts.ok_or_else(|| "growing numbers of players, such as 10000,20000".to_owned())
}

/// Measures the parts. Returns whether every limit is met.
fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let mut is_met = true;
    for part in &options.parts {
        let occasion = Occasion::current();
        let folder = folder(options.results.as_deref(), &occasion.machine)?;
        let mut missed = Vec::new();
        let section = match *part {
            "rows" => rows(&stage, options, &mut missed)?,
            "players" => players(&stage, options, &mut missed)?,
            _ => crowd(&stage, options, &mut missed)?,
        };
        let command = format!("make bench-cores PARTS={part}");
        let text = occasion.head(&format!("Several processes on one port: {part}"), &command) + &section;
        is_met &= write_report(Path::new(&folder.join(format!("cores-{part}.md"))), &text, &missed)?;
    }
    Ok(is_met)
}

fn rows(stage: &Stage, options: &Options, missed: &mut Vec<String>) -> Result<String, Failure> {
    let mut text = String::new();
    for row in ROWS.into_iter().filter_map(Row::of) {
        let load = Load::of_row(row.load, options.seconds);
        let (mut one, mut several) = (Vec::new(), Vec::new());
        for pair in 0..options.pairs {
            for turn in 0..2 {
                let is_one = (pair + turn) % 2 == 0;
                let (processes, samples) =
                    if is_one { (1, &mut one) } else { (options.processes, &mut several) };
                progress(format_args!("row {}, pair {}, processes: {processes}", row.id, pair + 1));
                samples.push(run(stage, processes, &load)?);
            }
        }
        missed.extend(problems(&one).chain(problems(&several)).map(|lost| format!("row {}: {lost}", row.id)));
        let columns = [(1, &one[..]), (options.processes, &several[..])];
        text += &report::section(&format!("{}: {}", row.id, row.title), &load, &columns);
    }
    Ok(text)
}

fn players(stage: &Stage, options: &Options, missed: &mut Vec<String>) -> Result<String, Failure> {
    let flags = format!("--moves-per-second {}", options.moves);
    let (mut one, mut several) = (Vec::new(), Vec::new());
    // Of larger numbers the equal of several processes would be unknown.
    let of_one_max = options.counts.last().map_or(0, |most| most / 2).min(OF_ONE_MAX);
    for &clients in &options.counts {
        let load = Load { clients, flags: flags.clone(), seconds: options.seconds };
        if clients <= of_one_max {
            progress(format_args!("{clients} players on one process"));
            one.push((clients, run(stage, 1, &load)?));
        }
        progress(format_args!("{clients} players on {} processes", options.processes));
        several.push((clients, run(stage, options.processes, &load)?));
    }
    let all = one.iter().chain(&several).map(|(_, sample)| sample);
    missed.extend(all.flat_map(|sample| sample.problems.clone()));
    Ok(report::growth(&flags, options.processes, &one, &several))
}

fn crowd(stage: &Stage, options: &Options, missed: &mut Vec<String>) -> Result<String, Failure> {
    let load = Load { clients: options.crowd, flags: CROWD.to_owned(), seconds: options.seconds };
    progress(format_args!("{} players on {} processes", options.crowd, options.processes));
    let sample = [run(stage, options.processes, &load)?];
    missed.extend(problems(&sample));
    Ok(report::section(
        &format!("{} players in one world", options.crowd),
        &load,
        &[(options.processes, &sample)],
    ))
}

fn problems(samples: &[Sample]) -> impl Iterator<Item = String> {
    samples.iter().flat_map(|sample| sample.problems.clone())
}
