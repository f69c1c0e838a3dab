//! The generator as a program; see the library of the same name.

use std::io::{self, Write};
use std::process::ExitCode;

use hostile::options::{Command, Options, parse};
use hostile::swarm::Swarm;
use loadtest::os::raise_open_files;

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed beside the peers': poll, signals, standard streams.
const DESCRIPTORS_RESERVED: usize = 16;

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => *options,
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return complain(BAD_USAGE, &problem),
    };
    if let Err(problem) = make_room(&options) {
        return complain(BAD_USAGE, &problem);
    }
    let json = options.json;
    match Swarm::new(options).and_then(Swarm::run) {
        Ok(tally) if json => print(&format!("{:#}\n", tally.json())),
        Ok(tally) => print(&tally.text()),
        Err(error) => return complain(FAILED, &format!("the run failed: {error}")),
    }
    ExitCode::SUCCESS
}

/// Raises the limit of open files to what the peers need.
fn make_room(options: &Options) -> Result<(), String> {
    let wanted = options.peers + DESCRIPTORS_RESERVED;
    let limit = raise_open_files(wanted as u64)
        .map_err(|error| format!("the limit of open files is unknown: {error}"))?;
    if limit >= wanted as u64 {
        return Ok(());
    }
    let most = limit.saturating_sub(DESCRIPTORS_RESERVED as u64);
    let peers = options.peers;
    Err(format!("--peers {peers}: expected at most {most}, since the limit of open files is {limit}"))
}

fn print(text: &str) {
    // A closed pipe is the reader's choice.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(status: u8, problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "hostile: {problem}");
    ExitCode::from(status)
}
