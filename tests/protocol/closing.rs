//! Closing a connection, from either side.

use game_client::{ClientMessage, Facing, ServerMessage, Vector};

use crate::support::raw::{BINARY, CLOSE, FIN, Raw, masked};
use crate::support::{Client, Server, Settings, wait_for};

#[test]
fn leave_closes_with_1000() {
    let server = Server::start();
    let mut raw = Raw::upgraded(server.address());
    raw.send_frame(FIN | BINARY, &ClientMessage::Leave.to_bytes());
    assert_eq!(raw.close_code(), 1000);
}

#[test]
fn frames_after_a_close_are_ignored() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 300).start();
    let mut viewer = Client::join(&server);
    let mut raw = Raw::upgraded(server.address());
    wait_for(&mut viewer, "the second player to enter", |viewer| viewer.sees(1002));
    let turn = masked(FIN | BINARY, &ClientMessage::Direction(Facing::Left).to_bytes());
    let close = masked(FIN | CLOSE, &1000_u16.to_be_bytes());
    raw.send(&[&close[..], &turn, &masked(FIN | BINARY, &[99])].concat());
    assert_eq!(raw.close_code(), 1000);
    wait_for(&mut viewer, "the second player to leave", |viewer| viewer.leaves_since(0, 1002) == 1);
    let is_turn = |message: &ServerMessage| matches!(message, ServerMessage::Direction { .. });
    assert_eq!(viewer.count_since(0, is_turn), 0);
    assert_eq!(server.protocol_errors(), 0);
}

#[test]
fn a_client_that_still_sends_receives_the_close_code() {
    let server = Server::start();
    let mut raw = Raw::upgraded(server.address());
    let step = ClientMessage::Move { vector: Vector::ZERO, sequence: 1, claim: None }.to_bytes();
    raw.send_frame(FIN | BINARY, &ClientMessage::Leave.to_bytes());
    for _ in 0..200 {
        raw.send_frame(FIN | BINARY, &step);
    }
    assert_eq!(raw.close_code(), 1000, "a reset must not discard the code");
}

#[test]
fn a_closed_connection_frees_its_slot() {
    let server = Settings::new().set("MAX_CONNECTIONS", 1).start();
    for round in 0..5 {
        let mut client = Client::join(&server);
        assert_eq!(client.id(), 1001 + round);
        client.close(None);
        wait_for(&mut client, "the end of the connection", |client| client.ended);
        server.wait_for_players(0);
    }
}

#[test]
fn a_message_and_a_fin_in_one_segment_are_both_processed() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 300).start();
    for _ in 0..10 {
        let mut raw = Raw::upgraded(server.address());
        raw.send_frame(FIN | BINARY, &[4, 255]);
        raw.shut_down_write();
        server.wait_for_players(0);
    }
    assert_eq!(server.protocol_errors(), 0);
}
