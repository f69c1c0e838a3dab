//! The floor: a server with the same reads and writes as the game server, but without a game.
//!
//! It completes handshakes, and answers every MOVE with an ack at the end of the same batch of events. It flushes a
//! fixed number of bytes to every client at a fixed interval, staggered over the ticks, in slices with a poll between
//! them. Its CPU time per read and write is the machine's cost of the socket calls, the baseline for the game server.
//! Run `loadtest --viewers 0` against it: it has no players to compare.
//!
//! Clock, timer, signals, listener and handshake are the game server's code.
//!
//! ```text
//! main ──> options      parses the command line
//!      └─> floor        the event loop ──> peer: one connection and its framing
//! ```

mod floor;
mod options;
mod peer;

use std::io::{self, Write};
use std::process::ExitCode;

use floor::Floor;
use options::{Command, parse};
use pixi_game_server::server::driver::os::{Signals, raise_open_files};

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed in addition to those of the connections.
const DESCRIPTORS_OVERHEAD: u64 = 32;

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return fail_with(BAD_USAGE, &problem),
    };
    // The kernel refuses connections beyond the limit, and the load test reports them.
    let wanted = options.max_connections as u64 + DESCRIPTORS_OVERHEAD;
    if let Err(error) = raise_open_files(wanted) {
        return fail_with(FAILED, &format!("cannot read the limit of open files: {error}"));
    }
    let result = Signals::for_shutdown().and_then(|signals| {
        let floor = Floor::bind(options, signals)?;
        let _ = writeln!(io::stderr(), "floor: listening on http://{}", floor.local_addr()?);
        floor.run()
    });
    match result {
        Ok(account) => {
            print(&format!("{account}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => fail_with(FAILED, &error.to_string()),
    }
}

fn print(text: &str) {
    // A closed pipe is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn fail_with(status: u8, problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "floor: {problem}");
    ExitCode::from(status)
}
