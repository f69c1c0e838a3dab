//! Hostile peers: thousands of malicious connections for a bounded time, and a few attacks with a plan.
//!
//! They count the server's reactions. Callers judge the counts: they know the server's promises and observe its healthy
//! clients.
//!
//! ```text
//! main ──> options    the flags and their values
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
use std::process::ExitCode;

use game_client::console::print;
use game_client::options::Program;
use game_client::{Failure, Interrupt};
use serde_json::json;

use crate::{require_descriptors, run_failed};
use attack::Site;
pub use options::FLAGS;
use options::Options;
use swarm::Swarm;

/// Runs the subcommand `hostile` with the arguments that follow its name.
pub fn main(args: Vec<String>) -> ExitCode {
    let about = options::about();
    let program = Program { name: "loadtest hostile", about: &about, flags: FLAGS, takes_arguments: false };
    program.main(args, options::read, run)
}

/// Runs the peers or the attack, and prints the counts or figures as text or JSON.
fn run(options: Options) -> Result<ExitCode, Failure> {
    require_descriptors("peers", options.peers)?;
    options.server.require()?;
    let (json, interrupt) = (options.json, Interrupt::watch()?);
    let Some(attack) = options.attack else {
        let tally = Swarm::new(options)
            .and_then(|swarm| swarm.run(&interrupt))
            .map_err(|error| run_failed(&error))?;
        return Ok(print(&if json { format!("{:#}\n", json!(tally)) } else { tally.text() }));
    };
    let site = Site::new(options.server, options.peers, options.download);
    let figures = site.attack(attack, options.duration, || interrupt.is_requested());
    if json {
        return Ok(print(&format!("{:#}\n", json!({ "attack": attack.name(), "figures": figures }))));
    }
    let mut text = String::new();
    for figure in &figures {
        let value = figure.value.map_or("not measured".to_owned(), |value| value.to_string());
        let line = format!("{:<56}{value:>12}  {}", figure.name, figure.limit());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(print(&text))
}
