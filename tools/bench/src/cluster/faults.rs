//! Effects of a server or Redis that dies, hangs or is replaced under load: losses, and the time for which the worlds
//! differ.
//!
//! The cluster is consistent when every server shows all players of all others; screens follow within 50 ms.
//! Consistency is polled every few milliseconds.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use nix::sys::signal::Signal;
use serde_json::Value as Json;

use super::local::{LocalCluster, NAMES, kill_now, send};
use crate::figures::sum;
use crate::stage::Stage;

const CLIENTS: u64 = 600;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 60s";

/// Duration of a hang.
const HANG: Duration = Duration::from_secs(10);

/// Timeout until the cluster is consistent again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Timeout for the end of the load test.
const LOAD_PATIENCE: Duration = Duration::from_mins(2);

/// Allowed time until the cluster is consistent, after a fault and after its end, in seconds.
const WHOLE_S_MAX: f64 = 3.0;

/// Undisturbed play before a fault.
const CALM: Duration = Duration::from_secs(3);

/// Seconds from the fault until the remaining servers are consistent, and from the end of the fault until all are.
type Times = (Option<f64>, Option<f64>);

/// Injects a fault.
type Fault = fn(&Stage, &mut LocalCluster<'_>) -> Result<Times, Failure>;

const FAULTS: [(&str, Fault, &str); 5] = [
    ("a server is killed", kill_server, "its players"),
    ("Redis is killed, and restarted after 5 s", kill_redis, "none"),
    ("Redis hangs for 10 s", hang_redis, "none"),
    ("a server hangs for 10 s", hang_server, "none"),
    // The load test's players do not reconnect; tests/cluster has players that do.
    ("all three servers are replaced, one by one", replace_all, "all, once"),
];

/// Measures all faults. Returns a Markdown section.
pub fn measure(stage: &Stage, problems: &mut Vec<String>) -> Result<String, Failure> {
    let mut text = format!(
        "`loadtest {LOAD}` over three servers behind HAProxy, with a fault during the load. *Noticed*: until the remaining servers \
         show no lost player. *Healed*: from the end of the fault until every server shows all players.\n\n\
         | fault | noticed, s | healed, s | connections lost | expected | MOVEs without ack | replicas at the end |\n\
         |---|---:|---:|---:|---|---:|---|\n"
    );
    for (name, fault, expected) in FAULTS {
        let ((noticed_s, healed_s), result) = run(stage, name, fault)?;
        let seconds = |s: Option<f64>| s.map_or("-".to_owned(), |s| format!("{s:.2}"));
        let count = |counts: &Json| sum(counts).unwrap_or(0);
        let lost = count(&result["connections"]["lost"]);
        let missing = result["moves"]["missing"].as_u64().unwrap_or(u64::MAX);
        let wrong = count(&result["pictures"]["faults"]);
        let compared = result["pictures"]["compared"].as_u64().unwrap_or(0);
        let pictures = match compared {
            0 => "no connections left".to_owned(),
            _ => format!("{wrong} faults in {compared}"),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {lost} | {expected} | {missing} | {pictures} |",
            seconds(noticed_s),
            seconds(healed_s)
        );
        for (what, s) in [("noticed", noticed_s), ("healed", healed_s)] {
            if s.is_some_and(|s| s > WHOLE_S_MAX) {
                problems.push(format!("{name}: {what} after {} s", seconds(s)));
            }
        }
        if expected == "none" && lost > 0 {
            problems.push(format!("{name}: {lost} connections lost"));
        }
        if missing + wrong > 0 {
            problems.push(format!("{name}: {missing} MOVEs without ack, {wrong} faults in replicas"));
        }
    }
    Ok(text)
}

fn run(stage: &Stage, name: &str, fault: Fault) -> Result<(Times, Json), Failure> {
    progress(format_args!("{name}"));
    let mut cluster = LocalCluster::start(stage, NAMES.len(), None)?;
    let mut load = stage.start_load(cluster.address(), LOAD)?;
    wait_until(stage, || is_whole(&cluster) && cluster.players() == CLIENTS)?
        .ok_or_else(|| Failure::Failed(format!("{name}: not all players have joined")))?;
    stage.interrupt.sleep(CALM)?;
    let times = fault(stage, &mut cluster)?;
    load.wait(&stage.interrupt, LOAD_PATIENCE)?;
    Ok((times, load.results()?))
}

/// Whether every server that responds and has local players shows exactly the players of the other responding servers.
fn is_whole(cluster: &LocalCluster<'_>) -> bool {
    let known: Vec<(u64, u64, u64)> = cluster
        .nodes
        .iter()
        .filter(|node| node.process.is_some())
        .filter_map(|node| {
            let metrics = node.metrics()?;
            let of = |name: &str| metrics["cluster"][name].as_u64();
            Some((metrics["players"].as_u64()?, of("ghosts")?, of("peers")?))
        })
        .collect();
    let all: u64 = known.iter().map(|(players, ..)| players).sum();
    known.iter().all(|&(players, ghosts, peers)| {
        let shown = if players == 0 { 0 } else { all - players };
        ghosts == shown && peers + 1 == known.len() as u64
    })
}

/// Waits for a condition. Returns the seconds it took; `None` at the timeout.
fn wait_until(stage: &Stage, mut condition: impl FnMut() -> bool) -> Result<Option<f64>, Failure> {
    let began = Instant::now();
    let found = stage.interrupt.wait_for(PATIENCE, || Ok(condition().then_some(())))?;
    Ok(found.map(|()| began.elapsed().as_secs_f64()))
}

fn kill_server(stage: &Stage, cluster: &mut LocalCluster<'_>) -> Result<Times, Failure> {
    kill_now(&mut cluster.nodes[0].process)?;
    Ok((wait_until(stage, || is_whole(cluster))?, None))
}

fn kill_redis(stage: &Stage, cluster: &mut LocalCluster<'_>) -> Result<Times, Failure> {
    kill_now(&mut cluster.redis)?;
    let noticed_s = wait_until(stage, || shows_no_ghosts(cluster))?;
    stage.interrupt.sleep(Duration::from_secs(5))?;
    cluster.start_redis()?;
    Ok((noticed_s, wait_until(stage, || is_whole(cluster))?))
}

fn hang_redis(stage: &Stage, cluster: &mut LocalCluster<'_>) -> Result<Times, Failure> {
    let began = Instant::now();
    send(cluster.redis.as_ref(), Signal::SIGSTOP)?;
    // The last heartbeats are at most half a second old; the peers time out after that, and their ghosts are
    // removed.
    let noticed_s = wait_until(stage, || shows_no_ghosts(cluster))?;
    stage.interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    send(cluster.redis.as_ref(), Signal::SIGCONT)?;
    Ok((noticed_s, wait_until(stage, || is_whole(cluster))?))
}

fn hang_server(stage: &Stage, cluster: &mut LocalCluster<'_>) -> Result<Times, Failure> {
    let began = Instant::now();
    send(cluster.nodes[0].process.as_ref(), Signal::SIGSTOP)?;
    let noticed_s =
        wait_until(stage, || cluster.nodes[1..].iter().all(|node| node.cluster("peers") == Some(1)))?;
    stage.interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    send(cluster.nodes[0].process.as_ref(), Signal::SIGCONT)?;
    Ok((noticed_s, wait_until(stage, || is_whole(cluster))?))
}

fn replace_all(stage: &Stage, cluster: &mut LocalCluster<'_>) -> Result<Times, Failure> {
    let mut slowest_s: f64 = 0.0;
    for at in 0..cluster.nodes.len() {
        if let Some(mut process) = cluster.nodes[at].process.take() {
            process.end()?;
        }
        cluster.start_node(at)?;
        cluster.await_node(at)?;
        let healed_s = wait_until(stage, || is_whole(cluster))?;
        let Some(healed_s) = healed_s else { return Ok((None, None)) };
        slowest_s = slowest_s.max(healed_s);
    }
    Ok((None, Some(slowest_s)))
}

/// Whether no server shows a ghost.
fn shows_no_ghosts(cluster: &LocalCluster<'_>) -> bool {
    cluster.nodes.iter().all(|node| node.cluster("ghosts") == Some(0))
}
