//! Endless pipelined requests: players and health checks are served; metrics and each address have a rate.

use std::collections::HashSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::request_text;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::walker::step_when_answered;
use crate::support::{Client, Server, Settings, poll_until};

const ALICE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// Pipelining connections on the admin listener, which allows twice as many.
const OPERATORS: usize = 8;

/// Metrics renderings per second, and the burst of renderings.
const RENDERS: f64 = 4.0;

/// Sends requests on several connections until `stop` is set. Returns the number of received bytes.
fn flood(address: SocketAddr, connections: usize, stop: &AtomicBool) -> usize {
    let mut peers: Vec<_> = (0..connections).map(|_| Raw::connect(address)).collect();
    let requests = request_text("HEAD", "/metrics", &[]).repeat(50).into_bytes();
    let (mut buffer, mut read) = (vec![0; 64 << 10], 0);
    let mut sent = vec![0; connections];
    for peer in &mut peers {
        peer.stream().set_nonblocking(true).expect("a non-blocking socket");
    }
    while !stop.load(Ordering::Relaxed) {
        for (peer, sent) in peers.iter_mut().zip(&mut sent) {
            match peer.stream().write(&requests[*sent..]) {
                Ok(count) => *sent = (*sent + count) % requests.len(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            if let Ok(count) = peer.stream().read(&mut buffer) {
                read += count;
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    read
}

fn requests_answered(server: &Server) -> u64 {
    server.admin_metrics()["connections"]["http_requests_total"].as_u64().expect("a number")
}

#[test]
fn players_are_served_during_a_pipelining_flood() {
    // The players take a step as soon as the previous one is acked.
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 100_000).start();
    let mut clients = [Client::join(&server), Client::join(&server)];
    let mut endless = Raw::connect(server.address());
    endless.send(b"GET /ws HT");
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stop_flag) = (server.address(), Arc::clone(&stop));
    let flood = thread::spawn(move || flood(address, 100, &stop_flag));
    wait_until("the flood", || server.metrics()["connections"]["http_requests_total"].as_u64() > Some(1_000));
    let mut steps = 0;
    poll_until(&mut clients, "acks of a hundred steps", |clients| {
        step_when_answered(clients, &mut steps);
        steps > 100
    });
    server.assert_healthy();
    assert_eq!(endless.read_to_end(), b"", "an endless request is dropped at its deadline");
    assert_eq!(server.metrics()["refused"]["handshake_timeout"], 1);
    stop.store(true, Ordering::Relaxed);
    assert!(flood.join().expect("a flood") > 0);
    assert!(clients.iter().all(|client| !client.ended && client.replica.violations().is_empty()));
}

#[test]
fn players_can_join_during_a_pipelining_flood_of_the_admin_listener() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let stop = Arc::new(AtomicBool::new(false));
    let (admin, stop_flag) = (server.admin_address(), Arc::clone(&stop));
    let flood = thread::spawn(move || flood(admin, OPERATORS, &stop_flag));
    wait_until("the flood", || requests_answered(&server) > 1_000);
    let clients: Vec<_> = (0..50).map(|_| Client::join(&server)).collect();
    server.assert_healthy();
    stop.store(true, Ordering::Relaxed);
    assert!(flood.join().expect("a flood") > 0);
    assert!(clients.iter().all(|client| !client.ended));
}

#[test]
fn metrics_are_rendered_a_few_times_per_second() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address());
    let start = Instant::now();
    let bodies: HashSet<_> = (0..500)
        .map(|_| {
            raw.send(request_text("GET", "/metrics", &[]).as_bytes());
            raw.response().body
        })
        .collect();
    let allowed = RENDERS * (1.0 + start.elapsed().as_secs_f64());
    assert!(bodies.len() as f64 <= allowed.ceil(), "{} of 500 were rendered", bodies.len());
    let later = server.count("ticks_total");
    wait_until("later metrics", || server.count("ticks_total") > later);
}

#[test]
fn an_address_has_a_request_rate() {
    let server = Settings::new().set("HTTP_RATE", 1).set("HTTP_BURST", 10).start();
    let mut alice = Raw::connect_from(ALICE, server.address());
    alice.send(request_text("GET", "/health", &[]).repeat(40).as_bytes());
    let mut answers = Vec::new();
    while answers.last().is_none_or(|status| *status == 200) {
        let response = alice.response();
        if response.status != 200 {
            assert!(response.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
            assert_eq!(response.header("connection"), Some("close"));
        }
        answers.push(response.status);
    }
    // Nine more requests after the connection itself; on a slow machine the rate may have added some.
    assert_eq!(answers.last(), Some(&429));
    assert!((10..30).contains(&answers.len()), "{answers:?}");
    assert_eq!(alice.read_to_end(), b"", "further requests are not answered");
    let mut bob = Raw::connect_from(BOB, server.address());
    bob.send(UPGRADE.as_bytes());
    assert_eq!(bob.response().status, 101, "another address");
    let mut again = Raw::connect_from(ALICE, server.address());
    assert_eq!(again.response().status, 429, "a connection counts as a request");
}

#[test]
fn behind_a_proxy_each_address_has_its_own_rate() {
    let settings = Settings::new().set("HTTP_RATE", 1).set("HTTP_BURST", 5);
    let server = settings.set("TRUSTED_PROXIES", PROXY).start();
    let mut proxy = Raw::connect_from(PROXY, server.address());
    let mut ask = |client: &str| {
        let header = format!("X-Forwarded-For: {client}");
        proxy.send(request_text("GET", "/health", &[&header]).as_bytes());
        proxy.response().status
    };
    let answers: Vec<_> = (0..20).map(|_| ask("203.0.113.1")).collect();
    assert_eq!((answers[0], answers.contains(&429)), (200, true), "{answers:?}");
    assert_eq!(ask("203.0.113.2"), 200, "another address, over the same connection");
    let mut own = Raw::connect_from(PROXY, server.address());
    for _ in 0..20 {
        own.send(request_text("GET", "/health", &[]).as_bytes());
        assert_eq!(own.response().status, 200, "the proxy's own requests are not limited");
    }
}

#[test]
fn a_rate_limited_head_request_has_no_body() {
    let settings = Settings::new().set("HTTP_RATE", 1).set("HTTP_BURST", 1);
    let server = settings.set("TRUSTED_PROXIES", PROXY).start();
    let mut proxy = Raw::connect_from(PROXY, server.address());
    let mut head = |client: &str| {
        let header = format!("X-Forwarded-For: {client}");
        proxy.send(request_text("HEAD", "/health", &[&header]).as_bytes());
        proxy.head_response().status
    };
    let answers: Vec<_> = (0..5).map(|_| head("203.0.113.1")).collect();
    assert!(answers[1..].contains(&429), "{answers:?}");
    assert_eq!(head("203.0.113.2"), 200, "the next response follows directly");
}
