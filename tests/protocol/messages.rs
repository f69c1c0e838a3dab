//! Game messages: valid ones in both directions, and malformed ones, which are only counted.

use game_client::{ClientMessage, Facing, ServerMessage, Vector};

use crate::support::client::replica_options;
use crate::support::{Client, Server, Settings, observe, poll_until, wait_for, wait_for_acks};

const VIEWER: usize = 0;
const OTHER: usize = 1;

fn short_move(packed: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0; length];
    payload[0] = 3;
    payload[1] = packed;
    payload
}

/// Messages that the server must count as protocol errors, with a description.
fn invalid_messages() -> Vec<(&'static str, Vec<u8>)> {
    let mut messages = vec![("empty", vec![])];
    for kind in [0, 7, 8, 9, 10, 11, 12, 14, 0x20, 0x7f, 0x80, 253, 254, 255] {
        messages.push(("unknown type", vec![kind]));
    }
    messages.push(("unknown type at the maximum length", vec![99; 64]));
    messages.extend([
        ("JOIN with an extra byte", vec![1, 0]),
        ("LEAVE with an extra byte", vec![2, 0]),
        ("DIRECTION without a side", vec![4]),
        ("DIRECTION to side 0", vec![4, 0]),
        ("DIRECTION to side 2", vec![4, 2]),
        ("DIRECTION to side -2", vec![4, 254]),
        ("DIRECTION with an extra byte", vec![4, 255, 0]),
        ("ATTACK_END with an extra byte", vec![6, 0]),
        ("VIEWPORT without a size", vec![13]),
        ("VIEWPORT with a byte missing", vec![13, 100, 0, 100]),
        ("VIEWPORT with an extra byte", vec![13, 100, 0, 100, 0, 0]),
    ]);
    for length in [2, 5, 7, 13, 15, 64] {
        messages.push(("MOVE of a wrong length", short_move(6, length)));
    }
    // dx of 3, dy of 3, and each of the upper bits, which must be zero.
    for packed in [0x07, 0x0d, 0x0f, 0x15, 0x25, 0x45, 0x85] {
        messages.push(("short MOVE with an invalid vector", short_move(packed, 6)));
        messages.push(("MOVE with an invalid vector", short_move(packed, 14)));
    }
    for length in [2, 5, 8, 10] {
        let mut payload = vec![0; length];
        payload[0] = 5;
        messages.push(("ATTACK of a wrong length", payload));
    }
    messages
}

#[test]
fn invalid_messages_are_counted_and_ignored() {
    let server = Settings::new()
        .set("SYNC_INTERVAL_SEC", 300)
        .set("RATE_LIMIT_MSG_SEC", 10_000)
        .set("RATE_LIMIT_BURST", 10_000)
        .start();
    let mut clients = vec![Client::join(&server), Client::join(&server)];
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player to enter", |clients| clients[VIEWER].sees(other));
    let (mark, before) = (clients[VIEWER].mark(), clients[OTHER].position());
    for (count, (wrong, payload)) in invalid_messages().iter().enumerate() {
        clients[OTHER].send_payload(payload);
        // The ack of the valid MOVE that follows proves that the message closed nothing and got no reply.
        clients[OTHER].send_short_move(Vector::ZERO, count as u32 + 1);
        wait_for_acks(&mut clients);
        assert_eq!(server.protocol_errors(), count as u64 + 1, "{wrong}: {payload:?}");
    }
    assert_eq!(clients[OTHER].acknowledged(), before);
    let received: Vec<_> = clients[VIEWER].since(mark).collect();
    assert!(received.is_empty(), "the viewer received {received:?}");
    assert!(!clients[OTHER].ended);
}

#[test]
fn every_valid_client_message_is_accepted() {
    let server = Server::start();
    let mut client = Client::join(&server);
    let messages = [
        ClientMessage::Join,
        ClientMessage::Direction(Facing::Left),
        ClientMessage::Direction(Facing::Right),
        ClientMessage::Attack { aim: Some((f32::NAN, f32::NEG_INFINITY)) },
        ClientMessage::Attack { aim: None },
        ClientMessage::AttackEnd,
        ClientMessage::Viewport { width: 800, height: 600 },
        ClientMessage::Viewport { width: 0, height: u16::MAX },
        ClientMessage::Move { vector: Vector::ZERO, sequence: 0, claim: Some((u32::MAX, u32::MAX)) },
        ClientMessage::Move { vector: Vector::ZERO, sequence: u32::MAX, claim: None },
    ];
    for message in &messages {
        client.send(message);
    }
    wait_for(&mut client, "both acks", Client::is_answered);
    assert_eq!(server.protocol_errors(), 0);
    assert_eq!(client.visible(), [] as [u32; 0], "JOIN creates no second player");
    assert_eq!(server.count("players"), 1);
}

#[test]
fn a_repeated_sequence_number_is_acked_every_time() {
    let server = Server::start();
    let mut client = Client::join(&server);
    for _ in 0..3 {
        client.send_short_move(Vector::ZERO, 7);
    }
    wait_for(&mut client, "three acks", |client| client.replica.own().answered == 3);
}

#[test]
fn every_server_message_reaches_a_viewer() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 1).spawn_at(300, 400).start();
    let mut clients = vec![Client::join(&server), Client::connect(&server, replica_options())];
    poll_until(&mut clients, "the other player's id", |clients| clients[OTHER].replica.own_id().is_some());
    let other = clients[OTHER].id();
    poll_until(&mut clients, "JOINED", |clients| {
        clients[VIEWER].count_since(0, |message| match message {
            ServerMessage::Joined(entry) => {
                (entry.id, entry.x, entry.y, entry.facing) == (other, 300, 400, Facing::Right)
            }
            _ => false,
        }) == 1
    });
    let own = clients[VIEWER].id();
    let exchanges = [
        (
            OTHER,
            ClientMessage::Direction(Facing::Left),
            ServerMessage::Direction { id: other, facing: Facing::Left },
        ),
        (OTHER, ClientMessage::Attack { aim: None }, ServerMessage::Attack { id: other, x: 300, y: 400 }),
        (
            VIEWER,
            ClientMessage::Move { vector: Vector::ZERO, sequence: 77, claim: None },
            ServerMessage::MoveAck { id: own, x: 300, y: 400, sequence: 77 },
        ),
    ];
    for (sender, sent, expected) in exchanges {
        clients[sender].send(&sent);
        poll_until(&mut clients, &format!("{expected:?}"), |clients| {
            clients[VIEWER].count_since(0, |message| *message == expected) > 0
        });
    }
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send_short_move(Vector::LEFT, 9);
    poll_until(&mut clients, "MOVEMENT", |clients| {
        clients[VIEWER].vectors_since(0, other).last() == Some(&Vector::LEFT)
    });
    poll_until(&mut clients, "a second GAME_STATE", |clients| clients[VIEWER].game_states_since(1) > 0);
    let mut leaver = clients.pop().unwrap();
    leaver.send(&ClientMessage::Leave);
    poll_until(&mut clients, "LEFT", |clients| clients[VIEWER].leaves_since(0, other) == 1);
    observe(&mut clients, std::time::Duration::from_millis(100));
}
