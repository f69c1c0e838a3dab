//! The rate limit of a client: excess messages are dropped and counted; a persistent flood is closed.

use std::time::Duration;

use game_client::{ClientMessage, Facing, ReplicaOptions, Vector};

use crate::support::client::replica_options;
use crate::support::raw::{BINARY, CLOSE, FIN, PING, Raw, masked};
use crate::support::wait::wait_until;
use crate::support::{Client, Settings, observe, poll_until, wait_for};

#[test]
fn messages_over_the_rate_are_dropped_and_counted() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 1).set("RATE_LIMIT_BURST", 5).start();
    let options = ReplicaOptions { exceeds_rate: true, ..replica_options() };
    let mut clients = [Client::join_with(&server, options)];
    for sequence in 1..=12 {
        clients[0].send_short_move(Vector::ZERO, sequence);
    }
    // The last excess message is postponed until the allowance refills; the others are dropped.
    wait_for(&mut clients[0], "the last ack", Client::is_answered);
    let answered = clients[0].replica.own().answered;
    assert!((6..=8).contains(&answered), "{answered} of 12 MOVEs acked, with a burst of five");
    assert_eq!(server.count("rate_limited_total"), 12 - answered);
    assert_eq!(server.protocol_errors(), 0);
    assert!(!clients[0].ended, "a burst is no reason to close");
}

#[test]
fn postponed_messages_take_effect_without_further_input() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 5).set("RATE_LIMIT_BURST", 5).start();
    let mut clients = [Client::join(&server), Client::join(&server)];
    let id = clients[0].id();
    poll_until(&mut clients, "the player to enter the other replica", |clients| {
        clients[1].replica.remote(id).is_some_and(|remote| remote.is_shown)
    });
    // Within its allowance the player walks right. Above it, the player turns, stops and sends nothing more.
    for sequence in 1..=5 {
        clients[0].send_short_move(Vector::RIGHT, sequence);
    }
    clients[0].send(&ClientMessage::Direction(Facing::Left));
    clients[0].send_short_move(Vector::ZERO, 6);
    poll_until(&mut clients, "the stop and the turn in the other replica", |clients| {
        let remote = clients[1].replica.remote(id);
        remote.is_some_and(|remote| remote.vector == Vector::ZERO && remote.facing == Facing::Left)
            && clients[0].is_answered()
    });
    assert_eq!(server.count("rate_limited_total"), 0, "nothing is lost");
}

#[test]
fn acks_of_postponed_messages_are_written_before_frames_of_the_same_tick() {
    // A debug build of the server asserts the order: after a partial write of frames, acks would split one of them.
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 30).set("RATE_LIMIT_BURST", 1).start();
    let options = || ReplicaOptions { exceeds_rate: true, ..replica_options() };
    let mut clients = [Client::join_with(&server, options()), Client::join_with(&server, options())];
    for sequence in 1..=100 {
        for client in &mut clients {
            let vector = if sequence % 2 == 0 { Vector::RIGHT } else { Vector::LEFT };
            client.send_short_move(vector, sequence);
        }
        observe(&mut clients, Duration::from_millis(20));
    }
    poll_until(&mut clients, "the last acks", |clients| clients.iter().all(Client::is_answered));
    assert!(clients.iter().all(|client| !client.ended));
}

#[test]
fn a_postponed_message_is_dropped_when_the_player_leaves() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 1).set("RATE_LIMIT_BURST", 1).start();
    let mut client = Client::join(&server);
    for sequence in 1..=2 {
        client.send_short_move(Vector::ZERO, sequence);
    }
    client.send(&ClientMessage::Leave);
    wait_for(&mut client, "the Close", |client| client.close_code == Some(1000));
    wait_until("the postponed MOVE to be counted as dropped", || server.count("rate_limited_total") == 1);
}

#[test]
fn each_client_has_its_own_rate() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 1).set("RATE_LIMIT_BURST", 5).start();
    let mut clients = [Client::join(&server), Client::join(&server)];
    for _ in 0..20 {
        clients[0].send_payload(&[6]);
    }
    for _ in 0..5 {
        clients[1].step(Vector::ZERO);
    }
    wait_for(&mut clients[1], "all acks of the client within its rate", Client::is_answered);
}

/// Sends the bytes `first` and then `batch` again and again, until the server closes the flood.
fn assert_flood_is_closed(settings: &Settings, first: Vec<u8>, batch: Vec<u8>, pause: Duration) {
    let server = settings.start();
    let mut reader = Raw::upgraded(server.address());
    let mut writer = reader.writer();
    let flood = std::thread::spawn(move || {
        writer.send(&first);
        // Bounded, in case the server never closes.
        (0..2_000).all(|_| {
            std::thread::sleep(pause);
            writer.send(&batch)
        });
    });
    assert_eq!(reader.next_frame_of(CLOSE).payload[..2], 1008_u16.to_be_bytes());
    drop(reader);
    flood.join().expect("the flood ends");
    assert_eq!(server.metrics()["closed"]["flood"], 1);
}

#[test]
fn a_persistent_flood_is_closed_with_1008() {
    let slow = Settings::new().set("RATE_LIMIT_MSG_SEC", 10).set("RATE_LIMIT_BURST", 10);
    let messages = masked(FIN | BINARY, &[6]).repeat(100);
    assert_flood_is_closed(&slow, Vec::new(), messages, Duration::from_millis(5));
    assert_flood_is_closed(&slow, Vec::new(), masked(FIN | PING, b"x").repeat(100), Duration::ZERO);
    let empty_fragments = masked(0, &[]).repeat(500);
    assert_flood_is_closed(&Settings::new(), masked(BINARY, &[]), empty_fragments, Duration::ZERO);
}

#[test]
fn pings_over_the_rate_are_dropped_and_counted() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 1).set("RATE_LIMIT_BURST", 5).start();
    let mut clients = [Client::join(&server)];
    for n in 0..12 {
        clients[0].send_frame(PING, &[n]);
    }
    wait_for(&mut clients[0], "five pongs", |client| client.pongs.len() >= 5);
    observe(&mut clients, Duration::from_millis(200));
    let answered = clients[0].pongs.len() as u64;
    assert!((5..=7).contains(&answered), "{answered} of 12 pings answered, with a burst of five");
    assert_eq!(server.count("rate_limited_total"), 12 - answered);
    assert!(!clients[0].ended, "a burst is no reason to close");
}

#[test]
fn leave_is_accepted_above_the_rate() {
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 1).set("RATE_LIMIT_BURST", 5).start();
    let mut raw = Raw::upgraded(server.address());
    for _ in 0..10 {
        raw.send_frame(FIN | BINARY, &[6]);
    }
    raw.send_frame(FIN | BINARY, &[2]);
    assert_eq!(raw.close_code(), 1000);
}
