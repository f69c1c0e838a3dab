//! Simultaneous upgrades: the server reserves a slot before it accepts an upgrade.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use crate::support::http::Response;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::{Server, Settings};

const PLACES: usize = 50;
const THREADS: usize = 4;

/// Requests `count` upgrades at once on several threads, and returns the accepted ones.
fn storm(address: SocketAddr, count: usize) -> Vec<Raw> {
    let barrier = Barrier::new(THREADS);
    let ask = || {
        let mut sockets: Vec<_> = (0..count / THREADS).map(|_| Raw::connect(address)).collect();
        let (head, last) = UPGRADE.split_at(UPGRADE.len() - 1);
        for socket in &mut sockets {
            socket.send(head.as_bytes());
        }
        barrier.wait();
        for socket in &mut sockets {
            socket.send(last.as_bytes());
        }
        let answered = sockets.into_iter().map(|mut socket| {
            let response = socket.response();
            (socket, response)
        });
        answered.collect::<Vec<_>>()
    };
    let answers: Vec<(Raw, Response)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(answers.len(), count);
    let (granted, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, response)| response.status == 101);
    for (_, response) in refused {
        assert!(response.status == 503 && !response.text().trim().is_empty(), "{response:?}");
        assert!(response.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    granted.into_iter().map(|(socket, _)| socket).collect()
}

fn refused(server: &Server) -> u64 {
    server.metrics()["refused"]["full"].as_u64().expect("a count")
}

#[test]
fn simultaneous_upgrades_fill_exactly_all_slots() {
    let server = Settings::new().set("MAX_CONNECTIONS", PLACES).start();
    let mut inside = storm(server.address(), 400);
    assert_eq!(inside.len(), PLACES);
    assert_eq!(refused(&server), 350);
    assert_eq!(server.count("players"), PLACES as u64);
    assert_eq!(server.metrics()["connections"]["upgraded_total"], PLACES as u64);

    let left = 17;
    inside.truncate(PLACES - left);
    server.wait_for_players((PLACES - left) as u64);
    let newcomers = storm(server.address(), 200);
    assert_eq!(newcomers.len(), left, "each freed slot is taken once");
    assert_eq!(refused(&server), 350 + 200 - left as u64);
    assert_eq!(server.count("players"), PLACES as u64);
}
