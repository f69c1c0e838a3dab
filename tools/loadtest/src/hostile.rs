//! Hostile peers: thousands of malicious connections for a bounded time, and a few attacks with a plan.
//!
//! They count the server's reactions. Callers judge the counts: they know the server's promises and observe its healthy
//! clients.
//!
//! ```text
//! main ──> options    the command line becomes validated options
//!      ├─> swarm      all peers ──> peer: a connection and its input ──> script: output and its times; kind: behaviors
//!      ├─> tally      the counts, as text or JSON
//!      └─> attack     a few peers with a plan, one file each; figures with limits
//!            └─> requester   a plain HTTP connection
//! ```

pub mod attack;
pub mod kind;
mod options;
mod peer;
pub mod requester;
mod script;
mod swarm;
pub mod tally;

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use crate::os::StopSignals;
use crate::{BAD_USAGE, FAILED, fail_with, print, require_descriptors};
use attack::{Attack, Site};
pub use options::FLAGS;
use options::{Command, Options};
use swarm::Swarm;

/// Runs the subcommand `hostile` with the arguments that follow its name.
pub fn main(args: impl IntoIterator<Item = String>) -> ExitCode {
    let options = match options::parse(args) {
        Ok(Command::Run(options)) => *options,
        Ok(Command::Help(text)) => return print(&text),
        Err(problem) => return fail_with(BAD_USAGE, &problem),
    };
    if let Err(problem) = require_descriptors("peers", options.peers) {
        return fail_with(BAD_USAGE, &problem);
    }
    if let Some(problem) = &options.server.problem {
        return fail_with(FAILED, &format!("the server is unreachable: {problem}"));
    }
    let result = match options.attack {
        Some(attack) => run_attack(options, attack),
        None => run_peers(options),
    };
    match result {
        Ok(text) => print(&text),
        Err(error) => fail_with(FAILED, &format!("the run failed: {error}")),
    }
}

/// Runs the peers, and returns the counts as text or JSON.
fn run_peers(options: Options) -> io::Result<String> {
    let json = options.json;
    let tally = Swarm::new(options)?.run()?;
    Ok(if json { format!("{:#}\n", json!(tally)) } else { tally.text() })
}

/// Attacks, and returns the figures as text or JSON.
fn run_attack(options: Options, attack: Attack) -> io::Result<String> {
    // Created before the first thread starts, so that every thread blocks the signals.
    let signals = StopSignals::new()?;
    let site = Site::new(options.server, options.peers, options.download);
    let figures = site.attack(attack, options.duration, || signals.take());
    if options.json {
        return Ok(format!("{:#}\n", json!({ "attack": attack.name(), "figures": figures })));
    }
    let mut text = String::new();
    for figure in &figures {
        let value = figure.value.map_or("not measured".to_owned(), |value| value.to_string());
        let line = format!("{:<56}{value:>12}  {}", figure.name, figure.limit());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(text)
}
