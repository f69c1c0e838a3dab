//! Checks over real sockets that servers behave as the game's client requires, and reports each result.
//!
//! ```text
//! main ──> options   servers to check
//!      ├─> checks    the checks: http, alone, together, endings ──> player: a client with a deadline for every wait
//!      └─> report    one line per check, one column per server
//! ```
//!
//! Exit status: 0 if the last server passes every check, 1 otherwise, 2 for invalid usage.

mod checks;
mod options;
mod player;
mod report;

use std::io::Write as _;
use std::process::{Command as Program, ExitCode, Stdio};

use game_client::console::report_error;
use game_client::endpoint::Server;
use game_client::{Failure, Interrupt};
use options::{Command, Options};
use report::Column;
use stage::Process;
use stage::server::{ReadinessProbe, folder_with, free_port, start_server};

const FAILED: u8 = 1;
const INVALID: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            report_error("conform", &problem);
            return ExitCode::from(INVALID);
        }
    };
    match run(options) {
        Ok(is_well) if is_well => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(failure) => {
            report_error("conform", &failure);
            ExitCode::from(FAILED)
        }
    }
}

/// Runs all checks. Returns whether the last server passed.
fn run(mut options: Options) -> Result<bool, Failure> {
    let interrupt = Interrupt::watch()?;
    let mut own = None;
    if options.servers.is_empty() {
        let (process, server) = serve_one(&interrupt)?;
        own = Some(process);
        options.servers.push(server);
    }
    let columns: Vec<Column> = options.servers.iter().map(Column::of).collect();
    drop(own);
    let text = if options.json { report::json(&columns) } else { report::table(&columns) };
    // The reader may close the pipe early.
    let _ = write!(std::io::stdout(), "{text}");
    Ok(columns.last().is_some_and(Column::passed))
}

/// Starts the server built beside this program, with its defaults, on a free port.
fn serve_one(interrupt: &Interrupt) -> Result<(Process, Server), Failure> {
    let program = folder_with(&["pixi-game-server"])?.join("pixi-game-server");
    let probe = ReadinessProbe { port: free_port()?, path: "/health", log: None };
    let mut command = Program::new(program);
    command.envs([("HOST", "127.0.0.1"), ("LOG_LEVEL", "error"), ("PORT", &probe.port.to_string())]);
    let process = start_server("pixi-game-server", command.stdin(Stdio::null()), probe, interrupt)?;
    let address = probe.address();
    Ok((process, Server::at(address)))
}
