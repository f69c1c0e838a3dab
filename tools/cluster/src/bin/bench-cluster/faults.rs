//! Effects of a server or Redis that dies, hangs or is replaced under load: losses, and the time for which the worlds
//! differ.
//!
//! The cluster is consistent when every server shows all players of all others; screens follow within 50 ms.
//! Consistency is polled every few milliseconds.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{LocalCluster, NAMES};
use game_client::console::progress;
use game_client::{Failure, Interrupt};
use nix::sys::signal::Signal;
use serde_json::Value as Json;
use stage::Process;
use stage::process::log_file;

const CLIENTS: u64 = 600;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 60s";

/// Duration of a hang.
const HANG: Duration = Duration::from_secs(10);

/// Timeout until the cluster is consistent again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Allowed time until the cluster is consistent, after a fault and after its end, in seconds.
const WHOLE_S_MAX: f64 = 3.0;

/// Undisturbed play before a fault.
const CALM: Duration = Duration::from_secs(3);

/// Result of one fault.
struct Outcome {
    /// From the fault until the remaining servers are consistent, in seconds.
    noticed_s: Option<f64>,
    /// From the end of the fault until all servers are consistent, in seconds.
    healed_s: Option<f64>,
    result: Json,
}

/// Injects a fault; returns the times until the fault is noticed and healed.
type Fault = fn(&mut LocalCluster, &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure>;

const FAULTS: [(&str, Fault, &str); 5] = [
    ("a server is killed", kill_server, "its players"),
    ("Redis is killed, and restarted after 5 s", kill_redis, "none"),
    ("Redis hangs for 10 s", hang_redis, "none"),
    ("a server hangs for 10 s", hang_server, "none"),
    // The load test's players do not reconnect; tests/cluster has players that do.
    ("all three servers are replaced, one by one", replace_all, "all, once"),
];

/// Measures all faults. Returns a Markdown section.
pub fn measure(interrupt: &Interrupt, problems: &mut Vec<String>) -> Result<String, Failure> {
    let mut text = format!(
        "`loadtest {LOAD}` over three servers behind HAProxy, with a fault during the load. *Noticed*: until the remaining servers \
         show no lost player. *Healed*: from the end of the fault until every server shows all players.\n\n\
         | fault | noticed, s | healed, s | connections lost | expected | MOVEs without ack | replicas at the end |\n\
         |---|---:|---:|---:|---|---:|---|\n"
    );
    for (name, fault, expected) in FAULTS {
        let Outcome { noticed_s, healed_s, result } = run(name, fault, interrupt)?;
        let seconds = |s: Option<f64>| s.map_or("-".to_owned(), |s| format!("{s:.2}"));
        let lost: u64 = numbers(&result["connections"]["lost"]);
        let missing = result["moves"]["missing"].as_u64().unwrap_or(u64::MAX);
        let wrong = numbers(&result["pictures"]["faults"]);
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

fn numbers(object: &Json) -> u64 {
    object.as_object().map_or(0, |counts| counts.values().filter_map(Json::as_u64).sum())
}

fn run(name: &str, fault: Fault, interrupt: &Interrupt) -> Result<Outcome, Failure> {
    progress(format_args!("{name}"));
    let mut cluster = LocalCluster::start(NAMES.len(), None, interrupt)?;
    let output = cluster.logs().join("load.json");
    let mut load = start_load(&cluster, &output)?;
    let all_joined = |cluster: &LocalCluster| {
        let players =
            cluster.nodes.iter().filter_map(|node| node.metrics()?["players"].as_u64()).sum::<u64>();
        is_whole(cluster) && players == CLIENTS
    };
    wait_until(interrupt, || all_joined(&cluster))?
        .ok_or_else(|| Failure::Failed(format!("{name}: not all players have joined")))?;
    interrupt.sleep(CALM)?;
    let (noticed_s, healed_s) = fault(&mut cluster, interrupt)?;
    while load.status()?.is_none() {
        interrupt.sleep(Duration::from_millis(100))?;
    }
    let text = std::fs::read_to_string(&output)?;
    let result = serde_json::from_str(&text)
        .map_err(|error| Failure::Failed(format!("loadtest: no results: {error}")))?;
    Ok(Outcome { noticed_s, healed_s, result })
}

fn start_load(cluster: &LocalCluster, output: &std::path::Path) -> Result<Process, Failure> {
    let mut command: Command = cluster.program("loadtest");
    command.args(["--json", "--server", &format!("ws://{}/ws", cluster.address())]).args(LOAD.split(' '));
    command.stdin(Stdio::null()).stdout(log_file(output)?).stderr(Stdio::null());
    Process::start("loadtest", &mut command)
}

/// Whether every server that responds and has local players shows exactly the players of the other responding servers.
fn is_whole(cluster: &LocalCluster) -> bool {
    let known: Vec<(u64, u64, u64)> = cluster
        .nodes
        .iter()
        .filter(|node| node.is_started())
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
fn wait_until(interrupt: &Interrupt, mut condition: impl FnMut() -> bool) -> Result<Option<f64>, Failure> {
    let began = Instant::now();
    Ok(interrupt
        .wait_for(PATIENCE, || Ok(condition().then_some(())))?
        .map(|()| began.elapsed().as_secs_f64()))
}

fn kill_server(
    cluster: &mut LocalCluster,
    interrupt: &Interrupt,
) -> Result<(Option<f64>, Option<f64>), Failure> {
    cluster.nodes[0].kill()?;
    Ok((wait_until(interrupt, || is_whole(cluster))?, None))
}

fn kill_redis(
    cluster: &mut LocalCluster,
    interrupt: &Interrupt,
) -> Result<(Option<f64>, Option<f64>), Failure> {
    cluster.kill_redis()?;
    let noticed_s = wait_until(interrupt, || shows_no_ghosts(cluster))?;
    interrupt.sleep(Duration::from_secs(5))?;
    cluster.start_redis(interrupt)?;
    Ok((noticed_s, wait_until(interrupt, || is_whole(cluster))?))
}

fn hang_redis(
    cluster: &mut LocalCluster,
    interrupt: &Interrupt,
) -> Result<(Option<f64>, Option<f64>), Failure> {
    let began = Instant::now();
    cluster.signal_redis(Signal::SIGSTOP)?;
    // The last heartbeats are at most half a second old; the peers time out after that, and their ghosts are
    // removed.
    let noticed_s = wait_until(interrupt, || shows_no_ghosts(cluster))?;
    interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    cluster.signal_redis(Signal::SIGCONT)?;
    Ok((noticed_s, wait_until(interrupt, || is_whole(cluster))?))
}

fn hang_server(
    cluster: &mut LocalCluster,
    interrupt: &Interrupt,
) -> Result<(Option<f64>, Option<f64>), Failure> {
    let began = Instant::now();
    cluster.nodes[0].signal(Signal::SIGSTOP)?;
    let others = |cluster: &LocalCluster| {
        let ghosts =
            |at: usize| cluster.nodes[at].metrics().and_then(|metrics| metrics["cluster"]["peers"].as_u64());
        ghosts(1) == Some(1) && ghosts(2) == Some(1)
    };
    let noticed_s = wait_until(interrupt, || others(cluster))?;
    interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    cluster.nodes[0].signal(Signal::SIGCONT)?;
    Ok((noticed_s, wait_until(interrupt, || is_whole(cluster))?))
}

fn replace_all(
    cluster: &mut LocalCluster,
    interrupt: &Interrupt,
) -> Result<(Option<f64>, Option<f64>), Failure> {
    let mut slowest_s: f64 = 0.0;
    for at in 0..cluster.nodes.len() {
        cluster.nodes[at].end()?;
        cluster.start_node(at)?;
        cluster.await_node(at, interrupt)?;
        let healed_s = wait_until(interrupt, || is_whole(cluster))?;
        let Some(healed_s) = healed_s else { return Ok((None, None)) };
        slowest_s = slowest_s.max(healed_s);
    }
    Ok((None, Some(slowest_s)))
}

/// Whether no server shows a ghost.
fn shows_no_ghosts(cluster: &LocalCluster) -> bool {
    let ghosts =
        |node: &cluster::Node| node.metrics().and_then(|metrics| metrics["cluster"]["ghosts"].as_u64());
    cluster.nodes.iter().all(|node| ghosts(node) == Some(0))
}
