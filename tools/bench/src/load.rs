//! Load benchmarks: a table of loads with targets, run against the server and recorded for comparison.
//!
//! Each run of the game server is followed by two runs of the floor under the same load. The floor makes as many
//! reads and writes without a game. The report gives the server's CPU time relative to the cost of these socket calls.
//! With `--check`, a short run of one row prints yes, no, or that it can't tell, and writes nothing.
//!
//! ```text
//! load ──> rows      the table: loads and targets, as data
//!      ├─> run       one run of a row against the server, and against the floor with as many writes
//!      ├─> results   judges and stores rows, as JSON, Markdown and text
//!      └─> verdict   the result of a check
//! ```

mod results;
pub mod rows;
pub mod run;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use game_client::Failure;
use game_client::console::{output, progress};
use game_client::options::{CommandLine, Flag, Program, WholeSeconds, verdict as met};

use crate::machine::{Machine, Occasion};
use crate::results::folder;
use crate::stage::Stage;
use results::{Entry, Results};
use rows::{GROWTH, ROWS, Row};
use run::run;
use verdict::{Bottlenecks, UNKNOWN, Verdict};

const FLAGS: &[Flag] = &[
    Flag::new("runs", "N", "", "runs of each row [3; check: 1]").within(1.0, 99.0).variable("RUNS"),
    Flag::new("duration", "TIME", "", "measured time of each run [60s; check: 20s]")
        .within(1.0, 3_600.0)
        .variable("DURATION"),
    Flag::new("rows", "LETTERS", "", "rows to run, such as a,c [all; check: c]").variable("ROWS"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
    Flag::switch("check", "print yes, no or can't tell, and write nothing"),
];

/// A valid set of options.
#[derive(Debug)]
struct Options {
    /// Runs of each row.
    runs: u32,
    /// Measured time of each run, in seconds.
    seconds: u64,
    /// Rows to run, in the order of the table.
    rows: Vec<&'static Row>,
    /// Runs of the floor after each run of a row.
    floor_runs: usize,
    /// Folder for the results, if given.
    results: Option<PathBuf>,
    /// Whether to print only a verdict and write nothing.
    is_check: bool,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    let rows: Vec<String> = ROWS.iter().map(|row| format!("    {}  {}\n", row.id, row.title)).collect();
    let about = format!(
        "Runs the table of loads against its own servers, checks the targets, and records the results.\n\n\
         Each run of the server is followed by two of the floor (one for a check): the same reads and writes without \
         a game.\n\nRows:\n{}\n\
         Exit status: 0 if every target is met, 1 otherwise, 2 for invalid usage. A check ends with {UNKNOWN} if it can't \
         tell, because the machine or the load generator may have missed a target and not the server.",
        rows.concat()
    );
    program(&about).main(args, options, |options| bench(&options))
}

fn program(about: &str) -> Program<'_> {
    Program { name: "bench load", about, flags: FLAGS, takes_arguments: false }
}

/// A check covers enough ticks that one skipped tick does not decide the verdict.
fn options(line: &mut CommandLine<'_>) -> Options {
    let is_check = line.is_given("check");
    let (runs, seconds, rows, floor_runs) =
        if is_check { (1, 20, "c", 1) } else { (3, 60, "a,b,c,d,e,f,g", 2) };
    Options {
        runs: line.optional("runs").unwrap_or(runs),
        seconds: line.optional("duration").map_or(seconds, |WholeSeconds(seconds)| seconds),
        rows: line
            .optional_with("rows", |text, _| selected(text))
            .or_else(|| selected(rows).ok())
            .unwrap_or_default(),
        floor_runs,
        results: line.optional("results"),
        is_check,
    }
}

fn selected(text: &str) -> Result<Vec<&'static Row>, String> {
    let wanted: Vec<&str> = text.split(',').map(str::trim).collect();
    let all_known = wanted.iter().all(|id| Row::of(id).is_some());
    let rows = || ROWS.iter().filter(|row| wanted.contains(&row.id)).collect();
    let ids = || ROWS.iter().map(|row| row.id).collect::<Vec<_>>().join(",");
    all_known.then(rows).ok_or_else(|| format!("a comma-separated list of {}", ids()))
}

/// Runs the selected rows, prints the results, and returns the exit status.
fn bench(options: &Options) -> Result<ExitCode, Failure> {
    let stage = Stage::new()?;
    let machine = Machine::current();
    let folder = if options.is_check { None } else { Some(folder(options.results.as_deref(), &machine)?) };
    let mut results = match &folder {
        Some(folder) => Results::read(folder, machine)?,
        None => Results { machine, ..Results::default() },
    };
    let mut bottlenecks = Vec::new();
    for row in &options.rows {
        let (entry, behind) = run_row(&stage, row, options)?;
        results.put(entry);
        bottlenecks.push(behind);
        // Written after each row, so that an early end keeps the completed rows.
        if let Some(folder) = &folder {
            results.write(folder)?;
        }
    }
    let ids: Vec<&str> = options.rows.iter().map(|row| row.id).collect();
    // The growth figure is shown only if one of its rows was run.
    if !ids.contains(&GROWTH.0) && !ids.contains(&GROWTH.1) {
        results.across.clear();
    }
    results.rows.retain(|entry| ids.contains(&entry.id.as_str()));
    let verdict = Verdict::of(&results, &bottlenecks);
    let (end, status) = match &folder {
        Some(folder) => {
            let written = format!("written to {}", folder.join("load.md").display());
            (written, met(Ok(verdict == Verdict::Pass))?)
        }
        None => (verdict.text(), verdict.exit_code()),
    };
    output(format_args!("{}\n{end}", results.text()));
    Ok(status)
}

/// Runs a row, and returns its results with what limited them besides the server.
fn run_row(stage: &Stage, row: &Row, options: &Options) -> Result<(Entry, Bottlenecks), Failure> {
    let occasion = Occasion::current();
    let (mut runs, mut commands) = (Vec::new(), Vec::new());
    for number in 1..=options.runs {
        progress(format_args!("row {}, run {number} of {}: {}", row.id, options.runs, row.title));
        let (run, repeated_by) = run(stage, row, options.seconds, options.floor_runs)?;
        runs.push(run);
        commands = repeated_by;
    }
    let entry = Entry { commands, ..Entry::judge(row, options.seconds, occasion, &runs) };
    Ok((entry, Bottlenecks::of(&runs)))
}

#[cfg(test)]
mod tests {
    use game_client::options::Command;

    use super::*;

    fn parse(args: &[&str], variables: &[(&str, &str)]) -> Result<(u32, u64, String, usize), String> {
        let variable = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, text)| (*text).to_owned())
        };
        match program("").parse(args.iter().map(ToString::to_string), variable, options)? {
            Command::Run(options) => {
                let rows = options.rows.iter().map(|row| row.id).collect();
                Ok((options.runs, options.seconds, rows, options.floor_runs))
            }
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn a_check_has_other_defaults_and_rows_are_in_the_order_of_the_table() {
        for (args, variables, expected) in [
            (&[][..], &[("ROWS", "")][..], (3, 60, "abcdefg", 2)),
            (&["--check"], &[], (1, 20, "c", 1)),
            (&["--runs=1"], &[("RUNS", "5"), ("DURATION", "2m"), ("ROWS", "c, a")], (1, 120, "ac", 2)),
        ] {
            let (runs, seconds, rows, floor_runs) = expected;
            assert_eq!(parse(args, variables), Ok((runs, seconds, rows.to_owned(), floor_runs)), "{args:?}");
        }
        let problem = "ROWS=a,z: expected a comma-separated list of a,b,c,d,e,f,g";
        assert_eq!(parse(&[], &[("ROWS", "a,z")]), Err(problem.to_owned()));
    }
}
