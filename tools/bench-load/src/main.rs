//! The table of loads that the server must bear: run, judged, and written down to be compared with.
//!
//! Each run of the game server is followed by two of the floor under the same load, which makes as many reads and
//! writes with no game behind them, so that the server's CPU time can be given as a multiple of what the machine
//! charges for the sockets alone. With `--check` a short form of one row ends in yes or no, and nothing is written.
//!
//! ```text
//! main ──> options       flags and environment become one valid set of options
//!      ├─> rows          the table: loads and targets, as data
//!      ├─> run           one run of a row ──> calibrate: the floor's writes made equal to the server's
//!      ├─> results       rows judged and kept ──> figures, judge
//!      └─> report        the same for people
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

use options::{Command, Options};
use results::{Entry, Results};
use rows::{GROWTH, Row};
use run::Bench;
use stage::Failure;
use stage::console;
use stage::machine::{self, Commit, Machine};

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Where results are kept, each machine's of a day in a folder of its own.
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

/// Runs what is asked for, prints what came out, and returns what missed its target.
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
        // Row by row, so that a run that ends early leaves what it found.
        if let Some(folder) = &folder {
            results.write(folder).map_err(|error| unwritten(folder, &error))?;
        }
    }
    let rows = || options.rows.iter().filter_map(|row| results.row(row.id));
    // What is said of rows that were not run now is no news.
    let is_news = options.rows.iter().any(|row| row.id == GROWTH.0 || row.id == GROWTH.1);
    let across = if is_news { results.across.as_slice() } else { &[] };
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
    // A closed pipe is the reader's choice.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(status: u8, problem: &str) -> ExitCode {
    console::report_error("bench-load", &problem);
    ExitCode::from(status)
}
