//! Measures the server's cost of one client's bytes: bytes out and CPU time per byte in, for each message, route and event.
//!
//! One attacker acts where idle viewers see it. Bytes out are those to all connections. The load without the attacker is
//! measured first and subtracted. It includes the viewers' regular snapshots, because one player turns once a second.
//!
//! ```text
//! main ──> options   flags and environment become validated options
//!      ├─> cases     inputs and their rates
//!      ├─> measure   a case between two samples of the server's counters
//!      └─> report    table and verdict, as Markdown and as JSON
//! ```

mod cases;
mod measure;
mod options;
mod report;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command as Program, ExitCode};

use bench_hostile::stand;
use game_client::console::report_error;
use game_client::{Failure, Interrupt};
use options::{Command, Options};
use report::Results;
use stage::machine::{self, Commit, Machine};
use stage::server::folder_with;

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
            report_error("bench-amplification", &failure);
            failure.exit_code()
        }
    }
}

/// Measures all cases, writes and prints the results, and returns whether every case keeps to its limit.
fn bench(options: &Options) -> Result<bool, Failure> {
    let interrupt = Interrupt::watch()?;
    let program = folder_with(&["pixi-game-server"])?.join("pixi-game-server");
    let mut results = Results::new(Machine::current(), Commit::current(), machine::now(), options);
    let stand = stand::start_server(&mut Program::new(program), &interrupt)?;
    results.rows = measure::all(stand.address(), options, &interrupt)?;
    drop(stand);
    let folder = options.results.clone();
    let folder = folder.unwrap_or_else(|| Path::new(RESULTS_FOLDER).join(results.machine.folder()));
    results.write(&folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    let missed = results.missed();
    print(&results.markdown());
    print(&format!("\nwritten to {}\n", folder.join("amplification.md").display()));
    let verdict = if missed.is_empty() { "yes".to_owned() } else { format!("no:\n{}", missed.join("\n")) };
    print(&format!("\n{verdict}\n"));
    Ok(missed.is_empty())
}

fn print(text: &str) {
    // A closed pipe is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
}
