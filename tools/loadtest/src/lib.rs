//! A load test worth trusting: thousands of players on one core, and a verdict on the server they play on.
//!
//! The players are an open loop: what they do and when is decided beforehand, and a server that stalls is charged for
//! every MOVE that was due meanwhile. Some of them, the viewers, keep the picture that the browser would draw, which is
//! compared with the truth once everybody stands still.
//!
//! As a library it lends its sockets, frames and handshake to other tools; the rest is the program's.
//!
//! ```text
//! main ──> options            the command line becomes one valid set of options
//!      ├─> load               the loop, and the stages of a run: the only user of mio
//!      │     ├─> agenda       who has to do what next
//!      │     ├─> behaviour    what players do ──> body: where they are, what they send
//!      │     ├─> client       a socket and what is not answered yet ──> frame, handshake
//!      │     ├─> watch        the sampled viewers: pictures, delays to the screen
//!      │     ├─> ids          the law of ids
//!      │     ├─> truth        pictures compared with where everybody stands
//!      │     ├─> measure      counts and histograms
//!      │     └─> observe      second by second ──> machine, scrape: what /proc and /metrics tell; progress: the live line
//!      └─> report             the verdict as text, JSON or HTML
//! ```

mod avatar;
mod behaviour;
mod client;
pub mod frame;
pub mod handshake;
mod ids;
mod load;
mod machine;
mod measure;
mod observe;
mod options;
pub mod os;
mod progress;
pub mod random;
mod report;
mod schedule;
mod scrape;
mod truth;
mod viewers;

use std::io::{self, Write};
use std::process::ExitCode;

use load::Load;
pub use options::values;
use options::{Command, Options};
use report::Report;
use stage::console;

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed beside the clients': poll, timer, signals, standard streams, `/metrics`, `/proc`.
const DESCRIPTORS_OVERHEAD: usize = 16;

/// The program: reads these arguments, which follow its name, and does what they ask for.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    match options::parse(args) {
        Ok(Command::Help) => print(&options::help()),
        Ok(Command::Version) => print(&stage::cli::version("loadtest")),
        Ok(Command::Run(options)) => match (&options.server.problem, prepare(&options)) {
            (_, Err(problem)) => fail_with(BAD_USAGE, &problem),
            (Some(problem), Ok(())) => fail_with(FAILED, &format!("the server is unreachable: {problem}")),
            (None, Ok(())) => run(*options),
        },
        Err(problems) => fail_with(BAD_USAGE, &problems.to_string()),
    }
}

/// Finds out before the run what would spoil its end.
fn prepare(options: &Options) -> Result<(), String> {
    let wanted = options.clients + DESCRIPTORS_OVERHEAD;
    let limit = os::raise_open_files(wanted as u64)
        .map_err(|error| format!("the limit of open files is unknown: {error}"))?;
    if limit < wanted as u64 {
        let most = limit.saturating_sub(DESCRIPTORS_OVERHEAD as u64);
        return Err(format!(
            "--clients {}: expected at most {most}, since the limit of open files is {limit}",
            options.clients
        ));
    }
    if let Some(pid) = options.pid
        && machine::Usage::of(pid).is_none()
    {
        return Err(format!("--pid {pid}: expected a process of this machine"));
    }
    if let Some(path) = &options.report {
        std::fs::write(path, "").map_err(|error| {
            format!("--report {}: expected a file that can be written: {error}", path.display())
        })?;
    }
    Ok(())
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
    exit_code(&report)
}

fn exit_code(report: &Report) -> ExitCode {
    if report.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe (`--help | head`) is the reader's choice.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail_with(status: u8, problem: &str) -> ExitCode {
    console::report_error("loadtest", &problem);
    ExitCode::from(status)
}
