//! The built program against a real server in this process.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use loadtest::hostile::attack::{Attack, Figure};
use loadtest::hostile::kind::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

/// Starts a server that closes floods within seconds; it runs until the process ends.
fn server() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| crate::server::serve(&[("RATE_LIMIT_MSG_SEC", "20"), ("RATE_LIMIT_BURST", "20")]))
}

fn hostile(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("hostile").args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(flags: &[&str]) -> Output {
    hostile(flags).output().expect("the program runs")
}

fn url(server: SocketAddr) -> String {
    format!("--server=ws://{server}/ws")
}

fn json(output: &Output) -> Json {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sum(counts: &Json) -> u64 {
    counts.as_object().expect("counts by key").values().filter_map(Json::as_u64).sum()
}

#[test]
fn the_server_reacts_to_each_kind_as_promised() {
    let tally = json(&run(&[&url(server()), "--peers=36", "--duration=8s", "--json"]));
    let count = |kind: &str, key: &str| {
        tally["kinds"][kind][key].as_u64().unwrap_or_else(|| panic!("{kind}: no {key} in {tally}"))
    };
    for kind in Kind::ALL.map(Kind::name) {
        assert!(count(kind, "opened") >= 4, "{kind}: {tally}");
        assert_eq!(count(kind, "garbled"), 0, "{kind}: {tally}");
    }
    for patient in ["slow-frames", "silent", "deaf", "zero-window"] {
        let [opened, upgraded, open] = ["opened", "upgraded", "open"].map(|key| count(patient, key));
        assert_eq!((opened, upgraded, open), (4, 4, 4), "{patient} stays connected for a while: {tally}");
    }
    assert_eq!(count("slow-heads", "upgraded"), 0, "{tally}");
    assert!(tally["kinds"]["flooders"]["closed"]["1008"].as_u64() > Some(0), "{tally}");
    assert!(tally["kinds"]["garbage"]["refused"]["400"].as_u64() > Some(0), "{tally}");
    assert!(sum(&tally["kinds"]["garbage"]["closed"]) > 0, "{tally}");
    assert!(count("churners", "left") > 4, "{tally}");
    let opened: u64 = Kind::ALL.map(|kind| count(kind.name(), "opened")).iter().sum();
    assert_eq!(tally["total"]["opened"].as_u64(), Some(opened), "{tally}");
    let ends =
        ["ended", "reset", "left", "garbled", "open"].map(|key| tally["total"][key].as_u64().unwrap_or(0));
    let accounted =
        sum(&tally["total"]["refused"]) + sum(&tally["total"]["closed"]) + ends.iter().sum::<u64>();
    assert_eq!(accounted, opened, "every established connection is accounted for: {tally}");
}

#[test]
fn only_the_requested_kinds_connect() {
    let output = run(&[&url(server()), "--peers=2", "--kinds=silent", "--duration=1s"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<_> =
        table.lines().skip(2).map(str::split_whitespace).map(Iterator::collect::<Vec<_>>).collect();
    assert_eq!(rows[0].join(" "), "opened upgraded failed reset ended left garbled open refused and closed");
    assert_eq!(rows[1..], [["silent", "2", "2", "0", "0", "0", "0", "0", "2"]], "{table}");
}

#[test]
fn every_attack_measures_its_figures() {
    // In parallel. Observers get no snapshot in their first 15 s.
    let children = Attack::ALL.map(|attack| {
        let (url, attack) = (url(server()), format!("--attack={}", attack.name()));
        hostile(&[&url, &attack, "--peers=3", "--duration=20s", "--json"]).spawn().expect("it starts")
    });
    for (attack, child) in Attack::ALL.into_iter().zip(children) {
        let result = json(&child.wait_with_output().expect("it ends"));
        assert_eq!(result["attack"], attack.name());
        let figures: Vec<Figure> = serde_json::from_value(result["figures"].clone()).expect("figures");
        assert!(!figures.is_empty(), "{result}");
        for figure in &figures {
            assert!(figure.value.is_some(), "{}: {}: not measured", attack.name(), figure.name);
        }
        let is_judged = figures.iter().any(|figure| !figure.limit().is_empty());
        // Pipelining has no limit; it is judged by the acks of healthy players.
        assert_eq!(is_judged, attack != Attack::Pipelining, "{result}");
    }
}

#[test]
fn a_signal_ends_a_run_with_its_counts() {
    let child =
        hostile(&[&url(server()), "--peers=4", "--duration=10m", "--json"]).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    while !std::fs::read_to_string(&status).expect("a process").lines().any(catches_sigint) {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("the process is running");
    assert_eq!(json(&child.wait_with_output().expect("it ends"))["interrupted"], true);
}

/// Whether a line of `/proc/PID/status` shows a handler for SIGINT.
fn catches_sigint(line: &str) -> bool {
    let mask = line.strip_prefix("SigCgt:").and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (Signal::SIGINT as u32 - 1) & 1 == 1)
}

#[test]
fn failed_connects_are_counted() {
    let tally = json(&run(&["--server=ws://127.0.0.1:1/ws", "--peers=3", "--duration=1s", "--json"]));
    assert!(tally["total"]["failed"].as_u64() >= Some(3), "{tally}");
    assert_eq!(tally["open_max"], 0);
}

#[test]
fn an_unresolvable_name_is_unreachable_and_not_invalid_usage() {
    let output = run(&["--server=ws://no-such-host.invalid/ws"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let problem =
        "loadtest hostile: the server is unreachable: the name no-such-host.invalid does not resolve: ";
    assert!(said.starts_with(problem), "{said}");
}

#[test]
fn invalid_usage_is_named_and_ends_with_status_2() {
    for (flag, problem) in [
        ("--kinds=polite", "--kinds polite: expected all, or a comma-separated list of slow-heads"),
        ("--attack=polite", "--attack polite: expected one of slots, "),
        ("--peers=0", "--peers 0: expected a whole number from 1 to 100000"),
        (
            "--server=ws://10.0.0.1:80/ws --source-addresses=2",
            "--source-addresses 2: only for a server on 127.0.0.0/8, ",
        ),
        ("--pears=1", "pears"),
    ] {
        let output = run(&flag.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("loadtest hostile: ") && said.contains(problem), "{said}");
    }
}
