//! What is lost, and for how long the worlds differ, when a server or Redis dies, hangs, or is replaced under load.
//!
//! The worlds are whole when every server shows all players of all the others; screens follow within 50 ms. They are looked at
//! every few milliseconds.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{NAMES, Stand};
use nix::sys::signal::Signal;
use serde_json::Value as Json;
use stage::console::progress;
use stage::process::log_file;
use stage::{Failure, Interrupt, Process};

const CLIENTS: u64 = 600;
const LOAD: &str = "--clients 600 --moves-per-second 5 --duration 60s";

/// How long something hangs.
const HANG: Duration = Duration::from_secs(10);

/// How long the worlds may take to be whole again.
const PATIENCE: Duration = Duration::from_secs(30);

/// They are to be whole within this after a death, and after a return, in seconds.
const WHOLE_S_MAX: f64 = 3.0;

/// Players play on so long before something happens, and after the worlds are whole again.
const CALM: Duration = Duration::from_secs(3);

/// What came of it.
struct Outcome {
    /// From the fault to whole worlds of those who are left, in seconds.
    noticed_s: Option<f64>,
    /// From the end of the fault to whole worlds of all, in seconds.
    healed_s: Option<f64>,
    result: Json,
}

/// Something that happens to a part of the whole; the time from its beginning and from its end to whole worlds.
type Fault = fn(&mut Stand, &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure>;

const FAULTS: [(&str, Fault, &str); 5] = [
    ("a server is killed", kill_server, "its players"),
    ("Redis is killed, and back after 5 s", kill_redis, "nobody"),
    ("Redis hangs for 10 s", hang_redis, "nobody"),
    ("a server hangs for 10 s", hang_server, "nobody"),
    // The load test's players do not come back; those in tests/cluster do.
    ("all three servers are replaced, one by one", replace_all, "everybody, once"),
];

/// The part as Markdown.
pub fn measure(interrupt: &Interrupt, problems: &mut Vec<String>) -> Result<String, Failure> {
    let mut text = format!(
        "`loadtest {LOAD}` over three servers behind HAProxy, and in the midst of it a fault. *Noticed*: until the servers that are \
         left show nobody who is gone. *Healed*: from the end of the fault until every server shows everybody.\n\n\
         | fault | noticed, s | healed, s | connections lost | expected | MOVEs without ack | pictures at the end |\n\
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
            0 => "nobody is left to ask".to_owned(),
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
        if expected == "nobody" && lost > 0 {
            problems.push(format!("{name}: {lost} connections lost"));
        }
        if missing + wrong > 0 {
            problems.push(format!("{name}: {missing} MOVEs without ack, {wrong} wrong in pictures"));
        }
    }
    Ok(text)
}

fn numbers(object: &Json) -> u64 {
    object.as_object().map_or(0, |counts| counts.values().filter_map(Json::as_u64).sum())
}

fn run(name: &str, fault: Fault, interrupt: &Interrupt) -> Result<Outcome, Failure> {
    progress(format_args!("{name}"));
    let mut stand = Stand::start(NAMES.len(), None, interrupt)?;
    let output = stand.logs().join("load.json");
    let mut load = start_load(&stand, &output)?;
    let everybody = |stand: &Stand| {
        let players = stand.nodes.iter().filter_map(|node| node.metrics()?["players"].as_u64()).sum::<u64>();
        is_whole(stand) && players == CLIENTS
    };
    await_it(interrupt, || everybody(&stand))?
        .ok_or_else(|| Failure::Failed(format!("{name}: the players are not all there")))?;
    interrupt.sleep(CALM)?;
    let (noticed_s, healed_s) = fault(&mut stand, interrupt)?;
    while load.status()?.is_none() {
        interrupt.sleep(Duration::from_millis(100))?;
    }
    let text = std::fs::read_to_string(&output)?;
    let result = serde_json::from_str(&text)
        .map_err(|error| Failure::Failed(format!("loadtest: no results: {error}")))?;
    Ok(Outcome { noticed_s, healed_s, result })
}

fn start_load(stand: &Stand, output: &std::path::Path) -> Result<Process, Failure> {
    let mut command: Command = stand.program("loadtest");
    command.args(["--json", "--server", &format!("ws://{}/ws", stand.address())]).args(LOAD.split(' '));
    command.stdin(Stdio::null()).stdout(log_file(output)?).stderr(Stdio::null());
    Process::start("loadtest", &mut command)
}

/// Whether every server that answers, and has anybody to show them to, shows all players of the others that do, and nobody else.
fn is_whole(stand: &Stand) -> bool {
    let known: Vec<(u64, u64, u64)> = stand
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

/// Waits until it is so; the seconds that took.
fn await_it(interrupt: &Interrupt, mut is_so: impl FnMut() -> bool) -> Result<Option<f64>, Failure> {
    let began = Instant::now();
    Ok(interrupt.wait_for(PATIENCE, || Ok(is_so().then_some(())))?.map(|()| began.elapsed().as_secs_f64()))
}

fn kill_server(stand: &mut Stand, interrupt: &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure> {
    stand.nodes[0].kill()?;
    Ok((await_it(interrupt, || is_whole(stand))?, None))
}

fn kill_redis(stand: &mut Stand, interrupt: &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure> {
    stand.kill_redis()?;
    let noticed_s = await_it(interrupt, || are_apart(stand))?;
    interrupt.sleep(Duration::from_secs(5))?;
    stand.start_redis(interrupt)?;
    Ok((noticed_s, await_it(interrupt, || is_whole(stand))?))
}

fn hang_redis(stand: &mut Stand, interrupt: &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure> {
    let began = Instant::now();
    stand.signal_redis(Signal::SIGSTOP)?;
    // What the servers have heard last is half a second old at most; then they notice, and then nobody is shown.
    let noticed_s = await_it(interrupt, || are_apart(stand))?;
    interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    stand.signal_redis(Signal::SIGCONT)?;
    Ok((noticed_s, await_it(interrupt, || is_whole(stand))?))
}

fn hang_server(stand: &mut Stand, interrupt: &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure> {
    let began = Instant::now();
    stand.nodes[0].signal(Signal::SIGSTOP)?;
    let others = |stand: &Stand| {
        let ghosts =
            |at: usize| stand.nodes[at].metrics().and_then(|metrics| metrics["cluster"]["peers"].as_u64());
        ghosts(1) == Some(1) && ghosts(2) == Some(1)
    };
    let noticed_s = await_it(interrupt, || others(stand))?;
    interrupt.sleep(HANG.saturating_sub(began.elapsed()))?;
    stand.nodes[0].signal(Signal::SIGCONT)?;
    Ok((noticed_s, await_it(interrupt, || is_whole(stand))?))
}

fn replace_all(stand: &mut Stand, interrupt: &Interrupt) -> Result<(Option<f64>, Option<f64>), Failure> {
    let mut slowest_s: f64 = 0.0;
    for at in 0..stand.nodes.len() {
        stand.nodes[at].end()?;
        stand.start_node(at)?;
        stand.await_node(at, interrupt)?;
        let healed_s = await_it(interrupt, || is_whole(stand))?;
        let Some(healed_s) = healed_s else { return Ok((None, None)) };
        slowest_s = slowest_s.max(healed_s);
    }
    Ok((None, Some(slowest_s)))
}

/// Whether no server shows anybody of another one.
fn are_apart(stand: &Stand) -> bool {
    let ghosts =
        |node: &cluster::Node| node.metrics().and_then(|metrics| metrics["cluster"]["ghosts"].as_u64());
    stand.nodes.iter().all(|node| ghosts(node) == Some(0))
}
