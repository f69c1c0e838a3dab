//! The cases: input and rate, up to the server's limits and at rates at which flushes merge nothing.

use std::io;
use std::time::{Duration, Instant};

use game_client::endpoint::Target;
use game_client::frame::Opcode;
use game_client::http::exchange;
use game_client::line::Line;
use game_client::{ClientMessage, Facing, Vector};

/// Messages per second: just under `RATE_LIMIT_MSG_SEC`.
const FULL: f64 = 57.0;

/// Messages per second at which every message reaches the viewers: just under one per flush.
const EACH: f64 = 19.0;

/// Speed of a player, in units per second.
const UNITS_PER_S: u64 = 96;

/// Claims per second back to one position. Each claim is a jump, which costs every viewer a snapshot.
const JUMPS: f64 = 1.0 / 0.19;

/// Rate of requests and other inputs that are not game messages, per second.
const REQUESTS: f64 = 20.0;

/// Pipelined requests in one write.
const PIPELINED: usize = 20;

/// Maximum bytes out per byte in of a message. A turn in every flush costs 219; no message may cost more.
const RATIO_MAX: f64 = 220.0;

/// Timeout of a response on a new connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// The first byte of a ping.
const PING: u8 = 0x89;

/// The action of a case.
pub enum Act {
    /// Sends messages on the attacker's connection.
    Message(fn(&mut Line, u64) -> io::Result<()>),
    /// Sends these bytes on a keep-alive connection.
    Request(String),
    /// Sends these bytes on a new connection and waits for the end of the response.
    Fresh(String),
    /// Joins and leaves.
    Visit {
        /// Whether to send the session cookie of the previous visit.
        with_cookie: bool,
    },
}

/// One row of the table.
pub struct Case {
    /// Name in the report.
    pub name: &'static str,
    /// Rate, per second.
    pub rate: f64,
    /// Maximum bytes out per byte in. Pages have no limit, because their size is independent of the request. The still
    /// world has none, because viewers get a snapshot every few seconds after any change.
    pub ratio_max: Option<f64>,
    /// The action.
    pub act: Act,
}

/// The cost of one change in a still world: it causes a regular snapshot for every viewer.
pub fn still_world() -> Case {
    let turn_round = |line: &mut Line, n| line.send(&turn(n));
    let act = Act::Message(turn_round);
    Case { name: "DIRECTION, flipped, in a still world", rate: 0.2, ratio_max: None, act }
}

/// All messages. Messages without effect come first, because a change causes snapshots up to seconds later.
pub fn messages() -> Vec<Case> {
    let case = |name, rate, send| Case { name, rate, ratio_max: Some(RATIO_MAX), act: Act::Message(send) };
    vec![
        case("JOIN", FULL, |line, _| line.send(&ClientMessage::Join)),
        case("ping, empty", FULL, |line, _| line.send_frame(PING, &[])),
        case("ping of 125 bytes", FULL, |line, _| line.send_frame(PING, &[7; 125])),
        case("pong", FULL, |line, _| line.send_frame(Opcode::Pong as u8, &[])),
        case("message of unknown type", FULL, |line, _| line.send_payload(&[99])),
        case("MOVE of a wrong length", FULL, |line, _| line.send_payload(&[3; 7])),
        case("MOVE with an invalid vector", FULL, |line, _| line.send_payload(&[3, 0xff, 0, 0, 0, 0])),
        case("ATTACK_END only", FULL, |line, _| line.send(&ClientMessage::AttackEnd)),
        case("DIRECTION, unchanged", FULL, |line, _| line.send(&ClientMessage::Direction(Facing::Right))),
        case("MOVE of 6 bytes, standing", FULL, |line, _| line.step(Vector::ZERO, None)),
        case("VIEWPORT, unchanged", FULL, |line, _| viewport(line, 2_000)),
        case("VIEWPORT, alternating", FULL, flip_viewport),
        case("VIEWPORT, alternating", EACH, flip_viewport),
        case("VIEWPORT, alternating", 1.0, flip_viewport),
        case("MOVE of 6 bytes, same vector", FULL, |line, _| line.step(Vector::DOWN, None)),
        case("MOVE of 14 bytes, same vector", FULL, |line, n| {
            let (x, y) = line.position;
            let walked = |n: u64| n * UNITS_PER_S / FULL as u64;
            line.step(Vector::RIGHT, Some((x + (walked(n + 1) - walked(n)) as u16, y)))
        }),
        case("MOVE of 6 bytes, flipped vector", FULL, |line, n| line.step(side(n), None)),
        case("MOVE of 6 bytes, flipped vector", EACH, |line, n| line.step(side(n), None)),
        case("MOVE of 14 bytes, flipped vector", EACH, |line, n| {
            let place = line.position;
            line.step(side(n), Some(place))
        }),
        case("MOVE of 14 bytes, claims back", FULL, claim_back),
        case("MOVE of 14 bytes, claims back", 10.0, claim_back),
        case("MOVE of 14 bytes, claims back", JUMPS, claim_back),
        case("MOVE of 14 bytes, claims back", 2.1, claim_back),
        case("DIRECTION, flipped", FULL, |line, n| line.send(&turn(n))),
        case("DIRECTION, flipped", EACH, |line, n| line.send(&turn(n))),
        case("ATTACK, repeated", FULL, |line, _| line.send(&attack())),
        case("ATTACK and ATTACK_END, alternating", FULL, attack_and_end),
        case("ATTACK and ATTACK_END, alternating", EACH, attack_and_end),
        case("all visible changes, alternating", FULL, |line, n| match n % 4 {
            0 => line.send(&turn(n / 4)),
            1 => line.send(&attack()),
            2 => line.send(&ClientMessage::AttackEnd),
            _ => line.step(side(n / 4), None),
        }),
    ]
}

/// Joining and leaving.
pub fn visits() -> Vec<Case> {
    let visit =
        |name, with_cookie| Case { name, rate: REQUESTS, ratio_max: None, act: Act::Visit { with_cookie } };
    vec![visit("upgrade and LEAVE", false), visit("upgrade with the cookie and LEAVE", true)]
}

/// All routes, and invalid requests. `etag` makes one request conditional.
pub fn requests(authority: &str, etag: &str) -> Vec<Case> {
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n");
    let kept = |name, request| Case { name, rate: REQUESTS, ratio_max: None, act: Act::Request(request) };
    let fresh = |name, request| Case { name, rate: REQUESTS, ratio_max: None, act: Act::Fresh(request) };
    let head = format!("HEAD /metrics HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    vec![
        kept("GET /", get("/", "")),
        kept("GET /, answered with 304", get("/", &format!("If-None-Match: {etag}\r\n"))),
        kept("GET /play", get("/play", "")),
        kept("GET /play/rules.json", get("/play/rules.json", "")),
        kept("GET /dashboard", get("/dashboard", "")),
        kept("GET /health", get("/health", "")),
        kept("GET /metrics as JSON", get("/metrics", "")),
        kept("GET /metrics as text", get("/metrics", "Accept: text/plain\r\n")),
        kept("GET /metrics as OpenMetrics", get("/metrics", "Accept: application/openmetrics-text\r\n")),
        kept("GET /metrics/prometheus", get("/metrics/prometheus", "")),
        kept("GET of a missing file, 404", get("/nothing-here", "")),
        kept("HEAD /metrics, 20 per write", head.repeat(PIPELINED)),
        fresh("GET /health on new connections", get("/health", "Connection: close\r\n")),
        fresh("broken head", "GET / HTTP/1.1\r\nbroken\r\n\r\n".to_owned()),
        fresh("upgrade without a key", get("/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n")),
    ]
}

/// Sends a request on a new connection and returns the response, up to its end or to the timeout.
///
/// # Errors
/// The server does not accept the request.
pub fn ask(server: &Target, request: &str) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let result = exchange(&[server.address], request.as_bytes(), Instant::now() + PATIENCE, &mut answer);
    // After the timeout, an incomplete response counts too.
    if answer.is_empty() { result.map(|()| answer) } else { Ok(answer) }
}

/// The value of `ETag` in a response.
pub fn etag_in(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let mut headers = text.lines().map_while(|line| (!line.is_empty()).then_some(line));
    let (_, tag) = headers
        .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("ETag")))?;
    Some(tag.to_owned())
}

fn side(n: u64) -> Vector {
    if n.is_multiple_of(2) { Vector::RIGHT } else { Vector::LEFT }
}

fn turn(n: u64) -> ClientMessage {
    ClientMessage::Direction(if n.is_multiple_of(2) { Facing::Left } else { Facing::Right })
}

fn attack() -> ClientMessage {
    ClientMessage::Attack { aim: None }
}

fn attack_and_end(line: &mut Line, n: u64) -> io::Result<()> {
    line.send(&if n.is_multiple_of(2) { attack() } else { ClientMessage::AttackEnd })
}

/// Walks right, but claims the last acknowledged position.
fn claim_back(line: &mut Line, _: u64) -> io::Result<()> {
    let place = line.position;
    line.step(Vector::RIGHT, Some(place))
}

fn flip_viewport(line: &mut Line, n: u64) -> io::Result<()> {
    viewport(line, if n.is_multiple_of(2) { 100 } else { 2_000 })
}

fn viewport(line: &mut Line, side: u16) -> io::Result<()> {
    line.send(&ClientMessage::Viewport { width: side, height: side })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_stays_within_the_rate() {
        for case in messages() {
            assert!(case.rate < 60.0, "{}", case.name);
        }
    }

    #[test]
    fn an_entity_tag_is_found_only_in_the_head() {
        let answer = b"HTTP/1.1 200 OK\r\netag: \"1f\"\r\n\r\nETag: \"2\"\r\n";
        assert_eq!(etag_in(answer).as_deref(), Some("\"1f\""));
        assert_eq!(etag_in(b"HTTP/1.1 200 OK\r\n\r\nETag: \"2\"\r\n"), None);
    }
}
