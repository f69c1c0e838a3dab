//! Measures and judges the effect of thousands of hostile peers on healthy players.
//!
//! A pair is the load test alone and the same load test beside hostile peers, each with a fresh server. The order alternates from pair
//! to pair, so other load on the machine affects both.
//!
//! ```text
//! main ──> options    flags and environment become validated options: a plan for each series of pairs
//!      ├─> run        one pair: server, load test, hostile peers ──> footprint: memory and descriptors
//!      ├─> section    summary and verdict of a series ──> figures: values of the load test's results
//!      └─> report     all series, as Markdown and as JSON
//! ```

mod figures;
mod footprint;
mod options;
mod report;
mod run;
mod section;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use game_client::Failure;
use game_client::console::{progress, report_error};
use options::{Command, Options};
use report::Results;
use run::Bench;
use section::Series;
use stage::machine::{self, Commit, Machine};

/// Results are in a subfolder for each day and machine.
const RESULTS_FOLDER: &str = "bench/results";

fn main() -> ExitCode {
    let result = match options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => bench(&options),
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => Err(Failure::Usage(problem)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            report_error("bench-hostile", &failure);
            failure.exit_code()
        }
    }
}

/// Runs all pairs, writes and prints the results, and returns whether every limit is met.
fn bench(options: &Options) -> Result<bool, Failure> {
    let bench = Bench::new()?;
    let mut results = Results::new(Machine::current(), Commit::current(), machine::now());
    for plan in &options.plans {
        let mut pairs = Vec::new();
        for number in 1..=plan.pairs {
            progress(format_args!("{}, pair {number} of {}", plan.name(), plan.pairs));
            pairs.push(bench.pair(plan, number % 2 == 0)?);
        }
        results.series.push(Series { plan: plan.clone(), pairs });
    }
    let folder = options.results.clone();
    let folder = folder.unwrap_or_else(|| Path::new(RESULTS_FOLDER).join(results.machine.folder()));
    results.write(&folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    let missed = results.missed();
    print(&results.markdown());
    print(&format!("\nwritten to {}\n", folder.join("hostile.md").display()));
    let verdict = if missed.is_empty() { "yes".to_owned() } else { format!("no:\n{}", missed.join("\n")) };
    print(&format!("\n{verdict}\n"));
    Ok(missed.is_empty())
}

fn print(text: &str) {
    // A closed pipe is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
}
