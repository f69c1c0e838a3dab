//! Starts Redis, three servers and `HAProxy` on this machine and keeps them running until Ctrl-C. With `LOAD`
//! it runs the load test through the balancer, and exits with its result.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use cluster::{LocalCluster, NAMES};
use game_client::cli::{self, Command, given, value};
use game_client::console::{output, progress, report_error};
use game_client::{Failure, Interrupt};
use stage::Process;

/// Default port of the game.
const PORT: &str = "8108";

const BRIEF: &str = "Starts Redis, three servers and HAProxy, and keeps them running until Ctrl-C.

With these variables of the environment:
  PORT           port of the game [8108]
  LOAD           flags of a load test to run through the balancer; the demo ends with it";

fn main() -> ExitCode {
    let asked = cli::parse("cluster-demo", std::env::args().skip(1), BRIEF, |_| {}, |_| port());
    let shown = match asked {
        Ok(Command::Help(text)) => {
            output(format_args!("{}", text.trim_end()));
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(port)) => demo(port),
        Err(problem) => Err(Failure::Usage(problem)),
    };
    match shown {
        // Ctrl-C is the normal end.
        Ok(true) | Err(Failure::Interrupted) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            report_error("cluster-demo", &failure);
            failure.exit_code()
        }
    }
}

/// Reads the port from the environment.
fn port() -> Result<u16, String> {
    let given = given("port", None, |name| std::env::var(name).ok());
    let read = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0);
    value(given, PORT, "a whole number from 1 to 65535", read)
}

/// Runs the demo. Returns whether the load test succeeded, if there was one.
fn demo(port: u16) -> Result<bool, Failure> {
    let interrupt = Interrupt::watch()?;
    progress(format_args!(
        "starting Redis, {} servers and HAProxy; the first ids take three seconds",
        NAMES.len()
    ));
    let cluster = LocalCluster::start(NAMES.len(), Some(port), &interrupt)?;
    let address = cluster.address();
    output(format_args!(
        "one world of {} servers at http://{address}/; logs in {}",
        NAMES.len(),
        cluster.logs().display()
    ));
    let load = std::env::var("LOAD").unwrap_or_default();
    if load.is_empty() {
        output(format_args!(
            "add players with: target/release/loadtest --clients 600 --server ws://{address}/ws; Ctrl-C ends it"
        ));
        loop {
            interrupt.sleep(Duration::from_hours(1))?;
        }
    }
    let mut command = cluster.program("loadtest");
    command.args(["--server", &format!("ws://{address}/ws")]).args(load.split_whitespace());
    let mut load_test = Process::start("loadtest", command.stdin(Stdio::null()))?;
    loop {
        if let Some(status) = load_test.status()? {
            return Ok(status.success());
        }
        interrupt.sleep(Duration::from_millis(100))?;
    }
}
