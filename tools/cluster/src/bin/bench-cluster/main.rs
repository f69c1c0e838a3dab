//! Measures a cluster of several servers with one world: delays for players, effects of faults, and cost.

mod cost;
mod faults;
mod views;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::cli::{self, Command};
use game_client::console::{output, report_error};
use game_client::{Failure, Interrupt};
use stage::machine::{self, Commit, Machine};

/// Root of the results; each machine and day has its own folder.
const RESULTS_FOLDER: &str = "bench/results";

/// The parts that can be measured.
const PARTS: [&str; 3] = ["views", "faults", "cost"];

const BRIEF: &str = "Measures a cluster of several servers: delays, losses after faults, and cost.

With these variables of the environment:
  PARTS          parts to measure, such as views,faults [views,faults,cost]
  RESULTS        folder to write to [bench/results/DAY-MACHINE]";

fn main() -> ExitCode {
    let asked = cli::parse("bench-cluster", std::env::args().skip(1), BRIEF, |_| {}, |_| parts());
    let measured = match asked {
        Ok(Command::Help(text)) => {
            output(format_args!("{}", text.trim_end()));
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(parts)) => bench(&parts),
        Err(problem) => Err(Failure::Usage(problem)),
    };
    match measured {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            output(format_args!("no: {}", problems.join("; ")));
            ExitCode::FAILURE
        }
        Err(failure) => {
            report_error("bench-cluster", &failure);
            failure.exit_code()
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Parses the parts to measure, separated by commas.
fn parts() -> Result<String, String> {
    let parts = variable("PARTS").unwrap_or_else(|| PARTS.join(","));
    match parts.split(',').find(|part| !PARTS.contains(part)) {
        Some(part) => Err(format!("PARTS={part}: expected some of {}", PARTS.join(","))),
        None => Ok(parts),
    }
}

/// Measures the parts. Returns the problems found.
fn bench(parts: &str) -> Result<Vec<String>, Failure> {
    let interrupt = Interrupt::watch()?;
    let (machine, mut problems) = (Machine::current(), Vec::new());
    let folder =
        variable("RESULTS").map_or_else(|| Path::new(RESULTS_FOLDER).join(machine.folder()), PathBuf::from);
    fs::create_dir_all(&folder)?;
    let commit = Commit::current();
    for part in parts.split(',') {
        let mut text = format!("# One world of several servers: {part}\n\n{}\n", machine.table());
        let changed = if commit.is_dirty { ", with uncommitted changes" } else { "" };
        let _ = writeln!(
            text,
            "`make bench-cluster PARTS={part}`, commit {}{changed}, {}.\n",
            commit.hash,
            machine::now()
        );
        text += &match part {
            "views" => views::measure(&interrupt, &mut problems)?,
            "faults" => faults::measure(&interrupt, &mut problems)?,
            _ => cost::measure(&interrupt)?,
        };
        output(format_args!("{text}"));
        let file = folder.join(format!("cluster-{part}.md"));
        fs::write(&file, &text).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
        output(format_args!("written to {}\n", file.display()));
    }
    Ok(problems)
}
