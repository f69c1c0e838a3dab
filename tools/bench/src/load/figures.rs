//! The figures of a run, and their paths in the load test's results.

use serde_json::Value as Json;

use crate::figures::{number, sum};

/// Results of the load test, as JSON.
#[derive(Clone, Debug)]
pub struct Run {
    /// Results for the game server.
    pub server: Json,
    /// Results for the floor under the same load, one per start. Empty for a row with hardly any socket calls.
    pub floors: Vec<Json>,
}

/// Selects the run that is compared with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The median, to exclude noise of the machine.
    ByMedian,
    /// The worst run, for events that must never happen.
    ByWorst,
}
use Judged::{ByMedian, ByWorst};

/// One figure.
pub struct Figure {
    /// Its key in JSON.
    pub key: &'static str,
    /// Its name in reports.
    pub name: &'static str,
    /// Its unit; empty for counts.
    pub unit: &'static str,
    /// Significant decimals.
    pub decimals: usize,
    /// The run that is judged, of several.
    pub judged: Judged,
    /// Its value in a run, or `None` if it was not measured.
    pub of: fn(&Run) -> Option<f64>,
}

const fn figure(
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    decimals: usize,
    judged: Judged,
    of: fn(&Run) -> Option<f64>,
) -> Figure {
    Figure { key, name, unit, decimals, judged, of }
}

/// All figures, in the order of the reports.
#[rustfmt::skip] // One row per figure.
pub static FIGURES: &[Figure] = &[
    figure("ack_mean_ms", "ack round trip, mean", "ms", 2, ByMedian, |run| at(run, "/ack_ms/mean")),
    figure("ack_p99_ms", "ack round trip, p99", "ms", 2, ByMedian, |run| at(run, "/ack_ms/p99")),
    figure("ack_max_ms", "ack round trip, longest", "ms", 1, ByMedian, |run| at(run, "/ack_ms/max")),
    figure("to_screen_p99_ms", "delay of changes of the 50 nearest to the screen, p99", "ms", 0, ByMedian, |run| at(run, "/to_screen_ms/p99")),
    figure("kb_per_client_s", "sent per client", "kB/s", 2, ByMedian, |run| Some(at(run, BYTES)? / 1e3)),
    figure("saved_percent", "saved against snapshots of visible players, acks included", "%", 2, ByMedian, |run| Some(at(run, SAVED)? * 100.0)),
    figure("saved_of_all_percent", "saved against snapshots of all players, acks included", "%", 2, ByMedian, saved_of_all_percent),
    figure("resident_mib", "memory of the server", "MiB", 1, ByMedian, |run| Some(at(run, RESIDENT)? / f64::from(1 << 20))),
    figure("joined_in_s", "all clients joined after", "s", 1, ByMedian, |run| at(run, "/connections/joined_in_s")),
    figure("ack_connecting_mean_ms", "ack round trip while others connect, mean", "ms", 2, ByMedian, |run| at(run, "/ack_while_connecting_ms/mean")),
    figure("ack_connecting_p99_ms", "ack round trip while others connect, p99", "ms", 2, ByMedian, |run| at(run, "/ack_while_connecting_ms/p99")),
    figure("tick_rate_hz", "ticks", "Hz", 2, ByWorst, |run| at(run, "/server/metrics/tick_rate_hz")),
    figure("ticks_skipped", "ticks skipped", "", 0, ByWorst, |run| at(run, SKIPPED)),
    figure("ticks_unexplained", "ticks skipped and not explained by steal time", "", 0, ByWorst, ticks_unexplained),
    figure("stolen_percent", "steal time of the machine", "%", 2, ByMedian, |run| Some(at(run, STOLEN)? * 100.0)),
    figure("connections_lost", "connections failed or lost", "", 0, ByWorst, connections_lost),
    figure("acks_missing", "MOVEs without an ack", "", 0, ByWorst, acks_missing),
    figure("problems", "kinds of losses and faults, replicas included", "", 0, ByWorst, problems),
    figure("cpu_percent", "CPU of the server, of one core", "%", 1, ByMedian, |run| Some(at(run, CORES)? * 100.0)),
    figure("cpu_us_per_player_s", "CPU per player and second", "us", 1, ByMedian, cpu_us_per_player_s),
    figure("reads_per_s", "socket reads per second", "", 0, ByMedian, |run| at(run, READS)),
    figure("writes_per_s", "socket writes per second", "", 0, ByMedian, |run| at(run, WRITES)),
    figure("bytes_per_write", "bytes per write", "", 0, ByMedian, bytes_per_write),
    figure("cpu_us_per_call", "CPU per socket call", "us", 2, ByMedian, |run| at(run, CALL).filter(|_| !run.floors.is_empty())),
    figure("floor_cpu_us_per_call", "CPU per socket call of the floor", "us", 2, ByMedian, |run| floor_at(run, CALL)),
    figure("floor_ratio", "CPU per socket call, relative to the floor", "", 2, ByMedian, |run| against_floor(run, CALL)),
    figure("floor_reads_percent", "reads of the floor, relative to the server", "%", 1, ByMedian, |run| floor_percent(run, READS)),
    figure("floor_writes_percent", "writes of the floor, relative to the server", "%", 1, ByMedian, |run| floor_percent(run, WRITES)),
    figure("floor_bytes_percent", "bytes of the floor, relative to the server", "%", 1, ByMedian, |run| floor_percent(run, BYTES)),
    figure("server_wait_percent", "time the server waited for a processor", "%", 1, ByMedian, |run| Some(at(run, "/server/wait_ratio")? * 100.0)),
    figure("flush_interval_ms", "flush interval at the end", "ms", 0, ByMedian, |run| at(run, "/server/metrics/flush_interval_ms")),
    figure("max_visible", "limit of visible players at the end", "", 0, ByMedian, |run| at(run, "/server/metrics/max_visible")),
    figure("governor_level", "quality level at the end", "", 0, ByMedian, |run| at(run, "/server/metrics/governor_level")),
];

/// Bytes received per client and second.
pub const BYTES: &str = "/traffic/per_client_s/bytes_in";
/// Clients at the end of the window.
pub const CLIENTS: &str = "/traffic/clients";
/// MOVEs per second of all clients.
pub const MOVES: &str = "/traffic/moves_per_s";
/// Socket writes per second to all clients.
pub const WRITES: &str = "/server/metrics/socket_writes_per_s";
const READS: &str = "/server/metrics/socket_reads_per_s";
const CALL: &str = "/server/cpu_us_per_socket_call";
const CORES: &str = "/server/cores";
const RESIDENT: &str = "/server/resident_bytes_max";
const SAVED: &str = "/server/metrics/bandwidth_saved_ratio";
const SKIPPED: &str = "/server/metrics/ticks_skipped";
const STOLEN: &str = "/generator/stolen_ratio";

/// Size of a player's entry in a `GAME_STATE`.
const ENTRY_BYTES: f64 = 11.0;

/// Tick rate of a server with default settings.
const TICK_RATE_HZ: f64 = 60.0;

/// Returns the figure of this key.
#[cfg(test)]
pub fn by_key(key: &str) -> &'static Figure {
    FIGURES.iter().find(|figure| figure.key == key).expect("a key of the table")
}

fn at(run: &Run, path: &str) -> Option<f64> {
    number(&run.server, path)
}

/// Returns the mean of the floor's runs.
fn floor_at(run: &Run, path: &str) -> Option<f64> {
    let numbers: Option<Vec<f64>> = run.floors.iter().map(|floor| number(floor, path)).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    Some(numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// Returns the server's number as a multiple of the floor's.
fn against_floor(run: &Run, path: &str) -> Option<f64> {
    let floor = floor_at(run, path).filter(|number| *number > 0.0)?;
    Some(at(run, path)? / floor)
}

fn floor_percent(run: &Run, path: &str) -> Option<f64> {
    let server = at(run, path).filter(|number| *number > 0.0)?;
    Some(floor_at(run, path)? / server * 100.0)
}

/// Steal time explains as many skipped ticks as fit into it.
fn ticks_unexplained(run: &Run) -> Option<f64> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let stolen_s = at(run, STOLEN)? * at(run, "/traffic/seconds")? * cores;
    Some((at(run, SKIPPED)? - stolen_s * TICK_RATE_HZ).max(0.0))
}

fn connections_lost(run: &Run) -> Option<f64> {
    let connections = &run.server["connections"];
    Some((sum(&connections["failed"])? + sum(&connections["lost"])?) as f64)
}

fn acks_missing(run: &Run) -> Option<f64> {
    let unanswered = ["/moves/missing", "/moves/held_up", "/moves/lost"];
    unanswered.iter().map(|path| at(run, path)).sum()
}

fn problems(run: &Run) -> Option<f64> {
    run.server["problems"].as_array().map(|problems| problems.len() as f64)
}

/// Compares with the former server, which sent the entries of all other players to every player in each tick.
fn saved_of_all_percent(run: &Run) -> Option<f64> {
    let others = at(run, CLIENTS).map(|clients| clients - 1.0).filter(|others| *others > 0.0)?;
    Some((1.0 - at(run, BYTES)? / (others * ENTRY_BYTES * TICK_RATE_HZ)) * 100.0)
}

fn cpu_us_per_player_s(run: &Run) -> Option<f64> {
    let clients = at(run, CLIENTS).filter(|clients| *clients > 0.0)?;
    Some(at(run, CORES)? / clients * 1e6)
}

fn bytes_per_write(run: &Run) -> Option<f64> {
    let writes_per_s = at(run, WRITES).filter(|writes| *writes > 0.0)?;
    Some(at(run, BYTES)? * at(run, CLIENTS)? / writes_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> Run {
        let load = |cpu_us: f64, writes: f64| {
            json!({
                "problems": [],
                "ack_ms": { "count": 10, "mean": 1.25 },
                "to_screen_ms": { "count": 0, "p99": 0.0 },
                "connections": { "failed": {}, "lost": { "reset": 2, "closed": 1 } },
                "moves": { "missing": 0, "held_up": 0, "lost": 4 },
                "traffic": { "seconds": 10.0, "clients": 1000, "per_client_s": { "bytes_in": 2000.0 } },
                "server": {
                    "cores": 0.5,
                    "cpu_us_per_socket_call": cpu_us,
                    "metrics": { "ticks_skipped": 3.0, "socket_writes_per_s": writes }
                },
                "generator": { "kept_up": true, "statement": "fine", "stolen_ratio": 0.0 },
            })
        };
        Run { server: load(6.0, 20_000.0), floors: vec![load(4.5, 18_000.0), load(5.5, 20_000.0)] }
    }

    fn value(run: &Run, key: &str) -> Option<f64> {
        (by_key(key).of)(run)
    }

    #[test]
    fn figures_are_read_or_computed() {
        let run = run();
        let expected = [
            ("ack_mean_ms", 1.25),
            ("kb_per_client_s", 2.0),
            ("cpu_percent", 50.0),
            ("cpu_us_per_player_s", 500.0),
            ("bytes_per_write", 100.0),
            ("saved_of_all_percent", (1.0 - 2000.0 / (999.0 * 660.0)) * 100.0),
            ("floor_ratio", 1.2),
            ("floor_writes_percent", 95.0),
            ("connections_lost", 3.0),
            ("acks_missing", 4.0),
            ("ticks_unexplained", 3.0),
        ];
        for (key, expected) in expected {
            assert_eq!(value(&run, key), Some(expected), "{key}");
        }
    }

    #[test]
    fn an_unmeasured_figure_has_no_value() {
        let mut run = run();
        assert_eq!(value(&run, "to_screen_p99_ms"), None, "nothing arrived");
        assert_eq!(value(&run, "saved_percent"), None);
        run.floors.clear();
        assert_eq!(value(&run, "floor_ratio"), None);
        run.server["ack_ms"]["count"] = json!(0);
        assert_eq!(value(&run, "ack_mean_ms"), None);
    }

    #[test]
    fn steal_time_explains_skipped_ticks() {
        let mut run = run();
        run.server["generator"]["stolen_ratio"] = json!(0.5);
        assert_eq!(value(&run, "ticks_unexplained"), Some(0.0));
    }
}
