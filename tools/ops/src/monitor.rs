//! Shows the state of servers: a dashboard on a terminal, plain lines elsewhere, JSON for programs.
//!
//! ```text
//! monitor ──> poll       polls each server on a thread
//!      ├─> history    recent metrics of each server, and rates
//!      ├─> plain      one response as text or JSON
//!      └─> dashboard  handles keys, draws ──> screen: the layout; terminal: setup and restore
//!           └─> players    the table of players ──> control: asks the control socket on a thread
//! ```

mod control;
mod dashboard;
mod history;
mod plain;
mod players;
mod poll;
mod screen;
mod terminal;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use game_client::endpoint::{Server, servers};
use game_client::options::{CommandLine, Flag, Program, WholeSeconds};
use game_client::{Failure, Interrupt};

use history::History;
use poll::Poll;

/// The command line.
pub const PROGRAM: Program<'_> = Program {
    name: "pixi-game-ops monitor",
    about: "Shows the state of servers: a dashboard on a terminal, lines elsewhere. A server with ADMIN_ADDR responds \
            there.\n\nKeys: q quits, Tab or a digit selects a server, p pauses, + and - change the interval. l lists \
            the players of a server on this machine: s changes the order, / filters by address or network, the arrows or j \
            and k select a player, x kicks it, b bans its address for an hour, each after y; Esc closes the list.\n\n\
            Exit status: 0 if all servers respond, 1 if one does not, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

const FLAGS: &[Flag] = &[
    Flag::new("server", "LIST", "127.0.0.1:8108", "servers to poll").variable("SERVER"),
    Flag::new("interval", "TIME", "1s", "polling interval").within(1.0, 3_600.0).variable("INTERVAL"),
    Flag::new("control", "FILE", "", "control socket that lists and kicks players; otherwise that of ctl"),
    Flag::switch("once", "report once and end; status 1 if a server is unreachable"),
    Flag::switch("json", "print one JSON object per response"),
];

/// Most servers polled. Each has a thread.
const SERVERS_MAX: usize = 32;

const SERVERS: &str =
    "up to 32 comma-separated addresses, such as 127.0.0.1:8108 or http://game.example:9108";

/// Longest wait for a response before signals are checked.
const SIGNAL_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time for the main thread to end after a signal. It may be blocked on a full pipe.
const END_GRACE: Duration = Duration::from_secs(1);

const UNREACHABLE: u8 = 1;

/// A valid set of options.
struct Options {
    /// Servers to poll, at least one.
    servers: Vec<Server>,
    /// Polling interval per server.
    interval: Duration,
    /// The control socket, if it is given.
    control: Option<PathBuf>,
    /// Whether to end after one report per server.
    once: bool,
    /// Whether to print JSON.
    json: bool,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| run(&options))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let listed = |text: &str| servers(text, SERVERS_MAX, &["http://"], &[]);
    let WholeSeconds(interval_s) = line.value("interval");
    Options {
        servers: line.value_with("server", |text, _| listed(text).ok_or_else(|| SERVERS.to_owned())),
        interval: Duration::from_secs(interval_s),
        control: line.optional("control"),
        once: line.is_given("once"),
        json: line.is_given("json"),
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let is_dashboard = !options.once && !options.json && io::stdout().is_terminal();
    match if is_dashboard { dashboard::run(options) } else { report(options) } {
        // A closed pipe (`| head`) is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => Ok(result?),
    }
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
        if options.once
            && (is_reported[server] || !(history.rates().is_some() || history.unreachable().is_some()))
        {
            continue;
        }
        is_reported[server] = true;
        let name = &options.servers[server].name;
        let text = match (options.json, options.once) {
            (true, _) => plain::json(name, history).to_string(),
            (false, true) => plain::page(name, history),
            (false, false) => plain::line(name, history),
        };
        writeln!(out, "{text}")?;
    }
    let all_answered = histories.iter().all(|history| history.unreachable().is_none());
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::from(UNREACHABLE) })
}
