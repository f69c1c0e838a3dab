//! A running server without descriptors or memory for another connection.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use game_client::Vector;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::see_each_other;
use crate::support::client::replica_options;
use crate::support::debian::program;
use crate::support::http::{get, request_text};
use crate::support::process::{send_signal, succeed};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, poll_until, wait_for_acks};

const PLAYERS: usize = 20;

/// Descriptors that a server may still open after the test has lowered its limit.
const DESCRIPTORS_LEFT: usize = 3;

/// Silent connections: they take the last descriptors and the reserve; many stay in the backlog.
const SILENT: usize = 40;

/// Lowers the server's limit of descriptors. Open descriptors stay open.
fn limit_descriptors(server: &Server, limit: usize) {
    let flag = format!("--nofile={limit}:");
    succeed(Command::new("prlimit").arg("--pid").arg(server.pid().to_string()).arg(flag));
}

/// Requests metrics on an open connection.
fn metrics(operator: &mut Raw) -> Value {
    operator.send(request_text("GET", "/metrics", &[]).as_bytes());
    serde_json::from_slice(&operator.response().body).expect("/metrics is JSON")
}

fn exhausted(metrics: &Value) -> u64 {
    metrics["connections"]["accept_exhausted_total"].as_u64().expect("a count")
}

/// Asserts that every player can take a step and receives its ack.
fn play(players: &mut [Client]) {
    for vector in [Vector::RIGHT, Vector::ZERO] {
        for player in players.iter_mut() {
            player.step(vector);
        }
        wait_for_acks(players);
    }
    assert!(players.iter().all(|player| !player.ended), "a player was dropped");
}

#[test]
fn without_descriptors_idle_connections_are_closed() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let mut idle: Vec<_> = (0..SILENT).map(|_| Raw::connect(server.address())).collect();
    for raw in &mut idle {
        raw.send(request_text("GET", "/health", &[]).as_bytes());
        assert_eq!(raw.response().status, 200);
    }
    limit_descriptors(&server, server.descriptors());
    let mut players = Client::connect_many(&server, PLAYERS / 2, replica_options());
    see_each_other(&mut players);
    play(&mut players);
    assert_eq!(get(server.address(), "/").status, 200);
    assert_eq!(idle[0].read_to_end(), b"");
    assert_eq!(server.admin_metrics()["refused"]["descriptors"], 0);
}

#[test]
fn without_descriptors_health_and_players_are_served() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let at_rest = server.descriptors();
    let mut players = Client::connect_many(&server, PLAYERS, replica_options());
    see_each_other(&mut players);
    play(&mut players);
    limit_descriptors(&server, at_rest + PLAYERS + DESCRIPTORS_LEFT);

    let silent: Vec<_> = (0..SILENT).map(|_| Raw::connect(server.address())).collect();
    assert_eq!(get(server.address(), "/health").status, 200, "after all silent connections");
    let mut late = Raw::connect(server.address());
    late.send(UPGRADE.as_bytes());
    let refused = late.response();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    assert!(refused.header("date").is_some(), "{refused:?}");
    assert_eq!(late.read_to_end(), b"", "the connection ends after the response");
    assert_eq!(get(server.address(), "/").status, 503);
    for address in [server.address(), server.admin_address()] {
        let health = get(address, "/health");
        assert_eq!((health.status, health.header("connection")), (200, Some("close")));
    }
    let metrics = server.admin_metrics();
    assert!(exhausted(&metrics) > 0 && metrics["refused"]["descriptors"].as_u64() > Some(1), "{metrics}");
    assert_eq!(metrics["players"], PLAYERS);
    assert!(server.log().contains("cannot accept new connections"), "{}", server.log());
    play(&mut players);

    // Players that leave free descriptors for others under the same limit.
    drop(silent);
    players.truncate(PLAYERS / 2);
    poll_until(&mut players, "the leaving players to be gone", |_| {
        server.admin_metrics()["players"] == PLAYERS / 2
    });
    players.extend((0..PLAYERS / 2).map(|_| Client::join(&server)));
    see_each_other(&mut players);
    play(&mut players);
    drop((players, late));
    wait_until("every descriptor to be closed", || server.descriptors() == at_rest);
}

#[test]
fn a_server_without_descriptors_does_not_spin() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let mut operator = Raw::connect(server.admin_address());
    let before = metrics(&mut operator);
    limit_descriptors(&server, server.descriptors());
    let _silent: Vec<_> = (0..SILENT).map(|_| Raw::connect(server.address())).collect();
    let mut later = metrics(&mut operator);
    wait_until("the reserve descriptors to be used", || {
        later = metrics(&mut operator);
        exhausted(&later) >= 16
    });
    // The server counts once per connection on a reserve descriptor, and once per pause, which lasts several ticks.
    let ticks = later["ticks_total"].as_u64().unwrap() - before["ticks_total"].as_u64().unwrap();
    let exhausted = exhausted(&later);
    assert!(exhausted <= ticks + SILENT as u64, "{exhausted} in {ticks} ticks");
}

#[test]
fn silent_peers_do_not_keep_the_reserve_descriptors() {
    let server = Server::start();
    limit_descriptors(&server, server.descriptors());
    let mut silent = Raw::connect(server.address());
    let mut slow = Raw::connect(server.address());
    slow.send(b"GET /health HTTP/1.1\r\nHost: a\r\n");
    for _ in 0..20 {
        server.assert_healthy();
    }
    assert_eq!(
        (silent.read_to_end(), slow.read_to_end()),
        (Vec::new(), Vec::new()),
        "both are closed after a short time"
    );
    assert_eq!(Raw::exchange(server.address(), b"\x00\x01\r\n\r\n").status, 400);
}

/// strace attached to a server, injecting faults into its system calls. It detaches on drop.
struct Tracer(Child);

impl Tracer {
    /// Makes `accept4` fail as described by `fault`, in the syntax of strace.
    fn fail_accepts(server: &Server, fault: &str) -> Tracer {
        let mut tracer = Command::new(program("strace"))
            .args(["-f", "-e", "trace=accept4", "-e", &format!("inject=accept4:{fault}")])
            .args(["-p", &server.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace runs");
        let mut lines = BufReader::new(tracer.stderr.take().expect("standard error is piped")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        assert!(first.contains("attached"), "strace must be allowed to trace: {first}");
        // Further output must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Tracer(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            send_signal(self.0.id(), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn accepting_pauses_and_resumes_without_socket_memory() {
    for error in ["ENOBUFS", "ENOMEM"] {
        let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
        let mut players = vec![Client::join(&server)];
        let mut operator = Raw::connect(server.admin_address());
        let before = metrics(&mut operator);
        let tracer = Tracer::fail_accepts(&server, &format!("error={error}:when=1..5"));
        let mut late = Raw::connect(server.address());
        late.send(UPGRADE.as_bytes());
        assert_eq!(late.response().status, 101, "admitted once memory is available");
        play(&mut players);
        drop(tracer);
        let after = metrics(&mut operator);
        assert_eq!(exhausted(&after) - exhausted(&before), 5, "{error}");
        let ticks = after["ticks_total"].as_u64().unwrap() - before["ticks_total"].as_u64().unwrap();
        assert!(ticks >= 5, "the server pauses accepts after each failure: {ticks} ticks");
        assert!(server.log().contains("cannot accept new connections"), "{}", server.log());
    }
}

#[test]
fn a_failed_connection_does_not_delay_the_next() {
    for error in ["ECONNABORTED", "EPROTO", "EINTR", "EPERM"] {
        let server = Server::start();
        let tracer = Tracer::fail_accepts(&server, &format!("error={error}:when=1..3"));
        assert_eq!(get(server.address(), "/health").status, 200, "{error}");
        drop(tracer);
        assert_eq!(exhausted(&server.metrics()), 0, "{error}");
    }
}
