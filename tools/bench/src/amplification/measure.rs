//! Measures a case between two samples of the server's counters.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::console::progress;
use game_client::endpoint::Target;
use game_client::line::Line;
use game_client::{ClientMessage, Facing, Vector};
use game_client::{Failure, Interrupt, http};
use loadtest::hostile::requester::{Requester, Requests};

use super::cases::{Act, Case, ask, etag_in, messages, requests, still_world, visits};
use super::{Options, Row};

/// Timeout of a response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between the start of a case and the first sample.
const LEAD: Duration = Duration::from_millis(500);

/// Measured time of a route or an event, in seconds; unlike messages, they have no delayed effects.
const REQUESTS_SECONDS: u64 = 2;

/// Time in which new viewers receive their first snapshots.
const SETTLING: Duration = Duration::from_secs(10);

/// Time in which viewers receive all frames about a new player or a change.
const ARRIVAL: Duration = Duration::from_secs(6);

/// Time between two turns of the player that keeps the world busy.
const TURN_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two reads of the viewers' connections.
const VIEWERS_INTERVAL: Duration = Duration::from_millis(50);

/// The measurements of a window, per second: the attacker's bytes, and the counters of the server.
#[derive(Clone, Copy, Debug)]
struct Window {
    bytes_in: f64,
    bytes_out: f64,
    cpu_ns: f64,
}

/// Measures every case.
///
/// # Errors
/// The server does not respond, or a signal interrupts. A case that the server refuses becomes a row without figures.
pub fn all(address: SocketAddr, options: &Options, interrupt: &Interrupt) -> Result<Vec<Row>, Failure> {
    let server = Target::at(address);
    let viewers = (0..options.viewers).map(|_| viewer(&server)).collect::<io::Result<Vec<_>>>()?;
    let world = World::default();
    thread::scope(|scope| {
        scope.spawn(|| world.watch(viewers));
        let rows = measure(&server, options, interrupt, &world);
        world.is_over.store(true, Ordering::Relaxed);
        rows
    })
}

fn measure(
    server: &Target,
    options: &Options,
    interrupt: &Interrupt,
    world: &World,
) -> Result<Vec<Row>, Failure> {
    let question = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.authority);
    let etag = etag_in(&ask(server, &question)?).unwrap_or_default();
    let mut attacker = Attacker::new(server)?;
    interrupt.sleep(SETTLING)?;
    let length = Duration::from_secs(options.seconds);
    let mut rows = attacker.measure(vec![still_world()], length, interrupt)?;
    attacker.line = None;
    interrupt.sleep(ARRIVAL)?;
    // Requests are measured in the still world, because they are small and change nothing.
    let requests = requests(&server.authority, &etag);
    rows.extend(attacker.measure(requests, Duration::from_secs(REQUESTS_SECONDS), interrupt)?);
    world.is_live.store(true, Ordering::Relaxed);
    attacker.line = Some(viewer(server)?);
    interrupt.sleep(ARRIVAL)?;
    rows.extend(attacker.measure(messages(), length, interrupt)?);
    rows.extend(attacker.measure(visits(), length, interrupt)?);
    Ok(rows)
}

/// Repeats an action at a rate, and samples the counters before and after the window.
///
/// # Errors
/// The action or the server fails, or a signal interrupts.
fn window(
    server: &Target,
    length: Duration,
    rate: f64,
    interrupt: &Interrupt,
    mut act: impl FnMut(u64) -> io::Result<u64>,
) -> Result<Window, Failure> {
    let started = Instant::now();
    let mut number = 0;
    let mut act_until = |moment: Duration| -> Result<u64, Failure> {
        let mut sent = 0;
        loop {
            let due = Duration::from_secs_f64(number as f64 / rate);
            sleep(due.min(moment).saturating_sub(started.elapsed()));
            if interrupt.is_requested() {
                return Err(Failure::Interrupted);
            }
            if due >= moment {
                return Ok(sent);
            }
            sent += act(number)?;
            number += 1;
        }
    };
    let counters = || -> Result<(f64, f64), Failure> {
        let metrics = http::get_json(server.address, "/metrics", PATIENCE)?;
        let lacking = || Failure::Failed("/metrics lacks a counter".to_owned());
        metrics["bytes_out_total"].as_f64().zip(metrics["cpu_ns_total"].as_f64()).ok_or_else(lacking)
    };
    act_until(LEAD)?;
    let (before, since) = (counters()?, Instant::now());
    let sent = act_until(LEAD + length)? as f64;
    let seconds = since.elapsed().as_secs_f64();
    let after = counters()?;
    let (bytes_out, cpu_ns) = ((after.0 - before.0) / seconds, (after.1 - before.1) / seconds);
    Ok(Window { bytes_in: sent / seconds, bytes_out, cpu_ns })
}

/// The attacker: a player and HTTP connections.
struct Attacker<'a> {
    server: &'a Target,
    /// The player's connection, if open.
    line: Option<Line>,
    requester: Requester,
    cookie: Option<String>,
}

impl Attacker<'_> {
    fn new(server: &Target) -> io::Result<Attacker<'_>> {
        let line = Some(viewer(server)?);
        Ok(Attacker { server, line, requester: Requester::new(server.address), cookie: None })
    }

    /// Measures an idle window and then the cases.
    fn measure(
        &mut self,
        cases: Vec<Case>,
        length: Duration,
        interrupt: &Interrupt,
    ) -> Result<Vec<Row>, Failure> {
        let server = self.server;
        let idle = window(server, length, 1.0, interrupt, |_| Ok(0))?;
        let mut rows = Vec::new();
        for Case { name, rate, ratio_max, act } in cases {
            progress(format_args!("{name} at {rate:.0}/s"));
            let row = Row { name, rate, ratio_max, ..Row::default() };
            rows.push(match window(server, length, rate, interrupt, |n| self.act(&act, n)) {
                Ok(window) => Row {
                    bytes_in: window.bytes_in,
                    bytes_out: (window.bytes_out - idle.bytes_out).max(0.0),
                    cpu_ns: (window.cpu_ns - idle.cpu_ns).max(0.0),
                    ..row
                },
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => Row { problem: Some(failure.to_string()), ..row },
            });
            self.rest();
        }
        Ok(rows)
    }

    /// Acts once, and returns the bytes sent.
    fn act(&mut self, act: &Act, number: u64) -> io::Result<u64> {
        match act {
            Act::Message(send) => {
                let mut line = match self.line.take() {
                    Some(line) => line,
                    None => viewer(self.server)?,
                };
                let before = line.bytes_sent;
                line.hear_now(|_, _| ())?;
                send(&mut line, number)?;
                let sent = line.bytes_sent - before;
                self.line = Some(line);
                Ok(sent)
            }
            Act::Request(bytes) => {
                let mut requests = Requests::default();
                self.requester.act(bytes.as_bytes(), &mut requests);
                Ok(requests.bytes_sent)
            }
            Act::Fresh(bytes) => ask(self.server, bytes).map(|_| bytes.len() as u64),
            Act::Visit { with_cookie } => {
                let cookie = self.cookie.take().filter(|_| *with_cookie);
                let mut line = Line::open(self.server, cookie.as_deref())?;
                line.send(&ClientMessage::Leave)?;
                self.cookie.clone_from(&line.cookie);
                Ok(line.bytes_sent)
            }
        }
    }

    /// Ends the attack and the movement that a case started.
    fn rest(&mut self) {
        if let Some(line) = &mut self.line {
            let ended = line.send(&ClientMessage::AttackEnd).and_then(|()| line.step(Vector::ZERO, None));
            if ended.is_err() {
                self.line = None;
            }
        }
    }
}

/// Connects a player.
fn viewer(server: &Target) -> io::Result<Line> {
    let mut line = Line::open(server, None)?;
    line.stop_waiting()?;
    Ok(line)
}

/// The state shared with the thread that reads the viewers' connections.
#[derive(Debug, Default)]
struct World {
    /// Whether one of the viewers turns once a second.
    is_live: AtomicBool,
    is_over: AtomicBool,
}

impl World {
    /// Reads the viewers' frames, and drops closed connections.
    fn watch(&self, mut viewers: Vec<Line>) {
        let (mut turned, mut facing) = (Instant::now(), Facing::Right);
        while !self.is_over.load(Ordering::Relaxed) {
            viewers.retain_mut(|line| line.hear_now(|_, _| ()).is_ok());
            if self.is_live.load(Ordering::Relaxed) && turned.elapsed() >= TURN_INTERVAL {
                turned = Instant::now();
                facing = if facing == Facing::Right { Facing::Left } else { Facing::Right };
                if let Some(line) = viewers.first_mut() {
                    // The next read detects a closed connection.
                    let _ = line.send(&ClientMessage::Direction(facing));
                }
            }
            sleep(VIEWERS_INTERVAL);
        }
    }
}
