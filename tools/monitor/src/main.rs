//! What servers are doing, in the terminal: a dashboard where there is one, plain lines where there is none, JSON for
//! programs.
//!
//! ```text
//! main ──> options    flags and environment become one valid set of options
//!      ├─> poll       a thread for each server asks it again and again ──> sample: what an answer says, and rates of two
//!      ├─> history    what is remembered of each server
//!      ├─> plain      one answer as text or JSON
//!      └─> dashboard  what keys do, and when to draw ──> screen: what is drawn where; terminal: taken over, given back
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

use history::History;
use options::{Command, Options};
use poll::Poll;
use stage::Interrupt;
use stage::console::report_error;

/// Longest wait for an answer before signals are looked at again.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(100);

/// Time in which the main thread ends after a signal, unless a full pipe holds it.
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
        // A closed pipe (`| head`) is the reader's choice.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return ExitCode::SUCCESS;
        }
        report_error("monitor", &error);
        ExitCode::from(UNREACHABLE)
    })
}

/// Lines for people or objects for programs, one for each answer.
fn report(options: &Options) -> io::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    interrupt.exit_within(END_GRACE, || ())?;
    let poll = Poll::start(&options.servers, options.interval)?;
    let mut histories: Vec<History> = options.servers.iter().map(|_| History::default()).collect();
    let mut told = vec![false; options.servers.len()];
    let mut out = io::stdout().lock();
    loop {
        if let Some(status) = interrupt.status() {
            return Ok(ExitCode::from(status));
        }
        if options.once && told.iter().all(|told| *told) {
            break;
        }
        let Some((server, answer)) = poll.next(SIGNAL_PATIENCE) else { continue };
        let history = &mut histories[server];
        history.take(answer);
        // Rates need two answers; whoever looks once gets the second.
        if options.once && (told[server] || !(history.has_rates() || history.is_unreachable())) {
            continue;
        }
        told[server] = true;
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
