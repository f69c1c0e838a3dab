//! WebSocket frames at any pace, and clients that read late. `conformance` tests frames of every kind.

use std::thread;

use game_client::{ClientMessage, ServerMessage, Vector};
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::raw::{BINARY, FIN, Raw, UPGRADE, masked};
use crate::support::{Client, Server, Settings, wait_for_acks};

fn short_move(sequence: u32) -> Vec<u8> {
    ClientMessage::Move { vector: Vector::ZERO, sequence, claim: None }.to_bytes().to_vec()
}

/// Skips messages up to the next `MOVE_ACK`, and returns its sequence number.
fn next_ack(raw: &mut Raw) -> u32 {
    loop {
        let frame = raw.next_frame_of(BINARY);
        assert_eq!(frame.first, FIN | BINARY, "the server does not fragment messages");
        let message = ServerMessage::decode(&frame.payload).expect("a message of the protocol");
        if let ServerMessage::MoveAck { sequence, .. } = message {
            return sequence;
        }
    }
}

#[test]
fn bytes_may_arrive_one_by_one_or_all_at_once() {
    let server = Server::start();
    let mut slow = Raw::connect(server.address());
    let bytes = [UPGRADE.as_bytes(), &masked(FIN | BINARY, &short_move(7))].concat();
    for byte in &bytes {
        slow.send(&[*byte]);
    }
    assert_eq!(slow.response().status, 101);
    assert_eq!(next_ack(&mut slow), 7);

    let mut fast = Raw::connect(server.address());
    let messages: Vec<_> = (0..40).flat_map(|count| masked(FIN | BINARY, &short_move(count))).collect();
    fast.send(&[UPGRADE.as_bytes(), &messages].concat());
    assert_eq!(fast.response().status, 101);
    for count in 0..40 {
        assert_eq!(next_ack(&mut fast), count);
    }
    assert_eq!(server.protocol_errors(), 0);
}

#[test]
fn a_client_that_reads_late_loses_no_ack_and_delays_no_other_client() {
    const MOVES: u32 = 60_000;
    let server = Settings::new()
        .set("RATE_LIMIT_MSG_SEC", 10_000)
        .set("RATE_LIMIT_BURST", 100_000)
        .set("WRITE_BUFFER_SIZE", 1_024)
        .start();
    let mut reader = Raw::upgraded(server.address());
    setsockopt(reader.stream(), sockopt::RcvBuf, &4_096).expect("a small receive buffer");
    let mut writer = reader.writer();
    let writing = thread::spawn(move || {
        for first in (0..MOVES).step_by(1_000) {
            let bytes: Vec<_> =
                (first..first + 1_000).flat_map(|count| masked(FIN | BINARY, &short_move(count))).collect();
            writer.send(&bytes);
        }
    });
    let mut other = [Client::join(&server)];
    for _ in 0..50 {
        other[0].step(Vector::ZERO);
        wait_for_acks(&mut other);
    }
    for count in 0..MOVES {
        assert_eq!(next_ack(&mut reader), count);
    }
    writing.join().expect("all bytes are written");
}
