//! Bytes that arrive one by one: endless heads and upgrades are dropped, complete frames are processed.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{iter, thread};

use game_client::Vector;
use pixi_game_server::limits::{HTTP_CONNECTIONS_MAX, HTTP_RESERVED_MAX};

use crate::support::http::get;
use crate::support::raw::{BINARY, CLOSE, FIN, Raw, UPGRADE, masked};
use crate::support::wait::{poll_until_within, wait_until};
use crate::support::{Client, DEADLINE, Server, Settings, wait_for_acks};

/// Time between two bytes. At this pace, a whole head takes longer than every deadline.
const BYTE_INTERVAL: Duration = Duration::from_millis(250);

/// Sends a head byte by byte until the server closes the connection. Returns the response.
fn trickle(address: SocketAddr, head: &'static str) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut raw = Raw::connect(address);
        raw.stream().set_read_timeout(Some(BYTE_INTERVAL)).expect("a read timeout");
        let start = Instant::now();
        for byte in head.bytes().chain(iter::repeat(b'a')) {
            raw.send(&[byte]);
            match std::io::Read::read(&mut raw.stream(), &mut [0; 64]) {
                Ok(0) => return Vec::new(),
                Ok(count) => return vec![0; count],
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Vec::new(),
                Err(_) => assert!(start.elapsed() < DEADLINE, "a slow peer was never dropped"),
            }
        }
        unreachable!("the head has no end")
    })
}

#[test]
fn slow_heads_and_upgrades_are_dropped_at_the_deadline() {
    let server = Server::start();
    let mut clients = [Client::join(&server)];
    let before = server.descriptors();
    // After a completed request a connection stays open longer than a head may take, as browsers expect.
    let mut idle = Raw::connect(server.address());
    idle.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let slow: Vec<_> = (0..20)
        .map(|n| {
            trickle(server.address(), if n % 2 == 0 { "GET /health HTTP/1.1\r\nX-Filler: " } else { UPGRADE })
        })
        .collect();
    poll_until_within(DEADLINE, &mut clients, "the slow peers to be dropped", |_| {
        slow.iter().all(thread::JoinHandle::is_finished)
    });
    for peer in slow {
        assert!(peer.join().unwrap().is_empty(), "a slow peer was answered");
    }
    idle.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.response().status, 200, "the idle connection stays open");
    drop(idle);
    assert_eq!(server.metrics()["refused"]["handshake_timeout"], 20);
    wait_until("the slow peers' descriptors", || server.descriptors() <= before);
    assert!(!clients[0].ended);
}

#[test]
fn more_slow_heads_than_slots_lock_out_no_client() {
    const MORE: usize = 50;
    let server = Server::start();
    let mut slow: Vec<_> = (0..HTTP_CONNECTIONS_MAX + MORE).map(|_| Raw::connect(server.address())).collect();
    for raw in slow.iter_mut().skip(2 * MORE).step_by(2) {
        raw.send(b"GET /ws HT");
    }
    assert_eq!(get(server.address(), "/health").status, 200, "the next connection has a slot");
    let mut clients = [Client::join(&server), Client::join(&server)];
    clients[0].step(Vector::RIGHT);
    wait_for_acks(&mut clients);
    let refused = &server.metrics()["refused"];
    assert_eq!(refused["full"], 0, "{refused}");
    let displaced = MORE + HTTP_RESERVED_MAX + 1;
    assert!(refused["handshake_displaced"].as_u64() >= Some(displaced as u64), "{refused}");
    assert_eq!(refused["handshake_timeout"], 0);
    assert_eq!(slow[0].read_to_end(), b"", "the oldest connection was closed");
}

#[test]
fn an_incomplete_frame_does_not_keep_a_connection_alive() {
    let server = Settings::new().set("PING_INTERVAL_SEC", 1).set("IDLE_TIMEOUT_SEC", 2).start();
    let mut reader = Raw::upgraded(server.address());
    let mut writer = reader.writer();
    let trickle = thread::spawn(move || {
        // Sixty-four bytes at twice this pace take longer than the idle timeout.
        for byte in masked(FIN | BINARY, &[6; 64]) {
            if !writer.send(&[byte]) {
                return;
            }
            thread::sleep(BYTE_INTERVAL / 2);
        }
    });
    let close = reader.next_frame_of(CLOSE);
    assert_eq!(close.payload[..2], 1001_u16.to_be_bytes());
    assert_eq!(server.metrics()["closed"]["idle"], 1);
    drop(reader);
    trickle.join().unwrap();
}
