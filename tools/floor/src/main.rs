//! The floor: a server that makes the same reads and writes as the game server, with no game behind them.
//!
//! It shakes hands, answers every MOVE with an ack at the end of the same batch of events, and flushes a fixed number
//! of bytes to every client at a fixed interval, staggered over the ticks and in slices with a poll between them. Its
//! CPU time for each read and write is what this machine charges for the sockets alone, so that the game server's can
//! be given as a ratio. Run `loadtest --viewers 0` against it: there are no pictures to compare.
//!
//! The clock, the timer, the signals, the listener and the handshake are the game server's own.
//!
//! ```text
//! main ──> options      the command line
//!      └─> floor        the loop ──> peer: one connection, the few bytes of framing it needs
//! ```

mod floor;
mod options;
mod peer;

use std::io::{self, Write};
use std::process::ExitCode;

use floor::Floor;
use options::{Command, parse};
use pixi_game_server::server::os::{Signals, raise_open_files};

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Descriptors needed beside the connections'.
const DESCRIPTORS_OVERHEAD: u64 = 32;

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return complain(BAD_USAGE, &problem),
    };
    // What does not fit under the limit is refused by the kernel, and the load test will say so.
    let wanted = options.max_connections as u64 + DESCRIPTORS_OVERHEAD;
    if let Err(error) = raise_open_files(wanted) {
        return complain(FAILED, &format!("the limit of open files is unknown: {error}"));
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
        Err(error) => complain(FAILED, &error.to_string()),
    }
}

fn print(text: &str) {
    // A closed pipe is the reader's choice.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(status: u8, problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "floor: {problem}");
    ExitCode::from(status)
}
