//! WebSocket frames: invalid framing closes the connection with the matching code.

use std::thread;

use game_client::{ClientMessage, ServerMessage, Vector};
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, UPGRADE, masked};
use crate::support::{Client, Server, Settings, wait_for_acks};

/// The reserved bits of a frame's first byte.
const RESERVED: [u8; 3] = [0x40, 0x20, 0x10];

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

/// The close code of the server after these bytes.
fn code_after(server: &Server, bytes: &[u8]) -> u16 {
    let mut raw = Raw::upgraded(server.address());
    raw.send(bytes);
    raw.close_code()
}

#[test]
fn framing_errors_close_with_1002() {
    let server = Server::start();
    let payload = short_move(1);
    let unmasked = [&[FIN | BINARY, payload.len() as u8], &payload[..]].concat();
    let mut wrong = vec![("an unmasked frame".to_owned(), unmasked)];
    for bit in RESERVED {
        wrong.push((format!("reserved bit {bit:#x}"), masked(FIN | bit | BINARY, &payload)));
    }
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        wrong.push((format!("opcode {opcode:#x}"), masked(FIN | opcode, b"")));
    }
    wrong.push(("a fragmented ping".to_owned(), masked(PING, b"part")));
    wrong.push(("a ping of 126 bytes".to_owned(), masked(FIN | PING, &[0; 126])));
    wrong.push(("a continuation without a first fragment".to_owned(), masked(FIN | CONTINUATION, &payload)));
    let interrupted = [masked(BINARY, &payload[..2]), masked(FIN | BINARY, &payload)].concat();
    wrong.push(("a message inside a fragmented one".to_owned(), interrupted));
    for (what, bytes) in wrong {
        assert_eq!(code_after(&server, &bytes), 1002, "{what}");
    }
}

#[test]
fn a_text_message_closes_with_1003() {
    let server = Server::start();
    assert_eq!(code_after(&server, &masked(FIN | TEXT, b"hello")), 1003);
    assert_eq!(code_after(&server, &masked(FIN | TEXT, b"")), 1003);
    let fragments = [masked(TEXT, b"hel"), masked(FIN | CONTINUATION, b"lo")].concat();
    assert_eq!(code_after(&server, &fragments), 1003);
}

#[test]
fn a_message_longer_than_64_bytes_closes_with_1009() {
    let server = Server::start();
    assert_eq!(code_after(&server, &masked(FIN | BINARY, &[3; 65])), 1009);
    assert_eq!(code_after(&server, &masked(FIN | BINARY, &vec![3; 100_000])), 1009);
    let fragments = [masked(BINARY, &[3; 40]), masked(FIN | CONTINUATION, &[3; 40])].concat();
    assert_eq!(code_after(&server, &fragments), 1009);
    // The announced length alone is enough; the client need not send 2^63 bytes.
    let huge = [&[FIN | BINARY, 0xff, 0x7f], &[0xff; 7][..], &[0; 4]].concat();
    assert_eq!(code_after(&server, &huge), 1009);
}

#[test]
fn a_ping_may_come_between_fragments() {
    let server = Server::start();
    let mut raw = Raw::upgraded(server.address());
    let payload = short_move(41);
    raw.send_frame(BINARY, &payload[..1]);
    raw.send_frame(CONTINUATION, b"");
    raw.send_frame(FIN | PING, b"are you there?");
    raw.send_frame(FIN | CONTINUATION, &payload[1..]);
    assert_eq!(raw.next_frame_of(PONG).payload, b"are you there?");
    assert_eq!(next_ack(&mut raw), 41);
}

#[test]
fn a_ping_of_the_largest_size_is_answered_with_its_payload() {
    let server = Server::start();
    let mut raw = Raw::upgraded(server.address());
    raw.send_frame(FIN | PING, &[0x5a; 125]);
    assert_eq!(raw.next_frame_of(PONG).payload, [0x5a; 125]);
    raw.send_frame(FIN | PONG, b"unsolicited");
    raw.send_frame(FIN | BINARY, &short_move(1));
    assert_eq!(next_ack(&mut raw), 1);
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
