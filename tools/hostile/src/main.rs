//! The program. The generator is in the library of the same name.

use std::io::{self, Write};
use std::process::ExitCode;

use hostile::attack::{Attack, Figure, Site};
use hostile::options::{Command, Options, parse};
use hostile::swarm::Swarm;
use loadtest::os::{StopSignals, raise_open_files};
use serde_json::json;

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed in addition to those of the peers: poll, signals, standard streams, observers.
const DESCRIPTORS_OVERHEAD: usize = 32;

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => *options,
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return complain(BAD_USAGE, &problem),
    };
    if let Err(problem) = require_descriptors(&options) {
        return complain(BAD_USAGE, &problem);
    }
    if let Some(problem) = &options.server.problem {
        return complain(FAILED, &format!("the server is unreachable: {problem}"));
    }
    if let Some(attack) = options.attack {
        return match run(options, attack) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => complain(FAILED, &format!("the run failed: {error}")),
        };
    }
    let json = options.json;
    match Swarm::new(options).and_then(Swarm::run) {
        Ok(tally) if json => print(&format!("{:#}\n", tally.json())),
        Ok(tally) => print(&tally.text()),
        Err(error) => return complain(FAILED, &format!("the run failed: {error}")),
    }
    ExitCode::SUCCESS
}

/// Attacks, and returns the figures as text or JSON.
fn run(options: Options, attack: Attack) -> io::Result<String> {
    // Created before the first thread starts, so that every thread blocks the signals.
    let signals = StopSignals::new()?;
    let site = Site::new(options.server, options.peers, options.download);
    let figures = site.attack(attack, options.duration, || signals.take());
    if options.json {
        return Ok(format!("{:#}\n", json!({ "attack": attack.name(), "figures": figures })));
    }
    let line = |figure: &Figure| {
        let value = figure.value.map_or("not measured".to_owned(), |value| value.to_string());
        format!("{:<56}{value:>12}  {}", figure.name, figure.limit()).trim_end().to_owned() + "\n"
    };
    Ok(figures.iter().map(line).collect())
}

/// Raises the limit of open files for the peers.
fn require_descriptors(options: &Options) -> Result<(), String> {
    let wanted = options.peers + DESCRIPTORS_OVERHEAD;
    let limit = raise_open_files(wanted as u64)
        .map_err(|error| format!("the limit of open files is unknown: {error}"))?;
    if limit >= wanted as u64 {
        return Ok(());
    }
    let most = limit.saturating_sub(DESCRIPTORS_OVERHEAD as u64);
    let peers = options.peers;
    Err(format!("--peers {peers}: expected at most {most}, since the limit of open files is {limit}"))
}

fn print(text: &str) {
    // A closed pipe is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(status: u8, problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "hostile: {problem}");
    ExitCode::from(status)
}
