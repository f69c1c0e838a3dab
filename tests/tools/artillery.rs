//! The players of `make artillery-test` without Artillery, which takes minutes and 600 MB to install. The
//! tests run the functions of `tools/artillery/players.js` directly.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use game_client::ClientMessage;

use crate::support::debian::program;
use crate::support::from_hex;
use crate::support::process::succeed;

/// The server's ack of a MOVE. Its last four bytes are the sequence number.
const ACK: &str = "08e903000064006400ffffffff";

fn tool(name: &str) -> String {
    format!("{}/tools/artillery/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn players_send_valid_messages_and_measure_acks() {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/artillery.js");
    let output = succeed(Command::new(program("node")).arg(driver).args([&tool("players.js"), ACK]));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    let mut sequences = Vec::new();
    for line in text.lines() {
        let Some(hex) = line.strip_prefix("sent ") else {
            *kinds.entry(line).or_default() += 1;
            continue;
        };
        let bytes = from_hex(hex);
        let kind = match ClientMessage::decode(&bytes).unwrap_or_else(|error| panic!("{hex}: {error}")) {
            ClientMessage::Move { sequence, claim, .. } => {
                assert_eq!(claim, None);
                sequences.push(sequence);
                "move"
            }
            ClientMessage::Direction(_) => "direction",
            ClientMessage::Attack { .. } => "attack",
            ClientMessage::AttackEnd => "attack end",
            ClientMessage::Leave => "leave",
            other => panic!("{other:?} is not a message of the scenario"),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    for (what, count) in [
        ("counter game.moves 1", 20),
        ("counter game.acks 1", 20),
        ("histogram game.move_to_ack_ms true", 20),
        ("leave", 1),
    ] {
        assert_eq!(kinds.get(what), Some(&count), "{what}: {kinds:?}");
    }
    // Each message is sent in half of twenty rounds; none or twenty of them occurs once in a million runs.
    for what in ["direction", "attack", "attack end"] {
        assert!((1..20).contains(&kinds[what]), "{what}: {kinds:?}");
    }
}

#[test]
fn the_scenario_calls_existing_functions() {
    let scenario = fs::read_to_string(tool("players.yml")).expect("a readable file");
    let players = fs::read_to_string(tool("players.js")).expect("a readable file");
    let (_, exported) = players.split_once("module.exports = {").expect("an export list");
    let called: Vec<&str> =
        scenario.lines().filter_map(|line| line.trim().strip_prefix("- function: ")).collect();
    assert_eq!(called.len(), 6);
    for name in called {
        let name = name.trim_matches('"');
        let is_exported = exported.lines().any(|line| line.trim_start().starts_with(name));
        assert!(is_exported, "{name}");
    }
}
