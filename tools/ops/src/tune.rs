//! Checks kernel settings against a number of players and prints a table, prints a sysctl file, or applies the changes.

mod apply;
mod table;

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use game_client::options::{CommandLine, Flag, Program, verdict};
use pixi_game_server::ops::kernel_limits::{Workload, inspect, sysctl_file};
use pixi_game_server::server::driver::os::page_bytes;

/// The command line.
pub const PROGRAM: Program<'_> = Program {
    name: "pixi-game-ops tune",
    about: "Shows the kernel settings that limit how many players pixi-game-server can serve on this machine.\n\n\
            To keep the changes: pixi-game-ops tune --print-sysctl > /etc/sysctl.d/60-pixi-game-server.conf\n\n\
            Exit status: 0 if every setting is sufficient or was made so, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

const FLAGS: &[Flag] = &[
    Flag::new("players", "N", "12000", "concurrent players").within(1.0, 1e6).variable("PLAYERS"),
    Flag::switch("local-proxy", "a proxy on this machine forwards the players, each over a local port"),
    Flag::switch("print-sysctl", "print the changes as a file for /etc/sysctl.d"),
    Flag::switch("apply", "apply the changes until the next reboot; needs root"),
];

/// A valid set of options.
struct Options {
    workload: Workload,
    is_printing: bool,
    is_applying: bool,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(Ok(run(&options))))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let (is_printing, is_applying) = (line.is_given("print-sysctl"), line.is_given("apply"));
    if is_printing && is_applying {
        line.problems.push("--print-sysctl and --apply: expected one of them".to_owned());
    }
    let workload = Workload { players: line.value("players"), is_proxy_local: line.is_given("local-proxy") };
    Options { workload, is_printing, is_applying }
}

/// Returns whether every setting is sufficient.
fn run(options: &Options) -> bool {
    let Options { workload, is_printing, is_applying } = options;
    let settings = inspect(workload, page_bytes(), |path| fs::read_to_string(path).ok());
    let (text, is_sufficient) = if *is_printing {
        (sysctl_file(&settings, workload.players), true)
    } else if *is_applying {
        apply::apply(&settings)
    } else {
        let all_sufficient = settings.iter().all(|setting| setting.is_sufficient);
        (table::show(&settings, workload.players), all_sufficient)
    };
    // A closed pipe (`pixi-game-ops tune | head`) is not an error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    is_sufficient
}
