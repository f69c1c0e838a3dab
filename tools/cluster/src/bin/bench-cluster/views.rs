//! Delays for players: the load test's oracle over one server and over three, side by side, and the added delay
//! of changes seen on another server.

use std::fmt::Write as _;

use cluster::{LocalCluster, NAMES};
use game_client::console::progress;
use game_client::statistics::Spread;
use game_client::{Failure, Interrupt};
use serde_json::{Value as Json, json};
use stage::process::output_of;

const PAIRS: usize = 3;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 20s";

/// Publish interval of a node, in milliseconds; on average a change waits for half of it.
const ROUND_MS: f64 = 50.0;

/// Allowed mean delay that the bus adds to a change on its way to another node, in milliseconds, beyond the publish
/// interval.
const ADDED_MS_MAX: f64 = 5.0;

/// Runs the load test against `count` servers. Returns its results, with the bus's own delay in milliseconds
/// added.
fn load(count: usize, interrupt: &Interrupt) -> Result<Json, Failure> {
    progress(format_args!("600 players on {count}"));
    let cluster = LocalCluster::start(count, None, interrupt)?;
    let mut command = cluster.program("loadtest");
    command.args(["--json", "--server", &format!("ws://{}/ws", cluster.address())]).args(LOAD.split(' '));
    let results = output_of("loadtest", &mut command, interrupt)?;
    let mut results: Json = serde_json::from_str(&results)
        .map_err(|error| Failure::Failed(format!("loadtest: no results: {error}")))?;
    results["bus_ms"] = json!(bus_ms(&cluster));
    Ok(results)
}

/// Mean delay from publishing to receiving over all servers, in milliseconds; `None` without messages.
fn bus_ms(cluster: &LocalCluster) -> Option<f64> {
    let delays =
        || cluster.nodes.iter().filter_map(|node| Some(node.metrics()?["cluster"]["bus_delays"].clone()));
    let sum = |key: &str| delays().filter_map(|delays| delays[key].as_f64()).sum::<f64>();
    let count = sum("count");
    (count > 0.0).then(|| sum("sum_ns") / count / 1e6)
}

fn spread(results: &[Json], pointer: &str) -> Spread {
    let values: Vec<f64> =
        results.iter().filter_map(|result| result.pointer(pointer).and_then(Json::as_f64)).collect();
    Spread::of(&values).unwrap_or(Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN })
}

/// Measures the delays. Returns a Markdown section.
pub fn measure(interrupt: &Interrupt, problems: &mut Vec<String>) -> Result<String, Failure> {
    let (mut alone, mut joined) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        for turn in 0..2 {
            if (pair + turn) % 2 == 0 {
                alone.push(load(1, interrupt)?);
            } else {
                joined.push(load(NAMES.len(), interrupt)?);
            }
        }
    }
    let mut text = format!(
        "`loadtest {LOAD}` behind HAProxy, against one server and against three that share the players, {PAIRS} pairs. Medians, with \
         minimum and maximum.\n\n| | one server | three |\n|---|---:|---:|\n"
    );
    for (name, pointer) in [
        ("ack, mean, ms", "/ack_ms/mean"),
        ("ack, p99, ms", "/ack_ms/p99"),
        ("change on a screen, mean, ms", "/to_screen_ms/mean"),
        ("change on a screen, p99, ms", "/to_screen_ms/p99"),
        ("message on the bus, mean, ms", "/bus_ms"),
    ] {
        let [one, three] = [&alone, &joined].map(|results| {
            let Spread { median, min, max } = spread(results, pointer);
            if median.is_nan() { "-".to_owned() } else { format!("{median:.2} ({min:.2}..{max:.2})") }
        });
        let _ = writeln!(text, "| {name} | {one} | {three} |");
    }
    let wrong = |results: &[Json]| {
        let all = results.iter().filter_map(|result| result["problems"].as_array()).flatten();
        let all: Vec<String> = all.map(|problem| problem.as_str().unwrap_or("?").to_owned()).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
    };
    let (wrong_alone, wrong_joined) = (wrong(&alone), wrong(&joined));
    let _ = writeln!(text, "| lost or wrong, replicas included | {wrong_alone} | {wrong_joined} |");
    if wrong_joined != "nothing" {
        problems.push(format!("three servers: {wrong_joined}"));
    }
    // A third of the viewers of a change are on the player's own server, and see it as fast as on a single server.
    let (one, three) =
        (spread(&alone, "/to_screen_ms/mean").median, spread(&joined, "/to_screen_ms/mean").median);
    let across = (three - one / 3.0) * 1.5;
    let added = across - one - ROUND_MS / 2.0;
    let _ = writeln!(
        text,
        "\nA change is seen on another server {:.1} ms later on average than on the same one. A node publishes changes of its \
         players every {ROUND_MS} ms, which explains {:.0} ms of it; {added:.1} ms remain for the bus (negative \
         where the rounds of both nodes happen to be in phase). Limit: less than {ADDED_MS_MAX} ms.",
        across - one,
        ROUND_MS / 2.0,
    );
    if added >= ADDED_MS_MAX || added.is_nan() {
        problems.push(format!("{added:.1} ms over the bus"));
    }
    Ok(text)
}
