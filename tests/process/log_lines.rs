//! The log lines as operators and log collectors read them.

use std::collections::BTreeSet;

use game_client::Vector;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, wait_for_acks};

/// Part of the line about the load.
const LOAD: &str = " players (+";

/// The log of a server with two players, one of which leaves before the line about the load.
fn log_of_a_visit(settings: &Settings) -> String {
    let mut server = settings.start();
    let mut players = [Client::join(&server), Client::join(&server)];
    players[0].step(Vector::RIGHT);
    wait_for_acks(&mut players);
    let [stays, leaves] = players;
    leaves.reset();
    server.wait_for_log(LOAD);
    drop(stays);
    server.signal(Signal::SIGTERM);
    server.wait_for_exit();
    server.wait_for_log("stopped");
    server.log()
}

#[test]
fn joins_and_leaves_are_summarized_and_not_listed() {
    let log = log_of_a_visit(&Settings::new());
    let line = log.lines().find(|line| line.contains(LOAD)).expect("waited for");
    assert!(line.contains("[INFO] 1 players (+2 -1, 0 refused), "), "{line}");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.iter().all(|line| line.find("Z [") == Some(23)), "the columns are not aligned: {log}");
    assert!(lines.len() <= 5, "there is a line per player: {log}");
}

#[test]
fn json_lines_have_the_figures_as_fields() {
    let log = log_of_a_visit(&Settings::new().set("LOG_FORMAT", "JSON"));
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    for line in &lines {
        assert_eq!(line["level"], "info", "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 24), "{line}");
        assert!(line["message"].is_string(), "{line}");
    }
    let load = lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains(LOAD)));
    let load = load.and_then(Value::as_object).expect("the line about the load");
    let counts = ["players", "joined", "left", "refused", "ticks_skipped"].map(|name| load[name].as_u64());
    assert_eq!(counts[..4], [Some(1), Some(2), Some(1), Some(0)], "{load:?}");
    assert!(load["tick_rate_hz"].as_f64().is_some_and(|rate| rate > 0.0), "{load:?}");
    let names: BTreeSet<&str> = load.keys().map(String::as_str).collect();
    let expected = [
        "time", "level", "message", "players", "joined", "left", "refused", "tick_rate_hz", "tick_p50_us",
        "tick_p99_us", "ticks_skipped", "messages_per_s", "kb_in_per_s", "kb_out_per_s", "busy_percent",
        "governor_level",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn a_server_without_players_logs_no_load() {
    let server = Server::start();
    let ticks = || server.count("ticks_total");
    let first = ticks();
    // More ticks than fit between two lines about the load.
    wait_until("eleven seconds of ticks", || ticks() >= first + 660);
    assert!(!server.log().contains(LOAD), "{}", server.log());
}
