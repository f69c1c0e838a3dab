//! Measurements of the server, in one program: `bench SUBCOMMAND`.
//!
//! ```text
//! main ──> load           the table of loads with targets ──> floor, as a child
//!      ├─> hostile        players beside hostile peers
//!      ├─> amplification  the server's cost of one client's bytes
//!      ├─> soak           hours of players, churn and hostile peers, with a verdict
//!      ├─> cluster        several servers with Redis and HAProxy
//!      ├─> cores          one process, and several that share a port
//!      ├─> floor          a server with the same reads and writes and no game
//!      ├─> pairs          server and floor in turns
//!      ├─> operators      players beside scripts that list them in a loop
//!      ├─> takeover       pauses of takeovers under load
//!      └─> profile        CPU time and heap of the server under load
//! stage                   starts servers and load tests ──> process: a child that never outlives its handle
//! figures, judge          the load test's figures, and their comparison with targets
//! kernel, machine         figures of a process from /proc; the measured machine and code
//! results                 folder and files of the results, and the verdict
//! ```

mod amplification;
mod cluster;
mod cores;
mod figures;
mod floor;
mod hostile;
mod judge;
mod kernel;
mod load;
mod machine;
mod operators;
mod pairs;
mod process;
mod profile;
mod results;
mod soak;
mod stage;
mod takeover;

use std::process::ExitCode;

use game_client::options::{Subcommand, Suite};

static SUITE: Suite = Suite {
    name: "bench",
    about: "Measures the game server.",
    subcommands: &[
        Subcommand("load", "run the table of loads and record the results", load::main),
        Subcommand("hostile", "measure players beside hostile peers", hostile::main),
        Subcommand("amplification", "measure the server's cost of one client's bytes", amplification::main),
        Subcommand("soak", "run players, churn and hostile peers for hours", soak::main),
        Subcommand("cluster", "measure several servers, or keep them running", cluster::main),
        Subcommand("cores", "measure one process, and several that share a port", cores::main),
        Subcommand("floor", "serve the same reads and writes without a game", floor::main),
        Subcommand("pairs", "measure server and floor in turns", pairs::main),
        Subcommand("operators", "measure acks beside stuck scripts of operators", operators::main),
        Subcommand("takeover", "measure takeovers under load", takeover::main),
        Subcommand("profile", "profile CPU time or heap under load", profile::main),
    ],
};

fn main() -> ExitCode {
    SUITE.main(std::env::args().skip(1))
}
