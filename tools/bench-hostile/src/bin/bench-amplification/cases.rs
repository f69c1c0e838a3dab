//! What is sent, and how often: as much as the server's limits allow, and at rates at which nothing is merged.

use std::io;
use std::time::{Duration, Instant};

use game_client::{ClientMessage, Facing, Vector};
use hostile::line::Line;
use loadtest::frame::Opcode;
use loadtest::values::Server;
use stage::http::exchange;

/// Messages a second: just under `RATE_LIMIT_MSG_SEC`.
const FULL: f64 = 57.0;

/// Messages a second of which each reaches the viewers: just under one a flush.
const EACH: f64 = 19.0;

/// What a player walks in a second.
const UNITS_PER_S: u64 = 96;

/// A claim back to the same place in this interval costs the viewers a snapshot, since the walk between is a jump.
const JUMPS: f64 = 1.0 / 0.19;

/// Requests, and other things that are no game messages, a second.
const REQUESTS: f64 = 20.0;

/// Pipelined requests in one write.
const PIPELINED: usize = 20;

/// The most bytes out per byte in of a message. Turning round at the rate of flushes is x219, and nothing is to cost more.
const RATIO_MAX: f64 = 220.0;

/// How long an answer to a fresh connection may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The first byte of a ping.
const PING: u8 = 0x89;

/// What a case does each time, with its number; it returns the bytes sent.
pub enum Act {
    /// Sends messages on the attacker's connection.
    Message(fn(&mut Line, u64) -> io::Result<()>),
    /// Does the same in a world in which nothing else happens.
    Still(fn(&mut Line, u64) -> io::Result<()>),
    /// Sends these bytes on a connection that is kept alive.
    Request(String),
    /// Sends these bytes on a connection of its own and waits for the end of the answer.
    Fresh(String),
    /// Joins and leaves, with the session cookie if so said.
    Visit {
        /// Whether the cookie of the visit before is given back.
        with_cookie: bool,
    },
}

/// One row of the table.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// How often a second.
    pub rate: f64,
    /// What is done.
    pub act: Act,
}

impl Case {
    /// The most bytes out per byte in, if there is a limit: a page has its size, whatever the request's, and viewers are due a
    /// snapshot every few seconds, however little changed.
    pub fn ratio_max(&self) -> Option<f64> {
        matches!(self.act, Act::Message(_)).then_some(RATIO_MAX)
    }
}

/// What one change costs where nothing else happens: all viewers are due their regular snapshot.
pub fn still_world() -> Case {
    let turn_round = |line: &mut Line, n| line.send(&turn(n));
    Case { name: "DIRECTION, flipped, where nothing else happens", rate: 0.2, act: Act::Still(turn_round) }
}

/// All messages. Those that change nothing come first: what viewers are owed for a change is sent seconds later.
pub fn messages() -> Vec<Case> {
    let case = |name, rate, send| Case { name, rate, act: Act::Message(send) };
    vec![
        case("JOIN", FULL, |line, _| line.send(&ClientMessage::Join)),
        case("ping, empty", FULL, |line, _| line.send_frame(PING, &[])),
        case("ping of 125 bytes", FULL, |line, _| line.send_frame(PING, &[7; 125])),
        case("pong", FULL, |line, _| line.send_frame(Opcode::Pong as u8, &[])),
        case("message of no known type", FULL, |line, _| line.send_payload(&[99])),
        case("MOVE of a wrong length", FULL, |line, _| line.send_payload(&[3; 7])),
        case("MOVE with an invalid vector", FULL, |line, _| line.send_payload(&[3, 0xff, 0, 0, 0, 0])),
        case("ATTACK_END alone", FULL, |line, _| line.send(&ClientMessage::AttackEnd)),
        case("DIRECTION, the same", FULL, |line, _| line.send(&ClientMessage::Direction(Facing::Right))),
        case("MOVE of 6 bytes, standing", FULL, |line, _| line.step(Vector::ZERO, None)),
        case("VIEWPORT, the same", FULL, |line, _| viewport(line, 2_000)),
        case("VIEWPORT, small and large in turn", FULL, flip_viewport),
        case("VIEWPORT, small and large in turn", EACH, flip_viewport),
        case("VIEWPORT, small and large in turn", 1.0, flip_viewport),
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
        case("ATTACK and ATTACK_END in turn", FULL, attack_and_end),
        case("ATTACK and ATTACK_END in turn", EACH, attack_and_end),
        case("all that viewers are shown, in turn", FULL, |line, n| match n % 4 {
            0 => line.send(&turn(n / 4)),
            1 => line.send(&attack()),
            2 => line.send(&ClientMessage::AttackEnd),
            _ => line.step(side(n / 4), None),
        }),
    ]
}

/// All ways to come and go.
pub fn visits() -> Vec<Case> {
    let visit = |name, with_cookie| Case { name, rate: REQUESTS, act: Act::Visit { with_cookie } };
    vec![visit("upgrade and LEAVE", false), visit("upgrade with the cookie and LEAVE", true)]
}

/// All routes, and what is wrong with a request; the server's entity tag makes one of them a question for nothing new.
pub fn requests(authority: &str, etag: &str) -> Vec<Case> {
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n");
    let kept = |name, request| Case { name, rate: REQUESTS, act: Act::Request(request) };
    let fresh = |name, request| Case { name, rate: REQUESTS, act: Act::Fresh(request) };
    let head = format!("HEAD /metrics HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    vec![
        kept("GET /", get("/", "")),
        kept("GET /, answered with 304", get("/", &format!("If-None-Match: {etag}\r\n"))),
        kept("GET /play", get("/play", "")),
        kept("GET /dashboard", get("/dashboard", "")),
        kept("GET /health", get("/health", "")),
        kept("GET /metrics as JSON", get("/metrics", "")),
        kept("GET /metrics as text", get("/metrics", "Accept: text/plain\r\n")),
        kept("GET /metrics as OpenMetrics", get("/metrics", "Accept: application/openmetrics-text\r\n")),
        kept("GET /metrics/prometheus", get("/metrics/prometheus", "")),
        kept("GET of nothing, 404", get("/nothing-here", "")),
        kept("HEAD /metrics, 20 in a write", head.repeat(PIPELINED)),
        fresh("GET /health on a connection each", get("/health", "Connection: close\r\n")),
        fresh("broken head", "GET / HTTP/1.1\r\nbroken\r\n\r\n".to_owned()),
        fresh("upgrade without a key", get("/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n")),
    ]
}

/// Asks on a connection of its own; the bytes of the answer, up to its end or to the end of patience.
///
/// # Errors
/// The server does not take the question.
pub fn ask(server: &Server, request: &str) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let result = exchange(&[server.address], request.as_bytes(), Instant::now() + PATIENCE, &mut answer);
    // What has come by the end of patience is the answer.
    if answer.is_empty() { result.map(|()| answer) } else { Ok(answer) }
}

/// The value of `ETag` in an answer.
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

/// Walks right, and claims the place that was acknowledged last.
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
    fn every_message_has_a_limit_and_stays_within_the_rate() {
        for case in messages() {
            assert_eq!(case.ratio_max(), Some(RATIO_MAX), "{}", case.name);
            assert!(case.rate < 60.0, "{}", case.name);
        }
        assert!(requests("a", "\"b\"").iter().all(|case| case.ratio_max().is_none()));
    }

    #[test]
    fn a_tag_is_found_in_the_head_alone() {
        let answer = b"HTTP/1.1 200 OK\r\netag: \"1f\"\r\n\r\nETag: \"2\"\r\n";
        assert_eq!(etag_in(answer).as_deref(), Some("\"1f\""));
        assert_eq!(etag_in(b"HTTP/1.1 200 OK\r\n\r\nETag: \"2\"\r\n"), None);
    }
}
