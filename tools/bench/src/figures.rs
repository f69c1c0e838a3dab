//! Figures of the load test's results, which are JSON: names, units, and values of one or several runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use game_client::statistics::Spread;
use serde::Serialize;
use serde_json::Value as Json;

/// Text in place of a figure that was not measured.
pub const NOT_MEASURED: &str = "not measured";

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
    /// Its value in the load test's results, or `None` if it was not measured.
    of: fn(&Json) -> Option<f64>,
}

const fn figure(
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    decimals: usize,
    judged: Judged,
    of: fn(&Json) -> Option<f64>,
) -> Figure {
    Figure { key, name, unit, decimals, judged, of }
}

/// All figures, in the order of the reports.
#[rustfmt::skip] // One row per figure.
pub static FIGURES: &[Figure] = &[
    figure("ack_mean_ms", "ack round trip, mean", "ms", 2, ByMedian, |load| number(load, "/ack_ms/mean")),
    figure("ack_p50_ms", "ack round trip, median", "ms", 2, ByMedian, |load| number(load, "/ack_ms/p50")),
    figure("ack_p99_ms", "ack round trip, p99", "ms", 2, ByMedian, |load| number(load, "/ack_ms/p99")),
    figure("ack_max_ms", "ack round trip, longest", "ms", 1, ByMedian, |load| number(load, "/ack_ms/max")),
    figure("to_screen_mean_ms", "delay of changes of the 50 nearest to the screen, mean", "ms", 1, ByMedian, |load| number(load, "/to_screen_ms/mean")),
    figure("to_screen_p99_ms", "delay of changes of the 50 nearest to the screen, p99", "ms", 0, ByMedian, |load| number(load, "/to_screen_ms/p99")),
    figure("bus_ms", "message on the bus of the cluster, mean", "ms", 2, ByMedian, |load| number(load, "/bus_ms")),
    figure("moves_per_s", "MOVEs per second", "", 0, ByMedian, |load| number(load, MOVES)),
    figure("kb_per_client_s", "sent per client", "kB/s", 2, ByMedian, |load| Some(number(load, BYTES)? / 1e3)),
    figure("saved_percent", "saved against snapshots of visible players, acks included", "%", 2, ByMedian, |load| percent(load, "/server/metrics/bandwidth_saved_ratio")),
    figure("saved_of_all_percent", "saved against snapshots of all players, acks included", "%", 2, ByMedian, saved_of_all_percent),
    figure("resident_mib", "memory of the server", "MiB", 1, ByMedian, |load| Some(number(load, "/server/resident_bytes_max")? / MIB)),
    figure("joined_in_s", "all clients joined after", "s", 1, ByMedian, |load| number(load, "/connections/joined_in_s")),
    figure("ack_connecting_mean_ms", "ack round trip while others connect, mean", "ms", 2, ByMedian, |load| number(load, "/ack_while_connecting_ms/mean")),
    figure("ack_connecting_p99_ms", "ack round trip while others connect, p99", "ms", 2, ByMedian, |load| number(load, "/ack_while_connecting_ms/p99")),
    figure("tick_rate_hz", "ticks", "Hz", 2, ByWorst, |load| number(load, "/server/metrics/tick_rate_hz")),
    figure("ticks_skipped", "ticks skipped", "", 0, ByWorst, |load| number(load, SKIPPED)),
    figure("ticks_unexplained", "ticks skipped and not explained by steal time", "", 0, ByWorst, ticks_unexplained),
    figure("stolen_percent", "steal time of the machine", "%", 2, ByMedian, |load| percent(load, STOLEN)),
    figure("others_percent", "CPU time of other processes, of all cores", "%", 1, ByMedian, |load| percent(load, OTHERS)),
    figure("connections_lost", "connections failed or lost", "", 0, ByWorst, connections_lost),
    figure("acks_missing", "MOVEs without an ack", "", 0, ByWorst, acks_missing),
    figure("problems", "kinds of losses and faults, replicas included", "", 0, ByWorst, |load| Some(load["problems"].as_array()?.len() as f64)),
    figure("cpu_percent", "CPU of the server, of one core", "%", 1, ByMedian, |load| percent(load, CORES)),
    figure("cpu_us_per_player_s", "CPU per player and second", "us", 1, ByMedian, |load| Some(number(load, CORES)? / clients(load)? * 1e6)),
    figure("reads_per_s", "socket reads per second", "", 0, ByMedian, |load| number(load, READS)),
    figure("writes_per_s", "socket writes per second", "", 0, ByMedian, |load| number(load, WRITES)),
    figure("bytes_per_write", "bytes per write", "", 0, ByMedian, bytes_per_write),
    figure("cpu_us_per_call", "CPU per socket call", "us", 2, ByMedian, |load| number(load, CALL)),
    figure("floor_cpu_us_per_call", "CPU per socket call of the floor", "us", 2, ByMedian, |load| floor(load, CALL)),
    figure("floor_ratio", "CPU per socket call, relative to the floor", "", 2, ByMedian, |load| Some(number(load, CALL)? / floor(load, CALL)?)),
    figure("floor_reads_percent", "reads of the floor, relative to the server", "%", 1, ByMedian, |load| floor_percent(load, READS)),
    figure("floor_writes_percent", "writes of the floor, relative to the server", "%", 1, ByMedian, |load| floor_percent(load, WRITES)),
    figure("floor_bytes_percent", "bytes of the floor, relative to the server", "%", 1, ByMedian, |load| floor_percent(load, BYTES)),
    figure("server_wait_percent", "time the server waited for a processor", "%", 1, ByMedian, |load| percent(load, "/server/wait_ratio")),
    figure("rate_limited", "messages over the rate", "", 0, ByMedian, |load| number(load, "/server/metrics/rate_limited")),
    figure("write_stalls", "partial writes", "", 0, ByMedian, |load| number(load, "/server/metrics/write_stalls")),
    figure("flush_interval_ms", "flush interval at the end", "ms", 0, ByMedian, |load| number(load, "/server/metrics/flush_interval_ms")),
    figure("max_visible", "limit of visible players at the end", "", 0, ByMedian, |load| number(load, "/server/metrics/max_visible")),
    figure("governor_level", "quality level at the end", "", 0, ByMedian, |load| number(load, "/server/metrics/governor_level")),
    figure("reconnected", "players reconnected", "", 0, ByMedian, |load| number(load, "/churn/returned")),
    figure("ids_repeated", "ids used twice, or not increasing", "", 0, ByWorst, |load| Some(number(load, "/churn/ids_repeated")? + number(load, "/churn/ids_not_above")?)),
    figure("replicas", "replicas compared with the server at the end", "", 0, ByMedian, |load| number(load, "/pictures/compared")),
];

/// Bytes in a MiB.
pub const MIB: f64 = 1_048_576.0;

/// Bytes received per client and second.
pub const BYTES: &str = "/traffic/per_client_s/bytes_in";
/// MOVEs per second of all clients.
pub const MOVES: &str = "/traffic/moves_per_s";
/// Socket writes per second to all clients.
pub const WRITES: &str = "/server/metrics/socket_writes_per_s";
const READS: &str = "/server/metrics/socket_reads_per_s";
const CALL: &str = "/server/cpu_us_per_socket_call";
const CORES: &str = "/server/cores";
const SKIPPED: &str = "/server/metrics/ticks_skipped";
const STOLEN: &str = "/generator/stolen_ratio";
const OTHERS: &str = "/generator/others_ratio";

/// Steal time from which the machine limits a run, as a fraction of all cores' time: the slowest percent of the acks may be due
/// to it.
const STOLEN_MAX: f64 = 0.01;

/// CPU time of other processes from which they limit a run, as a fraction of all cores' time.
const OTHERS_MAX: f64 = 0.1;

/// Size of a player's entry in a `GAME_STATE`.
const ENTRY_BYTES: f64 = 11.0;

/// Tick rate of a server with default settings.
pub const TICK_RATE_HZ: f64 = 60.0;

/// Returns a number by its path; `None` if it was not measured. A histogram without values has zeros, which would meet
/// every limit.
pub fn number(load: &Json, path: &str) -> Option<f64> {
    if let Some((histogram, _)) = path.rsplit_once('/').filter(|(histogram, _)| histogram.ends_with("_ms")) {
        load.pointer(histogram)?["count"].as_u64().filter(|count| *count > 0)?;
    }
    load.pointer(path)?.as_f64()
}

/// Returns the clients at the end of the window, if there are any.
pub fn clients(load: &Json) -> Option<f64> {
    number(load, "/traffic/clients").filter(|clients| *clients > 0.0)
}

/// Returns the sum of an object's counts.
pub fn sum(counts: &Json) -> Option<u64> {
    counts.as_object()?.values().map(Json::as_u64).sum()
}

fn percent(load: &Json, path: &str) -> Option<f64> {
    Some(number(load, path)? * 100.0)
}

/// Returns the mean over the floor's runs, whose results are in the array `floors`.
fn floor(load: &Json, path: &str) -> Option<f64> {
    let floors = load["floors"].as_array().filter(|floors| !floors.is_empty())?;
    let sum: Option<f64> = floors.iter().map(|floor| number(floor, path)).sum();
    Some(sum? / floors.len() as f64)
}

fn floor_percent(load: &Json, path: &str) -> Option<f64> {
    let server = number(load, path).filter(|number| *number > 0.0)?;
    Some(floor(load, path)? / server * 100.0)
}

/// Steal time explains as many skipped ticks as fit into it.
fn ticks_unexplained(load: &Json) -> Option<f64> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let stolen_s = number(load, STOLEN)? * number(load, "/traffic/seconds")? * cores;
    Some((number(load, SKIPPED)? - stolen_s * TICK_RATE_HZ).max(0.0))
}

fn connections_lost(load: &Json) -> Option<f64> {
    let connections = &load["connections"];
    Some((sum(&connections["failed"])? + sum(&connections["lost"])?) as f64)
}

fn acks_missing(load: &Json) -> Option<f64> {
    let unanswered = ["/moves/missing", "/moves/held_up", "/moves/lost"];
    unanswered.iter().map(|path| number(load, path)).sum()
}

/// Compares with the former server, which sent the entries of all other players to every player in each tick.
fn saved_of_all_percent(load: &Json) -> Option<f64> {
    let others = clients(load).map(|clients| clients - 1.0).filter(|others| *others > 0.0)?;
    Some((1.0 - number(load, BYTES)? / (others * ENTRY_BYTES * TICK_RATE_HZ)) * 100.0)
}

fn bytes_per_write(load: &Json) -> Option<f64> {
    let writes_per_s = number(load, WRITES).filter(|writes| *writes > 0.0)?;
    Some(number(load, BYTES)? * clients(load)? / writes_per_s)
}

/// The results of one load test.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    /// The measured figures by their keys.
    pub figures: BTreeMap<&'static str, f64>,
    /// Losses and faults; a missing verdict is one.
    pub problems: Vec<String>,
    /// Statements about a load generator or a machine that limited the measurement.
    pub remarks: Vec<String>,
    /// What limited the run besides the server.
    pub bottlenecks: Vec<String>,
    /// What limited the runs of the floor.
    pub floor_bottlenecks: Vec<String>,
}

impl Run {
    /// Reads the load test's results.
    pub fn of(load: &Json) -> Run {
        let figures = FIGURES.iter().filter_map(|figure| Some((figure.key, (figure.of)(load)?))).collect();
        let problems = match load["problems"].as_array() {
            Some(problems) => problems.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            None => vec!["the load test gave no verdict".to_owned()],
        };
        let mut remarks: Vec<String> = generator_statement(load).into_iter().collect();
        let mut floor_bottlenecks = Vec::new();
        for floor in load["floors"].as_array().into_iter().flatten() {
            let Run { problems, remarks: more, bottlenecks, .. } = Run::of(floor);
            remarks.extend(problems.into_iter().chain(more).map(|remark| format!("floor: {remark}")));
            floor_bottlenecks
                .extend(bottlenecks.into_iter().map(|bottleneck| format!("floor: {bottleneck}")));
        }
        Run { figures, problems, remarks, bottlenecks: bottlenecks(load), floor_bottlenecks }
    }
}

/// Returns the load test's statement about itself, unless it kept up.
fn generator_statement(load: &Json) -> Option<String> {
    let generator = &load["generator"];
    (generator["kept_up"] != true).then(|| generator["statement"].as_str().unwrap_or_default().to_owned())
}

/// Returns what limited a run besides the server: the load generator, the host of the machine, other processes.
fn bottlenecks(load: &Json) -> Vec<String> {
    let above =
        |path: &str, max: f64| number(load, path).filter(|ratio| *ratio > max).map(|ratio| ratio * 100.0);
    let stolen =
        above(STOLEN, STOLEN_MAX).map(|percent| format!("{percent:.1} % of the CPU time was steal time"));
    let others = above(OTHERS, OTHERS_MAX)
        .map(|percent| format!("other processes used {percent:.0} % of the CPU time"));
    generator_statement(load).into_iter().chain(stolen).chain(others).collect()
}

/// Returns the values of a figure in the runs that have one.
pub fn values(runs: &[Run], key: &str) -> Vec<f64> {
    runs.iter().filter_map(|run| run.figures.get(key).copied()).collect()
}

/// Returns the median of a figure.
pub fn median(runs: &[Run], key: &str) -> Option<f64> {
    Spread::of(&values(runs, key)).map(|spread| spread.median)
}

/// Formats the losses of runs, or `nothing`.
pub fn losses(runs: &[Run]) -> String {
    let all: Vec<&str> = runs.iter().flat_map(|run| &run.problems).map(String::as_str).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
}

/// Formats figures as rows of a Markdown table, with a column for each list of runs.
pub fn rows(keys: &[&str], columns: &[&[Run]]) -> String {
    let mut text = String::new();
    for figure in FIGURES.iter().filter(|figure| keys.contains(&figure.key)) {
        let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
        let _ = write!(text, "| {}{unit} |", figure.name);
        for runs in columns {
            let _ = write!(text, " {} |", spread_text(&values(runs, figure.key), figure.decimals));
        }
        text.push('\n');
    }
    text
}

/// Formats the median, with the range if the values differ.
pub fn spread_text(values: &[f64], decimals: usize) -> String {
    let number = |value: f64| format!("{value:.decimals$}");
    let Some(Spread { median, min, max }) = Spread::of(values) else { return NOT_MEASURED.to_owned() };
    let (median, min, max) = (number(median), number(min), number(max));
    if min == max { median } else { format!("{median} ({min}..{max})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(cpu_us: f64, writes: f64) -> Json {
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
    }

    #[test]
    fn figures_are_read_or_computed_and_unmeasured_ones_have_no_value() {
        let mut results = load(6.0, 20_000.0);
        results["floors"] = json!([load(4.5, 18_000.0), load(5.5, 20_000.0)]);
        let run = Run::of(&results);
        for (key, expected) in [
            ("ack_mean_ms", Some(1.25)),
            ("kb_per_client_s", Some(2.0)),
            ("cpu_percent", Some(50.0)),
            ("cpu_us_per_player_s", Some(500.0)),
            ("bytes_per_write", Some(100.0)),
            ("saved_of_all_percent", Some((1.0 - 2000.0 / (999.0 * 660.0)) * 100.0)),
            ("floor_ratio", Some(1.2)),
            ("floor_writes_percent", Some(95.0)),
            ("connections_lost", Some(3.0)),
            ("acks_missing", Some(4.0)),
            ("ticks_unexplained", Some(3.0)),
            ("to_screen_p99_ms", None),
            ("saved_percent", None),
        ] {
            assert_eq!(run.figures.get(key).copied(), expected, "{key}");
        }
        results["floors"] = json!([]);
        results["ack_ms"]["count"] = json!(0);
        results["generator"]["stolen_ratio"] = json!(0.5);
        let run = Run::of(&results);
        assert_eq!((run.figures.get("floor_ratio"), run.figures.get("ack_mean_ms")), (None, None));
        let unexplained = run.figures.get("ticks_unexplained").copied();
        assert_eq!(unexplained, Some(0.0), "steal time explains skipped ticks");
    }

    #[test]
    fn losses_and_remarks_are_kept_and_a_missing_verdict_is_a_loss() {
        let lost = Run::of(&json!({ "problems": ["1 ack is missing"], "generator": { "kept_up": true } }));
        assert_eq!(
            (losses(std::slice::from_ref(&lost)).as_str(), lost.remarks.len()),
            ("1 ack is missing", 0)
        );
        let slow = json!({ "problems": [], "generator": { "kept_up": false, "statement": "too slow" } });
        let run = Run::of(&json!({ "floors": [slow], "generator": { "kept_up": true } }));
        assert_eq!((run.problems.len(), &run.remarks), (1, &vec!["floor: too slow".to_owned()]));
        assert_eq!((run.bottlenecks.len(), run.floor_bottlenecks), (0, run.remarks));
    }

    #[test]
    fn generator_steal_time_and_other_processes_are_bottlenecks_from_their_bounds() {
        let of = |kept_up: bool, stolen: f64, others: Json| {
            let generator = json!({
                "kept_up": kept_up, "statement": "late", "stolen_ratio": stolen, "others_ratio": others
            });
            Run::of(&json!({ "generator": generator })).bottlenecks
        };
        assert_eq!(of(true, STOLEN_MAX, json!(OTHERS_MAX)), [] as [&str; 0]);
        assert_eq!(of(true, 0.0, json!(null)), [] as [&str; 0]);
        let all = of(false, 0.025, json!(0.31));
        let [stolen, others] =
            ["2.5 % of the CPU time was steal time", "other processes used 31 % of the CPU time"];
        assert_eq!(all, ["late", stolen, others]);
    }

    #[test]
    fn several_values_have_a_range_and_none_are_not_measured() {
        for (values, text) in
            [(&[2.0, 1.0, 9.0][..], "2.0 (1.0..9.0)"), (&[1.0, 1.04], "1.0"), (&[], NOT_MEASURED)]
        {
            assert_eq!(spread_text(values, 1), text);
        }
        let run = Run::of(&load(6.0, 1.0));
        assert_eq!(
            rows(&["ack_mean_ms"], &[&[run], &[]]),
            "| ack round trip, mean, ms | 1.25 | not measured |\n"
        );
    }
}
