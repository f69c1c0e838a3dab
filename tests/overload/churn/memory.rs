//! Thousands of raw connections in batches, and the server's memory and descriptors after them.

use super::{assert_counts_add_up, wait_for_descriptors};
use crate::support::Server;
use crate::support::raw::{BINARY, CLOSE, FIN, Raw, UPGRADE, reset};

/// Simultaneous connections.
const BATCH: usize = 100;

/// Batches before the first measurement, after which buffers and tables have reached their sizes.
const WARM_UP_BATCHES: usize = 10;

/// Batches between the first and the last measurement.
const BATCHES: usize = 50;

/// Most growth in between, in bytes: 256 per connection, less than any part of a connection's state.
const GROWTH_MAX: u64 = (BATCH * BATCHES) as u64 * 256;

const LEAVE: [u8; 1] = [2];

/// Connects a batch and disconnects it in different ways.
fn come_and_go(server: &Server) {
    let mut all: Vec<Raw> = (0..BATCH).map(|_| Raw::connect(server.address())).collect();
    for raw in &mut all {
        raw.send(UPGRADE.as_bytes());
    }
    for (index, mut raw) in all.into_iter().enumerate() {
        // One in five does not wait for the response.
        if index % 5 < 4 {
            assert_eq!(raw.head_response().status, 101);
        }
        match index % 5 {
            0 => raw.send_frame(FIN | CLOSE, &1001_u16.to_be_bytes()),
            1 => raw.send_frame(FIN | BINARY, &LEAVE),
            2 => raw.shut_down_write(),
            _ => reset(raw.stream()),
        }
    }
    assert_counts_add_up(server, 0);
}

#[test]
fn memory_and_descriptors_are_flat_over_thousands_of_connections() {
    let server = Server::start();
    let descriptors = server.descriptors();
    for _ in 0..WARM_UP_BATCHES {
        come_and_go(&server);
    }
    let before = server.count("resident_bytes");
    for _ in 0..BATCHES {
        come_and_go(&server);
    }
    let after = server.count("resident_bytes");
    assert!(after <= before + GROWTH_MAX, "{before} bytes grew to {after}");
    wait_for_descriptors(&server, descriptors);
}
