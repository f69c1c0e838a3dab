//! Hundreds of HTTP connections lock out no player and no health check, and no progressing response is cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use game_client::Vector;
use pixi_game_server::limits::{HTTP_CONNECTIONS_MAX, HTTP_RESERVED_MAX};

use super::connect_narrow;
use crate::support::http::{get, request_text};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, wait_for_acks};

/// Slots that any HTTP connection may take.
const COMMON: usize = HTTP_CONNECTIONS_MAX - HTTP_RESERVED_MAX;

const ALICE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);

fn send_request(raw: &mut Raw, path: &str) -> bool {
    raw.send(request_text("GET", path, &[]).as_bytes())
}

fn is_answered(raw: &mut Raw) -> bool {
    send_request(raw, "/health") && raw.response().status == 200
}

/// Reads a response in pieces with pauses. Returns the length of its body.
fn read_slowly(address: SocketAddr, piece: usize, pause: Duration) -> usize {
    let mut raw = Raw::connect(address);
    send_request(&mut raw, "/file.bin");
    let head = raw.head_response();
    assert_eq!(head.status, 200);
    let length = head.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
    raw.read_slowly(length, piece, pause)
}

#[test]
fn keepalive_connections_lock_out_neither_players_nor_health() {
    let server = Server::start();
    let mut idle: Vec<_> = (0..COMMON).map(|_| Raw::connect(server.address())).collect();
    for _ in 0..3 {
        assert!(idle.iter_mut().all(is_answered), "each connection sends several requests");
    }
    let mut clients = [Client::join(&server), Client::join(&server)];
    clients[0].step(Vector::RIGHT);
    wait_for_acks(&mut clients);
    server.assert_healthy();
    let metrics = server.metrics();
    assert_eq!(metrics["refused"]["full"], 0, "{metrics}");
    assert_eq!(metrics["refused"]["handshake_displaced"], 0, "{metrics}");
    // Each upgrade freed the HTTP slot for the next connection.
    assert!(metrics["connections"]["idle_displaced_total"].as_u64() > Some(0), "{metrics}");
    // The first connection had been idle the longest.
    assert_eq!(idle[0].read_to_end(), b"");
    assert!(is_answered(&mut idle[COMMON - 1]));
}

#[test]
fn an_address_at_its_limit_replaces_its_own_connections() {
    let server = Settings::new().set("HTTP_CONNS_PER_IP", 10).start();
    let mut bob = Raw::connect_from(BOB, server.address());
    assert!(is_answered(&mut bob));
    let mut alices: Vec<_> = (0..30)
        .map(|_| {
            let mut alice = Raw::connect_from(ALICE, server.address());
            assert!(is_answered(&mut alice));
            alice
        })
        .collect();
    for gone in &mut alices[..20] {
        assert_eq!(gone.read_to_end(), b"");
    }
    assert!(alices[20..].iter_mut().all(is_answered));
    assert!(is_answered(&mut bob), "the oldest connection belongs to another address");
    let mut player = Raw::connect_from(ALICE, server.address());
    player.send(UPGRADE.as_bytes());
    assert_eq!(player.response().status, 101);
    let metrics = server.metrics();
    assert_eq!(metrics["connections"]["idle_displaced_total"], 21, "{metrics}");
}

#[test]
fn an_address_with_all_responses_in_progress_is_refused() {
    let settings = Settings::new().set("HTTP_CONNS_PER_IP", 3);
    let server = settings.start_with_file("under-way", 4 << 20);
    let mut alices: Vec<_> = (0..3).map(|_| Raw::connect_from(ALICE, server.address())).collect();
    for alice in &mut alices {
        send_request(alice, "/file.bin");
        assert_eq!(alice.head_response().status, 200);
    }
    let mut more = Raw::connect_from(ALICE, server.address());
    let refused = more.response();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")), "{refused:?}");
    assert!(is_answered(&mut Raw::connect_from(BOB, server.address())));
    assert_eq!(server.metrics()["refused"]["address_connections"], 1);
}

#[test]
fn silent_connections_do_not_cut_a_slow_download() {
    const LENGTH: usize = 2 << 20;
    let server = Settings::new().start_with_file("slow-download", LENGTH);
    let address = server.address();
    let download = thread::spawn(move || read_slowly(address, 64 << 10, Duration::from_millis(50)));
    wait_until("the download", || server.metrics()["write_stalls_total"].as_u64() > Some(0));
    let silent: Vec<_> = (0..HTTP_CONNECTIONS_MAX + 30).map(|_| Raw::connect(address)).collect();
    assert_eq!(download.join().expect("a reader"), LENGTH);
    let refused = &server.metrics()["refused"];
    assert!(refused["handshake_displaced"].as_u64() >= Some(30), "{refused}");
    assert_eq!(refused["full"], 0, "{refused}");
    drop(silent);
}

#[test]
fn visitors_with_six_slow_connections_each_receive_everything() {
    const LENGTH: usize = 256 << 10;
    let server = Settings::new().start_with_file("visitors", LENGTH);
    let address = server.address();
    let visitors: Vec<_> = (0..60)
        .map(|_| {
            // Like browsers: six keep-alive connections, each for several files.
            thread::spawn(move || {
                let reader = || read_slowly(address, 16 << 10, Duration::from_millis(20));
                thread::scope(|scope| {
                    let readers: Vec<_> = (0..6).map(|_| scope.spawn(reader)).collect();
                    readers.into_iter().map(|reader| reader.join().expect("a reader")).sum::<usize>()
                })
            })
        })
        .collect();
    for visitor in visitors {
        assert_eq!(visitor.join().expect("a visitor"), 6 * LENGTH);
    }
    let metrics = server.metrics();
    assert_eq!(metrics["answers_cut"], serde_json::json!({"stalled": 0, "slow": 0, "displaced": 0}));
}

#[test]
fn health_and_metrics_are_answered_while_every_slot_is_busy() {
    let server = Settings::new().start_with_file("every-place", 1 << 20);
    let address = server.address();
    let stalled: Vec<_> = (0..COMMON)
        .map(|_| {
            let mut raw = Raw::over(connect_narrow(address));
            send_request(&mut raw, "/file.bin");
            assert_eq!(raw.head_response().status, 200);
            raw
        })
        .collect();
    for path in ["/health", "/metrics", "/metrics/prometheus"] {
        let answer = get(address, path);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{path}");
    }
    for (request, retry) in [(UPGRADE.to_owned(), "5"), (request_text("GET", "/file.bin", &[]), "5")] {
        let refused = Raw::exchange(address, request);
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some(retry)), "{refused:?}");
        assert!(refused.header("date").is_some(), "{refused:?}");
    }
    drop(stalled);
    wait_until("free slots", || get(address, "/file.bin").status == 200);
}
