//! The floor: a server with the same reads and writes as the game server, but without a game.
//!
//! It completes handshakes, and answers every MOVE with an ack at the end of the same batch of events. It flushes a
//! fixed number of bytes to every client at a fixed interval, staggered over the ticks, in slices with a poll between
//! them. Its CPU time per read and write is the machine's cost of the socket calls, the baseline for the game server.
//! Run `loadtest --viewers 0` against it: it has no players to compare.
//!
//! Clock, timer, listener and handshake are the game server's code.
//!
//! ```text
//! floor ──> server   the event loop ──> peer: one connection and its framing
//! ```

mod peer;
mod server;

use std::process::ExitCode;

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{CommandLine, Flag, Program};
use pixi_game_server::server::driver::os::raise_open_files;

use server::Floor;

const PROGRAM: Program<'_> = Program {
    name: "bench floor",
    about: "Makes a game server's reads and writes without a game.\n\n\
            GET /metrics returns their number.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("port", "PORT", "8108", "port to listen on").within(0.0, 65_535.0).variable("PORT"),
    Flag::new("flush-bytes", "BYTES", "90", "bytes of a flush, 0 for no flushes").within(0.0, 65_536.0),
    Flag::new("flush-interval-ms", "MS", "50", "flush interval per client").within(1.0, 60_000.0),
];

/// Limit of connections, and the descriptors that they need with those of the floor itself.
const CONNECTIONS_MAX: usize = 19_900;
const OPEN_FILES: u64 = CONNECTIONS_MAX as u64 + 32;

/// A valid set of options.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Options {
    /// Port to listen on.
    port: u16,
    /// Bytes of a flush, rounded down to whole frames of nine bytes; 0 for no flushes.
    flush_bytes: usize,
    /// Flush interval per client, in milliseconds. Fractions make it possible to match another server's write rate.
    flush_interval_ms: f64,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, serve)
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options {
        port: line.value("port"),
        flush_bytes: line.value("flush-bytes"),
        flush_interval_ms: line.value("flush-interval-ms"),
    }
}

fn serve(options: Options) -> Result<ExitCode, Failure> {
    // The kernel refuses connections beyond the limit, and the load test reports them.
    raise_open_files(OPEN_FILES)?;
    let floor = Floor::bind(options)?;
    progress(format_args!("floor: listening on http://{}", floor.local_addr()?));
    match floor.run()? {}
}
