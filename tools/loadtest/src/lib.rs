//! Load test: thousands of players on one core, and a verdict on the server.
//!
//! The load is an open loop: actions are scheduled in advance. The latency of a MOVE counts from its due time, even if the
//! server stalls. A sample of the clients, the viewers, keeps a replica of the world as the browser does.
//! The replicas are compared with the true positions once all players stand still.
//!
//! The library shares its hostile peers with other tools. The other modules are private to the program.
//!
//! ```text
//! main ──> options            parses the command line into validated options
//!      ├─> load               the event loop and the stages of a run; the only user of mio
//!      │     ├─> schedule     the queue of due tasks, and fixed rates
//!      │     ├─> behaviour    the actions of players ──> avatar: their positions and messages
//!      │     ├─> client       a player and its unacknowledged MOVEs ──> connection: a socket
//!      │     ├─> viewers      the sampled viewers: replicas, delays to the screen
//!      │     ├─> ids          checks that ids are unique and ascending
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
mod ids;
mod load;
mod machine;
mod measure;
mod named;
mod observe;
mod options;
mod os;
mod progress;
mod random;
mod report;
mod schedule;
mod scrape;
mod truth;
mod viewers;

use std::io::{self, Write};
use std::process::ExitCode;

use game_client::console;
use load::Load;
pub use options::FLAGS;
use options::{Command, Options};

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed in addition to those of the clients: poll, timer, signals, standard streams, `/metrics`, `/proc`.
const DESCRIPTORS_OVERHEAD: usize = 32;

/// Runs the program with the arguments that follow its name.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let mut args = args.peekable();
    if args.next_if(|first| first == "hostile").is_some() {
        return hostile::main(args);
    }
    match options::parse(args) {
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Run(options)) => match (&options.server.problem, prepare(&options)) {
            (_, Err(problem)) => fail_with(BAD_USAGE, &problem),
            (Some(problem), Ok(())) => fail_with(FAILED, &format!("the server is unreachable: {problem}")),
            (None, Ok(())) => run(*options),
        },
        Err(problems) => fail_with(BAD_USAGE, &problems),
    }
}

/// Checks before the run that limits, process and report file are usable.
fn prepare(options: &Options) -> Result<(), String> {
    require_descriptors("clients", options.clients)?;
    if let Some(pid) = options.pid
        && machine::Usage::of(pid).is_none()
    {
        return Err(format!("--pid {pid}: expected a process of this machine"));
    }
    if let Some(path) = &options.report {
        std::fs::write(path, "")
            .map_err(|error| format!("--report {}: expected a writable file: {error}", path.display()))?;
    }
    Ok(())
}

/// Raises the limit of open files for this many connections, the value of a flag.
fn require_descriptors(flag: &str, connections: usize) -> Result<(), String> {
    let wanted = (connections + DESCRIPTORS_OVERHEAD) as u64;
    let limit = os::raise_open_files(wanted)
        .map_err(|error| format!("cannot read the limit of open files: {error}"))?;
    if limit >= wanted {
        return Ok(());
    }
    let most = limit.saturating_sub(DESCRIPTORS_OVERHEAD as u64);
    Err(format!("--{flag} {connections}: expected at most {most}: the limit of open files is {limit}"))
}

fn run(options: Options) -> ExitCode {
    let (json, path) = (options.json, options.report.clone());
    let report = match Load::new(options).and_then(Load::run) {
        Ok(report) => report,
        Err(error) => return fail_with(FAILED, &format!("the run failed: {error}")),
    };
    let text = if json { format!("{:#}\n", report::json(&report)) } else { report::text(&report) };
    print(&text);
    if let Some(path) = path
        && let Err(error) = std::fs::write(&path, report::html(&report))
    {
        return fail_with(FAILED, &format!("--report {}: {error}", path.display()));
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe (`--help | head`) is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail_with(status: u8, problem: &str) -> ExitCode {
    console::report_error("loadtest", &problem);
    ExitCode::from(status)
}
