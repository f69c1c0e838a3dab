//! Keeps Redis and several servers running until Ctrl-C, or until a load test ends: three behind `HAProxy`, or any number on one port.

use std::time::Duration;

use game_client::Failure;
use game_client::console::{output, progress};

use super::local::{LocalCluster, NAMES};
use crate::process::Process;
use crate::stage::{Stage, url};

/// Runs the demo. Returns whether the load test succeeded, if there was one. Ctrl-C is the normal end.
///
/// # Errors
/// A program is missing or does not start.
pub fn run(port: u16, processes: Option<usize>, load: &str) -> Result<bool, Failure> {
    match serve(port, processes, load) {
        Err(Failure::Interrupted) => Ok(true),
        result => result,
    }
}

fn serve(port: u16, processes: Option<usize>, load: &str) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let servers = processes.unwrap_or(NAMES.len());
    let front = if processes.is_none() { "and HAProxy" } else { "on one port" };
    progress(format_args!("starting Redis and {servers} servers {front}; the first ids take three seconds"));
    let cluster = match processes {
        None => LocalCluster::start(&stage, servers, Some(port))?,
        Some(_) => LocalCluster::start_shared(&stage, servers, Some(port))?,
    };
    let address = cluster.address();
    let logs = cluster.logs().display();
    output(format_args!("one world of {servers} servers at http://{address}/; logs in {logs}"));
    let admin = cluster.metrics_addresses();
    let first = admin.split(',').next().unwrap_or_default();
    output(format_args!(
        "for operators, since players see neither metrics nor dashboard: http://{first}/dashboard"
    ));
    if load.is_empty() {
        output(format_args!(
            "add players with: target/release/loadtest --clients 600 --server {}; Ctrl-C ends it",
            url(address)
        ));
        loop {
            stage.interrupt.sleep(Duration::from_hours(1))?;
        }
    }
    let mut load_test = Process::start("loadtest", &mut stage.load_test(address, load))?;
    loop {
        if let Some(status) = load_test.status()? {
            return Ok(status.success());
        }
        stage.interrupt.sleep(Duration::from_millis(100))?;
    }
}
