//! Checks of plain HTTP, as used by operators and their tools.

use std::net::SocketAddr;

use game_client::http::{Response, get};
use serde_json::Value as Json;

use super::{Check, expect, needed, promised};
use crate::conform::player::{PATIENCE, Player};

const PART: &str = "HTTP";

#[rustfmt::skip] // One row per check.
pub const CHECKS: &[Check] = &[
    needed(PART, "/health answers 200 with JSON", health),
    needed(PART, "/health counts players", players),
    needed(PART, "/metrics answers 200 with JSON", metrics),
    promised(PART, "Prometheus reads /metrics", prometheus),
    needed(PART, "/ws without an upgrade is refused", no_upgrade),
];

fn ask(server: SocketAddr, path: &str) -> Result<Response, String> {
    get(server, path, PATIENCE).map_err(|error| format!("{path}: {error}"))
}

fn json(server: SocketAddr, path: &str) -> Result<Json, String> {
    let answer = ask(server, path)?;
    expect(answer.status == 200, || format!("{path}: status {}", answer.status))?;
    serde_json::from_str(&answer.body).map_err(|error| format!("{path}: {error}"))
}

fn health(server: SocketAddr) -> Result<(), String> {
    json(server, "/health").and_then(|body| expect(body.is_object(), || format!("{body}")))
}

fn players(server: SocketAddr) -> Result<(), String> {
    let count = |body: &Json| body["players"].as_u64();
    let before = json(server, "/health")?;
    let _player = Player::join(server)?;
    let with = json(server, "/health")?;
    let found = || format!("{before} without a player, {with} with one");
    expect(count(&before).is_some() && count(&with) >= Some(1), found)
}

fn metrics(server: SocketAddr) -> Result<(), String> {
    json(server, "/metrics").and_then(|body| expect(body.is_object(), || format!("{body}")))
}

fn prometheus(server: SocketAddr) -> Result<(), String> {
    let answer = ask(server, "/metrics/prometheus")?;
    let is_text = answer.body.lines().any(|line| line.starts_with("# TYPE "));
    expect(answer.status == 200 && is_text, || format!("status {}", answer.status))
}

fn no_upgrade(server: SocketAddr) -> Result<(), String> {
    let answer = ask(server, "/ws")?;
    expect((400..500).contains(&answer.status), || format!("status {}", answer.status))
}
