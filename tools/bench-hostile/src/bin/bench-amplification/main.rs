//! What one client's bytes cost the server: for each message, route and event, bytes out and processor time per byte in.
//!
//! One attacker acts beside idle viewers in whose view it is. Bytes out are those to all connections. What the server does
//! without the attacker is measured first and subtracted: the viewers' regular snapshots, too, since one player turns once a second.
//!
//! ```text
//! main ──> options   flags and environment become one valid set of options
//!      ├─> cases     what is sent, and how often
//!      ├─> measure   a case between two looks at the server's counters
//!      └─> report    the table, judged, as Markdown and as JSON
//! ```

mod cases;
mod measure;
mod options;
mod report;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command as Program, ExitCode};

use bench_hostile::stand;
use options::{Command, Options};
use report::Results;
use stage::console::report_error;
use stage::machine::{self, Commit, Machine};
use stage::server::folder_with;
use stage::{Failure, Interrupt};

/// Where results are kept, each machine's of a day in a folder of its own.
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

/// Measures all cases, writes down and prints what came out, and returns whether all keep to their limit.
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
    // A closed pipe is the reader's choice.
    let _ = io::stdout().write_all(text.as_bytes());
}
