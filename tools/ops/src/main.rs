//! Programs for operators, in one: `pixi-game-ops SUBCOMMAND`.
//!
//! ```text
//! main ──> monitor   the state of servers, in the terminal
//!      ├─> conform   the protocol's promises, checked against servers
//!      ├─> tune      kernel settings that bound the number of players
//!      └─> manual    the manual pages, completions and environment file to install
//! ```

mod conform;
mod manual;
mod monitor;
mod tune;

use std::process::ExitCode;

use game_client::options::{Subcommand, Suite};

static SUITE: Suite = Suite {
    name: "pixi-game-ops",
    about: "Monitors and checks game servers and their machine.",
    subcommands: &[
        Subcommand("monitor", "show the state of servers", monitor::main),
        Subcommand("conform", "check servers against the protocol", conform::main),
        Subcommand("tune", "show or change kernel settings that bound the number of players", tune::main),
        Subcommand("manual", "write the manual pages, completions and environment file", manual::main),
    ],
};

fn main() -> ExitCode {
    SUITE.main(std::env::args().skip(1))
}
