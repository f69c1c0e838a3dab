//! A soak: hours of mixed players, churn and hostile peers, and a verdict on leaks and losses.
//!
//! ```text
//! main ──> options    environment variables become validated options
//!      ├─> run        server, load test and hostile peers as children ──> sample: state of the server
//!      ├─> judge      the conditions of the verdict
//!      └─> report     the verdict as Markdown and text
//! ```

mod judge;
mod options;
mod report;
mod run;
mod sample;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use game_client::Failure;
use game_client::cli::{self, Command};
use game_client::console::{output, report_error};
use options::Options;
use report::Occasion;
use run::Soak;
use stage::machine::{self, Commit, Machine};

/// Results are in a subfolder for each day and machine.
const RESULTS_FOLDER: &str = "bench/results";

fn main() -> ExitCode {
    let read = |_: &_| options::read(|name| std::env::var(name).ok());
    let soaked = match cli::parse("soak", std::env::args().skip(1), &options::help(), |_| {}, read) {
        Ok(Command::Help(text)) => {
            output(format_args!("{}", text.trim_end()));
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => soak(&options),
        Err(problem) => Err(Failure::Usage(problem)),
    };
    match soaked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            report_error("soak", &failure);
            failure.exit_code()
        }
    }
}

/// Runs the soak, writes the report, and returns whether all conditions hold.
fn soak(options: &Options) -> Result<bool, Failure> {
    let occasion =
        Occasion { started: machine::now(), machine: Machine::current(), commit: Commit::current() };
    let usual = || Path::new(RESULTS_FOLDER).join(occasion.machine.folder());
    let folder = options.results.clone().unwrap_or_else(usual);
    fs::create_dir_all(&folder)?;
    let run = Soak::new(options)?.run(&folder.join("soak.csv"))?;
    let findings = judge::judge(options, &run);
    let file = folder.join("soak.md");
    fs::write(&file, report::markdown(options, &occasion, &run, &findings))?;
    output(format_args!("{}\nwritten to {}", report::text(&findings), file.display()));
    if run.is_interrupted {
        return Err(Failure::Interrupted);
    }
    Ok(findings.iter().all(|finding| finding.holds))
}
