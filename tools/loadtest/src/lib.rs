//! Load test: thousands of players on one core, and a verdict on the server.
//!
//! The load is an open loop: actions are scheduled in advance. The latency of a MOVE counts from its due time, even if the
//! server stalls. A sample of the clients, the viewers, keeps a replica of the world as the browser does.
//! The replicas are compared with the true positions once all players stand still.
//!
//! The library shares its hostile peers and its figures of processes with other tools. The other modules are private to the program.
//!
//! ```text
//! main ──> options            parses the command line into validated options
//!      ├─> load               the event loop and the stages of a run; the only user of mio
//!      │     ├─> schedule     the queue of due tasks, and fixed rates
//!      │     ├─> behaviour    the actions of players ──> avatar: their positions and messages
//!      │     ├─> client       a player and its unacknowledged MOVEs ──> connection: a socket
//!      │     ├─> viewers      the sampled viewers: replicas, delays to the screen
//!      │     ├─> truth        compares replicas with true positions
//!      │     ├─> measure      counts and histograms
//!      │     └─> observe      per-second samples ──> machine, scrape: /proc and /metrics; progress: the progress line
//!      ├─> report             the verdict as text, JSON or HTML
//!      └─> hostile            the subcommand of hostile peers
//! ```

mod avatar;
mod behaviour;
mod client;
mod connection;
pub mod hostile;
mod load;
pub mod machine;
mod measure;
mod named;
mod observe;
mod options;
mod os;
mod progress;
mod report;
mod schedule;
mod scrape;
mod truth;
mod viewers;

use std::process::ExitCode;

use game_client::Failure;
use game_client::console::print;
use game_client::options::{Program, verdict};
use load::Load;
pub use options::FLAGS;
use options::Options;

/// Descriptors needed in addition to those of the clients: poll, timer, standard streams, `/metrics`, `/proc`.
const DESCRIPTORS_OVERHEAD: usize = 32;

/// Runs the program with the arguments that follow its name.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let mut args = args.peekable();
    if args.next_if(|first| first == "hostile").is_some() {
        return hostile::main(args.collect());
    }
    let about = options::about();
    let program = Program { name: "loadtest", about: &about, flags: FLAGS, takes_arguments: false };
    program.main(args.collect(), options::read, |options| verdict(run(options)))
}

/// Runs the load test. Returns whether nothing was lost or wrong.
fn run(options: Options) -> Result<bool, Failure> {
    prepare(&options)?;
    let (json, path) = (options.json, options.report.clone());
    let report = Load::new(options).and_then(Load::run).map_err(|error| run_failed(&error))?;
    print(&if json { format!("{:#}\n", report::json(&report)) } else { report::text(&report) });
    if let Some(path) = path {
        std::fs::write(&path, report::html(&report))
            .map_err(|error| Failure::Failed(format!("--report {}: {error}", path.display())))?;
    }
    Ok(report.ok)
}

/// Checks before the run that limits, process, report file and server are usable.
fn prepare(options: &Options) -> Result<(), Failure> {
    require_descriptors("clients", options.clients)?;
    if let Some(pid) = options.pid
        && machine::Usage::of(pid).is_none()
    {
        return Err(Failure::Usage(format!("--pid {pid}: expected a process of this machine")));
    }
    if let Some(path) = &options.report {
        std::fs::write(path, "").map_err(|error| {
            Failure::Usage(format!("--report {}: expected a writable file: {error}", path.display()))
        })?;
    }
    options.server.require()
}

/// Raises the limit of open files for this many connections, the value of a flag.
fn require_descriptors(flag: &str, connections: usize) -> Result<(), Failure> {
    let wanted = (connections + DESCRIPTORS_OVERHEAD) as u64;
    let limit = os::raise_open_files(wanted)
        .map_err(|error| Failure::Usage(format!("cannot read the limit of open files: {error}")))?;
    if limit >= wanted {
        return Ok(());
    }
    let most = limit.saturating_sub(DESCRIPTORS_OVERHEAD as u64);
    let problem =
        format!("--{flag} {connections}: expected at most {most}: the limit of open files is {limit}");
    Err(Failure::Usage(problem))
}

fn run_failed(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("the run failed: {error}"))
}
