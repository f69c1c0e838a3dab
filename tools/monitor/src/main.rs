//! Shows the state of servers: a dashboard on a terminal, plain lines elsewhere, JSON for programs.
//!
//! ```text
//! main ──> options    parses flags and environment into validated options
//!      ├─> poll       polls each server on a thread ──> sample: the metrics of a response, and rates
//!      ├─> history    recent metrics of each server
//!      ├─> plain      one response as text or JSON
//!      └─> dashboard  handles keys, draws ──> screen: the layout; terminal: setup and restore
//! ```

mod dashboard;
mod history;
mod options;
mod plain;
mod poll;
mod sample;
mod screen;
mod terminal;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use game_client::Interrupt;
use game_client::console::report_error;
use history::History;
use options::{Command, Options};
use poll::Poll;

/// Longest wait for a response before signals are checked.
const SIGNAL_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time for the main thread to end after a signal. It may be blocked on a full pipe.
const END_GRACE: Duration = Duration::from_secs(1);

const UNREACHABLE: u8 = 1;
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help(text)) => {
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            report_error("monitor", &problem);
            return ExitCode::from(BAD_USAGE);
        }
    };
    let is_dashboard = !options.once && !options.json && io::stdout().is_terminal();
    let result = if is_dashboard { dashboard::run(&options) } else { report(&options) };
    result.unwrap_or_else(|error| {
        // A closed pipe (`| head`) is not an error.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return ExitCode::SUCCESS;
        }
        report_error("monitor", &error);
        ExitCode::from(UNREACHABLE)
    })
}

/// Prints a line of text or a JSON object per response.
fn report(options: &Options) -> io::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    interrupt.exit_within(END_GRACE, || ())?;
    let poll = Poll::start(&options.servers, options.interval)?;
    let mut histories: Vec<History> = options.servers.iter().map(|_| History::default()).collect();
    let mut is_reported = vec![false; options.servers.len()];
    let mut out = io::stdout().lock();
    loop {
        if let Some(status) = interrupt.status() {
            return Ok(ExitCode::from(status));
        }
        if options.once && is_reported.iter().all(|is_reported| *is_reported) {
            break;
        }
        let Some((server, response)) = poll.next(SIGNAL_POLL_INTERVAL) else { continue };
        let history = &mut histories[server];
        history.record(response);
        // Rates need two responses, so `--once` prints the second.
        if options.once && (is_reported[server] || !(history.has_rates() || history.is_unreachable())) {
            continue;
        }
        is_reported[server] = true;
        let name = &options.servers[server].name;
        if options.json {
            writeln!(out, "{}", plain::json(name, history))?;
        } else if options.once {
            writeln!(out, "{}", plain::page(name, history))?;
        } else {
            writeln!(out, "{}", plain::line(name, history))?;
        }
    }
    let all_answered = histories.iter().all(|history| !history.is_unreachable());
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::from(UNREACHABLE) })
}
