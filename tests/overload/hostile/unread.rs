//! Peers that do not read: the server bounds their pending acks and stops reading their input. They lose nothing if they
//! read again, and are dropped if they don't.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::{GROWTH_BYTES_MAX, connect_narrow, moves};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, DEADLINE, Settings};

/// Messages per second, so that acks accumulate within seconds. The burst is a part of the backlog.
const RATE: u32 = 2_000;
const BURST: u32 = 400;

/// MOVEs sent while no ack is read, in portions at three quarters of the rate.
const MOVES: u32 = 6_000;
const PORTION: u32 = 100;
const PORTION_INTERVAL: Duration = Duration::from_millis(67);

#[test]
fn acks_are_capped_and_complete_when_the_peer_reads_again() {
    let settings = Settings::new().set("RATE_LIMIT_MSG_SEC", RATE).set("RATE_LIMIT_BURST", BURST);
    let server = settings.start();
    let before = server.resident_bytes();
    let stream = connect_narrow(server.address());
    let mut reader = Raw::over(stream);
    reader.send(UPGRADE.as_bytes());
    assert_eq!(reader.response().status, 101);
    let mut writer = reader.writer();
    let sender = thread::spawn(move || {
        let start = Instant::now();
        for portion in 0..MOVES / PORTION {
            let due = PORTION_INTERVAL * portion;
            thread::sleep(due.saturating_sub(start.elapsed()));
            assert!(writer.send(&moves(portion * PORTION + 1..(portion + 1) * PORTION + 1)));
        }
    });
    sender.join().unwrap();
    let read = server.count("messages_in_total");
    assert!(read < u64::from(MOVES), "all {read} MOVEs were read from a peer that reads no acks");
    assert!(server.count("write_stalls_total") > 0);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");

    let mut expected = 1;
    while expected <= MOVES {
        let payload = reader.frame().expect("the connection is open").payload;
        if payload.first() == Some(&8) {
            let sequence = u32::from_le_bytes(payload[9..13].try_into().expect("four bytes"));
            assert_eq!(sequence, expected, "{} MOVEs were dropped", server.count("rate_limited_total"));
            expected += 1;
        }
    }
    assert_eq!(server.count("rate_limited_total"), 0);
}

#[test]
fn a_peer_that_never_reads_is_dropped_without_affecting_others() {
    const PEERS: usize = 8;
    let settings = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 100_000);
    let server = settings.set("WRITE_STALL_SEC", 1).start();
    let mut client = [Client::join(&server)];
    let (before, open) = (server.resident_bytes(), server.descriptors());
    let flood = moves(1..5_000);
    let peers: Vec<_> = (0..PEERS)
        .map(|_| {
            let mut raw = Raw::over(connect_narrow(server.address()));
            raw.send(UPGRADE.as_bytes());
            let flood = flood.clone();
            thread::spawn(move || {
                raw.stream().set_nonblocking(true).expect("a non-blocking socket");
                let start = Instant::now();
                loop {
                    match raw.stream().write(&flood) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                    assert!(start.elapsed() < DEADLINE, "a peer that never reads was never dropped");
                    thread::sleep(Duration::from_millis(5));
                }
            })
        })
        .collect();
    let mut sequence = 0;
    crate::support::poll_until(&mut client, "the peers that do not read to be dropped", |clients| {
        if clients[0].is_answered() {
            sequence += 1;
            clients[0].send_short_move(game_client::Vector::RIGHT, sequence);
        }
        peers.iter().all(thread::JoinHandle::is_finished)
    });
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(server.metrics()["closed"]["stalled"], PEERS as u64);
    assert!(sequence > 1 && !client[0].ended, "{client:?}");
    wait_until("their descriptors", || server.descriptors() <= open);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
}
