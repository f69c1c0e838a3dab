//! One run of a row: the load test against a new server, then against the floor with the same reads and writes.

use game_client::Failure;
use game_client::console::progress;
use serde_json::Value as Json;

use super::rows::Row;
use crate::figures::{BYTES, MOVES, Run, WRITES, clients, number};
use crate::stage::{Server, Stage};

/// The server's connection limit, which fits into the usual hard limit of 20,000 open files.
pub const MAX_CONNECTIONS: &str = "19400";

/// The environment variable that `start.sh` and the service set for the server. The floor gets it too, for
/// comparability.
pub const ENVIRONMENT: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// Divisor of the floor's measured time. Its CPU time per call converges sooner than the server's tail latencies.
const FLOOR_PART: u64 = 2;

/// Flags of the load test against the floor, which has no players to compare.
pub const FLOOR_FLAGS: &str = "--warm-up 2s --viewers 0";

/// Size of an ack with its frame header, in bytes.
const ACK_BYTES: f64 = 15.0;

/// Size of the frames in the floor's flushes, in bytes.
const FRAME_BYTES: f64 = 9.0;

/// Longest flush that the floor accepts, in bytes, rounded down to whole frames.
const FLUSH_BYTES_MAX: f64 = 65_529.0;

/// Shortest and longest flush interval that the floor accepts, in milliseconds.
const INTERVAL_MS: (f64, f64) = (1.0, 60_000.0);

/// Runs a row once for `seconds`, then the floor `floor_runs` times: its cost varies by up to a tenth from start to
/// start. Also returns the commands that repeat this run by hand.
///
/// # Errors
/// A program does not run, or Ctrl-C was pressed. Faults of the server are results, not errors.
pub fn run(stage: &Stage, row: &Row, seconds: u64, floor_runs: usize) -> Result<(Run, Vec<String>), Failure> {
    let flags = row.flags(seconds);
    progress(format_args!("  server: loadtest {flags}"));
    let mut command = stage.game();
    command.env("MAX_CONNECTIONS", MAX_CONNECTIONS).env(ENVIRONMENT.0, ENVIRONMENT.1);
    let server = stage.start("pixi-game-server", &mut command, "/health", None)?;
    let mut results = load(stage, &server, &flags)?;
    drop(server);
    let mut commands = vec![format!("make load-test LOAD=\"{flags}\"")];
    if let Some(flushes) = matching_flushes(&results).filter(|_| row.has_floor()) {
        let flags = format!("{} {FLOOR_FLAGS}", row.flags(seconds.div_ceil(FLOOR_PART)));
        let floors = (0..floor_runs).map(|_| load_floor(stage, &flushes, &flags));
        results["floors"] = floors.collect::<Result<Vec<Json>, _>>()?.into();
        commands.push(format!(
            "export {}={}; target/release/bench floor --port 18109 {flushes} & sleep 1; target/release/loadtest \
             --server ws://127.0.0.1:18109/ws --pid $! {flags}; kill $!",
            ENVIRONMENT.0, ENVIRONMENT.1
        ));
    }
    Ok((Run::of(&results), commands))
}

fn load_floor(stage: &Stage, flushes: &str, flags: &str) -> Result<Json, Failure> {
    progress(format_args!("  floor: {flushes}"));
    let mut command = stage.program("bench");
    command.arg("floor").args(flushes.split_whitespace()).env(ENVIRONMENT.0, ENVIRONMENT.1);
    load(stage, &stage.start("floor", &mut command, "/metrics", None)?, flags)
}

fn load(stage: &Stage, server: &Server, flags: &str) -> Result<Json, Failure> {
    stage.load(server.address, &format!("--pid {} {flags}", server.process.id()))
}

/// Returns the flags with which the floor matches the game server's writes and bytes, or `None` if the results lack them.
///
/// Both write one ack per MOVE. All other writes of the game server count as flushes. Deltas that piggyback on acks
/// leave fewer flushes; the bytes of these deltas then belong to the floor's flushes.
pub fn matching_flushes(load: &Json) -> Option<String> {
    let clients = clients(load)?;
    let moves_per_s = number(load, MOVES)?;
    let flushes_per_s = number(load, WRITES)? - moves_per_s;
    let flushed_bytes_per_s = number(load, BYTES)? * clients - ACK_BYTES * moves_per_s;
    let interval_ms = clients / flushes_per_s * 1e3;
    let (bytes, interval_ms) = if flushes_per_s <= 0.0 || interval_ms > INTERVAL_MS.1 {
        (0.0, INTERVAL_MS.1)
    } else {
        let frames = (flushed_bytes_per_s / flushes_per_s / FRAME_BYTES).round().max(1.0);
        ((frames * FRAME_BYTES).min(FLUSH_BYTES_MAX), interval_ms.max(INTERVAL_MS.0))
    };
    Some(format!("--flush-bytes {bytes} --flush-interval-ms {interval_ms:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flushes_cover_the_writes_and_bytes_beyond_acks() {
        let flushes = |moves_per_s: f64, writes_per_s: f64, bytes_in: f64| {
            matching_flushes(&json!({
                "traffic": { "clients": 1000, "moves_per_s": moves_per_s, "per_client_s": { "bytes_in": bytes_in } },
                "server": { "metrics": { "socket_writes_per_s": writes_per_s } },
            }))
            .unwrap()
        };
        // A thousand clients with 10 acks and 8 flushes a second each. 150 of 870 bytes are acks.
        assert_eq!(flushes(10_000.0, 18_000.0, 870.0), "--flush-bytes 90 --flush-interval-ms 125.00");
        // Flushes that the floor can't make are clamped.
        let none = "--flush-bytes 0 --flush-interval-ms 60000.00";
        assert_eq!(flushes(10_000.0, 10_000.0, 200.0), none);
        assert_eq!(flushes(10_000.0, 9_000.0, 200.0), none);
        assert_eq!(flushes(0.0, 5e6, 10.0), "--flush-bytes 9 --flush-interval-ms 1.00");
        assert_eq!(matching_flushes(&json!({ "traffic": { "clients": 5, "moves_per_s": 1.0 } })), None);
    }
}
