//! Checks over real sockets that servers behave as the game's client requires, and reports each result.
//!
//! ```text
//! conform ──> checks    the checks: http, alone, together, endings ──> player: a client with a deadline for every wait
//!         └─> report    one line per check, one column per server
//! ```

mod checks;
mod player;
mod report;

use std::io::Write as _;
use std::process::ExitCode;
use std::{env, thread};

use game_client::Failure;
use game_client::endpoint::{Server, servers};
use game_client::options::{CommandLine, Flag, Program, verdict};
use pixi_game_server::config::{self, Command};
use pixi_game_server::ops::logging::LogHandle;
use pixi_game_server::server::core::assets::Assets;
use pixi_game_server::server::driver::capacity;
use pixi_game_server::server::driver::os::Signals;

use report::Column;

/// The command line.
pub const PROGRAM: Program<'_> = Program {
    name: "pixi-game-ops conform",
    about: "Checks that servers behave as the game's client requires, and reports each result.\n\n\
            Exit status: 0 if the last server passes every check, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

const FLAGS: &[Flag] = &[
    Flag::new("server", "LIST", "", "servers to check and compare [starts one]").variable("SERVER"),
    Flag::new("player-speed", "UNITS", "4", "PLAYER_SPEED of the servers").within(1.0, 50.0),
    Flag::switch("json", "print a JSON object"),
];

/// Maximum number of servers to compare.
const SERVERS_MAX: usize = 4;

const SERVERS: &str =
    "up to 4 addresses with commas between them, such as 127.0.0.1:8108 or ws://game.example:8109/ws";

/// A valid set of options.
struct Options {
    /// Servers to check; empty means one in this process.
    servers: Vec<Server>,
    /// `PLAYER_SPEED` of the servers, in units per client step.
    player_speed: f64,
    is_json: bool,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(run(options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let listed = |text: &str| servers(text, SERVERS_MAX, &["ws://", "http://"], &["/ws"]);
    let servers = line.optional_with("server", |text, _| listed(text).ok_or_else(|| SERVERS.to_owned()));
    Options {
        servers: servers.unwrap_or_default(),
        player_speed: line.value("player-speed"),
        is_json: line.is_given("json"),
    }
}

/// Runs all checks. Returns whether the last server passed.
fn run(mut options: Options) -> Result<bool, Failure> {
    if options.servers.is_empty() {
        options.servers.push(serve()?);
    }
    let columns = Column::of_all(&options.servers, options.player_speed);
    let text = if options.is_json { report::json(&columns) } else { report::table(&columns) };
    // The reader may close the pipe early.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(columns.last().is_some_and(Column::passed))
}

/// Serves the game in this process, on a free port of 127.0.0.1 and with the environment's settings, until a signal ends
/// it and the process.
fn serve() -> Result<Server, Failure> {
    let given = |name: &str| match name {
        "HOST" => Some("127.0.0.1".into()),
        "PORT" => Some("0".into()),
        _ => env::var_os(name),
    };
    let command = config::parse(std::iter::empty(), given);
    let command = command.map_err(|error| Failure::Usage(error.problems().join("\n")))?;
    let Command::Run(config, _) = command else { unreachable!("no flags are given") };
    // The threads inherit the blocked signals.
    let signals = Signals::for_shutdown()?;
    let capacity = capacity::raise_for(config.max_connections, false);
    let reread = || Ok(config::Config::default());
    let server = pixi_game_server::server::Server::bind(
        config,
        capacity,
        Assets::default(),
        signals,
        LogHandle::default(),
        reread,
    );
    let server = server.map_err(|error| Failure::Failed(error.to_string()))?;
    let address = server.local_addr()?;
    thread::spawn(move || {
        let _ = server.run();
        std::process::exit(INTERRUPTED);
    });
    Ok(Server::at(address))
}

/// Exit status after a signal.
const INTERRUPTED: i32 = 130;
