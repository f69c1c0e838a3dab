//! One run of a row: the load test against a new server, then against the floor with the same reads and writes.

use game_client::Failure;
use game_client::console::progress;
use serde_json::Value as Json;

use super::calibrate::Flushes;
use super::figures::Run;
use super::rows::Row;
use crate::stage::{Server, Stage};

/// The server's connection limit, which fits into the usual hard limit of 20,000 open files.
const MAX_CONNECTIONS: &str = "19400";

/// The environment variable that `start.sh` and the service set for the server. The floor gets it too, for
/// comparability.
const ENVIRONMENT: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// Divisor of the floor's measured time. Its CPU time per call converges sooner than the server's tail latencies.
const FLOOR_PART: u64 = 2;

/// Warm-up of the floor after the last connect.
const FLOOR_WARM_UP: &str = "2s";

/// Runs a row once for `seconds`, then the floor `floor_runs` times: its cost varies by up to a tenth from start to
/// start.
///
/// # Errors
/// A program does not run, or Ctrl-C was pressed. Faults of the server are results, not errors.
pub fn run(stage: &Stage, row: &Row, seconds: u64, floor_runs: usize) -> Result<Run, Failure> {
    let flags = row.flags(seconds);
    progress(format_args!("  server: loadtest {flags}"));
    let mut command = stage.game();
    command.env("MAX_CONNECTIONS", MAX_CONNECTIONS).env(ENVIRONMENT.0, ENVIRONMENT.1);
    let server = load(stage, &stage.start("pixi-game-server", &mut command, "/health", None)?, &flags)?;
    let floors = match Flushes::matching(&server).filter(|_| row.has_floor) {
        Some(flushes) => {
            let flags = floor_flags(&row.flags(floor_seconds(seconds)));
            (0..floor_runs).map(|_| load_floor(stage, &flushes, &flags)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(Run { server, floors })
}

fn load_floor(stage: &Stage, flushes: &Flushes, flags: &str) -> Result<Json, Failure> {
    progress(format_args!("  floor: {}", flushes.flags()));
    let mut command = stage.program("bench");
    command.arg("floor").args(flushes.flags().split_whitespace()).env(ENVIRONMENT.0, ENVIRONMENT.1);
    load(stage, &stage.start("floor", &mut command, "/metrics", None)?, flags)
}

fn load(stage: &Stage, server: &Server, flags: &str) -> Result<Json, Failure> {
    stage.load(server.address, &format!("--pid {} {flags}", server.process.id()))
}

fn floor_seconds(seconds: u64) -> u64 {
    seconds.div_ceil(FLOOR_PART)
}

/// The floor has no players to compare, so there are no viewers.
fn floor_flags(flags: &str) -> String {
    format!("{flags} --warm-up {FLOOR_WARM_UP} --viewers 0")
}

/// Returns the commands that repeat a row by hand: against the server, and against the floor as in this run.
pub fn commands(row: &Row, seconds: u64, run: &Run) -> Vec<String> {
    let mut commands = vec![format!("make load-test LOAD=\"{}\"", row.flags(seconds))];
    if let Some(flushes) = Flushes::matching(&run.server).filter(|_| !run.floors.is_empty()) {
        commands.push(format!(
            "export {}={}; target/release/bench floor --port 18109 {} & sleep 1; target/release/loadtest --server \
             ws://127.0.0.1:18109/ws --pid $! {}; kill $!",
            ENVIRONMENT.0,
            ENVIRONMENT.1,
            flushes.flags(),
            floor_flags(&row.flags(floor_seconds(seconds)))
        ));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_can_be_run_by_hand() {
        let server = json!({
            "traffic": { "clients": 1000, "moves_per_s": 10_000.0, "per_client_s": { "bytes_in": 870.0 } },
            "server": { "metrics": { "socket_writes_per_s": 18_000.0 } },
        });
        let row = Row::of("a").unwrap();
        let mut run = Run { server, floors: Vec::new() };
        let load =
            "make load-test LOAD=\"--clients 1000 --moves-per-second 10 --connect-rate 1500 --duration 60s\"";
        assert_eq!(commands(row, 60, &run), [load]);
        run.floors.push(json!({}));
        let floor = &commands(row, 60, &run)[1];
        let start = "export GLIBC_TUNABLES=glibc.malloc.hugetlb=1; target/release/bench floor --port 18109 --flush-bytes 90 ";
        assert!(floor.starts_with(start), "{floor}");
        assert!(floor.contains("--duration 30s --warm-up 2s --viewers 0; kill $!"), "{floor}");
    }
}
