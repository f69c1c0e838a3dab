//! Delays for players: the load test's oracle over one server and over three, side by side, and the added delay
//! of changes seen on another server.

use std::fmt::Write as _;

use game_client::Failure;
use game_client::console::progress;
use game_client::statistics::Spread;
use serde_json::{Value as Json, json};

use super::local::{LocalCluster, NAMES};
use crate::figures::{self, number};
use crate::results::spread_text;
use crate::stage::Stage;

const PAIRS: usize = 3;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 20s";

/// Publish interval of a node, in milliseconds; on average a change waits for half of it.
const ROUND_MS: f64 = 50.0;

/// Allowed mean delay that the bus adds to a change on its way to another node, in milliseconds, beyond the publish
/// interval.
const ADDED_MS_MAX: f64 = 5.0;

/// Runs the load test against `count` servers. Returns its results, with the bus's own delay in milliseconds
/// added.
fn load(stage: &Stage, count: usize) -> Result<Json, Failure> {
    progress(format_args!("600 players on {count}"));
    let cluster = LocalCluster::start(stage, count, None)?;
    let mut results = stage.load(cluster.address(), LOAD)?;
    results["bus_ms"] = json!(bus_ms(&cluster));
    Ok(results)
}

/// Mean delay from publishing to receiving over all servers, in milliseconds; `None` without messages.
fn bus_ms(cluster: &LocalCluster<'_>) -> Option<f64> {
    let delays =
        || cluster.nodes.iter().filter_map(|node| Some(node.metrics()?["cluster"]["bus_delays"].clone()));
    let sum = |key: &str| delays().filter_map(|delays| delays[key].as_f64()).sum::<f64>();
    let count = sum("count");
    (count > 0.0).then(|| sum("sum_ns") / count / 1e6)
}

fn values(results: &[Json], path: &str) -> Vec<f64> {
    results.iter().filter_map(|result| number(result, path)).collect()
}

/// Measures the delays. Returns a Markdown section.
pub fn measure(stage: &Stage, problems: &mut Vec<String>) -> Result<String, Failure> {
    let (mut alone, mut joined) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        for turn in 0..2 {
            if (pair + turn) % 2 == 0 {
                alone.push(load(stage, 1)?);
            } else {
                joined.push(load(stage, NAMES.len())?);
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
        let [one, three] = [&alone, &joined].map(|results| spread_text(&values(results, pointer), 2));
        let _ = writeln!(text, "| {name} | {one} | {three} |");
    }
    let wrong = |results: &[Json]| {
        let all: Vec<String> = results.iter().flat_map(figures::problems).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
    };
    let (wrong_alone, wrong_joined) = (wrong(&alone), wrong(&joined));
    let _ = writeln!(text, "| lost or wrong, replicas included | {wrong_alone} | {wrong_joined} |");
    if wrong_joined != "nothing" {
        problems.push(format!("three servers: {wrong_joined}"));
    }
    // A third of the viewers of a change are on the player's own server, and see it as fast as on a single server.
    let median = |results: &[Json]| {
        Spread::of(&values(results, "/to_screen_ms/mean")).map_or(f64::NAN, |spread| spread.median)
    };
    let (one, three) = (median(&alone), median(&joined));
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
