//! Load benchmarks: a table of loads with targets, run against the server and recorded for comparison.
//!
//! Each run of the game server is followed by two runs of the floor under the same load. The floor makes as many
//! reads and writes without a game. The report gives the server's CPU time relative to the cost of these socket calls.
//! With `--check`, a short run of one row prints yes or no, and writes nothing.
//!
//! ```text
//! main ──> options       parses flags and environment into validated options
//!      ├─> rows          the table: loads and targets, as data
//!      ├─> run           one run of a row ──> calibrate: matches the floor's writes to the server's
//!      ├─> results       judges and stores rows ──> figures, judge
//!      └─> report        results as Markdown and text
//! ```

mod calibrate;
mod figures;
mod judge;
mod options;
mod report;
mod results;
mod rows;
mod run;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::Failure;
use game_client::console;
use options::{Command, Options};
use results::{Entry, Results};
use rows::{GROWTH, Row};
use run::Bench;
use stage::machine::{self, Commit, Machine};

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Folder of all results. Each machine and day has a subfolder.
const RESULTS_FOLDER: &str = "bench/results";

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return complain(BAD_USAGE, &problem),
    };
    match bench(&options) {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(failure) => complain(FAILED, &failure.to_string()),
    }
}

/// Runs the selected rows, prints the results, and returns the missed targets.
fn bench(options: &Options) -> Result<Vec<String>, Failure> {
    let bench = Bench::new()?;
    let machine = Machine::current();
    let folder = (!options.is_check)
        .then(|| options.results.clone().unwrap_or_else(|| Path::new(RESULTS_FOLDER).join(machine.folder())));
    let mut results = match &folder {
        Some(folder) => Results::read(folder, machine).map_err(|error| unwritten(folder, &error))?,
        None => Results::new(machine),
    };
    for row in &options.rows {
        results.put(run_row(&bench, row, options)?);
        // Written after each row, so that an early end keeps the completed rows.
        if let Some(folder) = &folder {
            results.write(folder).map_err(|error| unwritten(folder, &error))?;
        }
    }
    let rows = || options.rows.iter().filter_map(|row| results.row(row.id));
    // The growth figure is shown only if one of its rows was run.
    let has_growth = options.rows.iter().any(|row| row.id == GROWTH.0 || row.id == GROWTH.1);
    let across = if has_growth { results.across.as_slice() } else { &[] };
    let missed = report::missed(rows(), across);
    print(&report::text(rows(), across));
    print(&match &folder {
        Some(folder) => format!("\nwritten to {}\n", folder.join("load.md").display()),
        None if missed.is_empty() => "\nyes\n".to_owned(),
        None => format!("\nno: {}\n", missed.join("; ")),
    });
    Ok(missed)
}

fn run_row(bench: &Bench, row: &Row, options: &Options) -> Result<Entry, Failure> {
    let (started, commit) = (machine::now(), Commit::current());
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        console::progress(format_args!("row {}, run {number} of {}: {}", row.id, options.runs, row.title));
        runs.push(bench.run(row, options.seconds, options.floor_runs)?);
    }
    Ok(Entry::judge(row, options.seconds, started, commit, &runs))
}

fn unwritten(folder: &Path, error: &io::Error) -> Failure {
    let file: PathBuf = folder.join("load.json");
    Failure::Failed(format!("{}: {error}", file.display()))
}

fn print(text: &str) {
    // A closed pipe is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(status: u8, problem: &str) -> ExitCode {
    console::report_error("bench-load", &problem);
    ExitCode::from(status)
}
