//! Delays for players: the load test's oracle over one server and over three, side by side, and the added delay
//! of changes seen on another server.

use std::fmt::Write as _;

use game_client::Failure;
use game_client::console::progress;
use serde_json::json;

use super::local::{LocalCluster, NAMES};
use crate::figures::{Judged, Run, losses, median, rows};
use crate::judge::{Bound, Measured, missed};
use crate::stage::Stage;

const PAIRS: usize = 3;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 20s";

/// Figures of the report.
const FIGURES: [&str; 5] = ["ack_mean_ms", "ack_p99_ms", "to_screen_mean_ms", "to_screen_p99_ms", "bus_ms"];

/// Publish interval of a node, in milliseconds; on average a change waits for half of it.
const ROUND_MS: f64 = 50.0;

/// Mean delay that the bus may add to a change on its way to another node, in milliseconds, beyond the publish interval.
const ADDED_MS: Bound = Bound::Below(5.0);

/// Runs the load test against `count` servers.
fn load(stage: &Stage, count: usize) -> Result<Run, Failure> {
    progress(format_args!("600 players on {count}"));
    let cluster = LocalCluster::start(stage, count, None)?;
    let mut results = stage.load(cluster.address(), LOAD)?;
    results["bus_ms"] = json!(bus_ms(&cluster));
    Ok(Run::of(&results))
}

/// Mean delay from publishing to receiving over all servers, in milliseconds; `None` without messages.
fn bus_ms(cluster: &LocalCluster<'_>) -> Option<f64> {
    let delays =
        || cluster.nodes.iter().filter_map(|node| Some(node.metrics()?["cluster"]["bus_delays"].clone()));
    let sum = |key: &str| delays().filter_map(|delays| delays[key].as_f64()).sum::<f64>();
    let count = sum("count");
    (count > 0.0).then(|| sum("sum_ns") / count / 1e6)
}

/// Measures the delays. Returns a Markdown section.
pub fn measure(stage: &Stage, problems: &mut Vec<String>) -> Result<String, Failure> {
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        for turn in 0..2 {
            if (pair + turn) % 2 == 0 {
                one.push(load(stage, 1)?);
            } else {
                three.push(load(stage, NAMES.len())?);
            }
        }
    }
    let mut text = format!(
        "`loadtest {LOAD}` behind HAProxy, against one server and against three that share the players, {PAIRS} pairs. \
         Medians, with minimum and maximum.\n\n| | one server | three |\n|---|---:|---:|\n{}\
         | lost or wrong, replicas included | {} | {} |\n",
        rows(&FIGURES, &[&one, &three]),
        losses(&one),
        losses(&three)
    );
    problems.extend(three.iter().flat_map(|run| &run.problems).map(|lost| format!("three servers: {lost}")));
    // A third of the viewers of a change are on the player's own server, and see it as fast as on a single server.
    let mean = |runs: &[Run]| median(runs, "to_screen_mean_ms");
    let later = mean(&one).zip(mean(&three)).map(|(one, three)| (three - one / 3.0) * 1.5 - one);
    let added = later.map(|later| later - ROUND_MS / 2.0);
    let added =
        Measured::new("delay over the bus", "ms", 1).judge(Judged::ByMedian, &[added], Some(ADDED_MS));
    problems.extend(missed(std::slice::from_ref(&added)));
    let _ = writeln!(
        text,
        "\nA change is seen on another server {:.1} ms later on average than on the same one. A node publishes changes of \
         its players every {ROUND_MS} ms, which explains {:.0} ms of it; {} remain for the bus (negative where the \
         rounds of both nodes happen to be in phase). Limit: {}.",
        later.unwrap_or(f64::NAN),
        ROUND_MS / 2.0,
        added.value_text(),
        added.target_text(),
    );
    Ok(text)
}
