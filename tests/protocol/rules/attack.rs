//! Rule 9: an attacker stands, its vector is sent again when it walks on, and an attack without an end times out.

use std::time::Duration;

use game_client::{ClientMessage, Entry, ServerMessage, State, Vector};

use super::{OTHER, VIEWER, let_others_settle, pair};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, observe, poll_until, wait_for, wait_for_acks};

const ATTACK: ClientMessage = ClientMessage::Attack { aim: Some((512.0, 384.5)) };

/// A pair whose other player has walked right and attacks for the rest of the test.
fn attacking() -> (Server, Vec<Client>) {
    let server = Settings::new()
        .set("SYNC_INTERVAL_SEC", 300)
        .set("ATTACK_DURATION_MS", 60_000)
        .spawn_at(500, 500)
        .start();
    let mut clients = pair(&server);
    let other = clients[OTHER].id();
    clients[OTHER].send_short_move(Vector::RIGHT, 1);
    poll_until(&mut clients, "the replica to show the walk", |clients| {
        clients[VIEWER].vectors_since(0, other).last() == Some(&Vector::RIGHT)
    });
    clients[OTHER].send(&ATTACK);
    poll_until(&mut clients, "the replica to show the attack and the stop", |clients| {
        clients[VIEWER].vectors_since(0, other).last() == Some(&Vector::ZERO)
            && attack_of(&clients[VIEWER], other).is_some()
    });
    (server, clients)
}

/// Position of a player's attack, as sent to the viewer.
fn attack_of(viewer: &Client, player: u32) -> Option<(i32, i32)> {
    viewer.since(0).find_map(|message| match message {
        ServerMessage::Attack { id, x, y } if *id == player => Some((i32::from(*x), i32::from(*y))),
        _ => None,
    })
}

/// The entry of a player in the first `GAME_STATE` of a new client.
fn seen_by_newcomer(server: &Server, player: u32) -> Entry {
    let newcomer = Client::join(server);
    let ServerMessage::GameState(entries) = &newcomer.received[0].message else { panic!("no GAME_STATE") };
    *entries.iter().find(|entry| entry.id == player).expect("the player is listed")
}

#[test]
fn moves_of_an_attacker_are_acked_with_its_position() {
    let (_server, mut clients) = attacking();
    let other = clients[OTHER].id();
    let standing = attack_of(&clients[VIEWER], other).unwrap();
    let mark = clients[VIEWER].mark();
    for sequence in 2..6 {
        clients[OTHER].send_claim(Vector::RIGHT, sequence, standing.0 + 4, standing.1);
        clients[OTHER].send_short_move(Vector::DOWN, sequence + 100);
        wait_for_acks(&mut clients);
        assert_eq!(clients[OTHER].acknowledged(), standing);
        observe(&mut clients, Duration::from_millis(60));
    }
    assert_eq!(clients[VIEWER].vectors_since(mark, other), [], "the vectors of those MOVEs are ignored");
}

#[test]
fn a_newcomer_sees_only_an_attack_in_progress() {
    let (server, mut clients) = attacking();
    let other = clients[OTHER].id();
    let entry = seen_by_newcomer(&server, other);
    assert_eq!((entry.state, entry.vector), (State::Attacking, Vector::ZERO));
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send_short_move(Vector::ZERO, 2);
    wait_for_acks(&mut clients);
    assert_eq!(seen_by_newcomer(&server, other).state, State::Idle);
    clients[OTHER].send_short_move(Vector::UP, 3);
    wait_for_acks(&mut clients);
    assert_eq!(seen_by_newcomer(&server, other).state, State::Moving);
}

#[test]
fn the_same_vector_is_sent_again_after_an_attack() {
    let (_server, mut clients) = attacking();
    let (other, mark) = (clients[OTHER].id(), clients[VIEWER].mark());
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send_short_move(Vector::RIGHT, 2);
    poll_until(&mut clients, "the same vector again", |clients| {
        clients[VIEWER].vectors_since(mark, other) == [Vector::RIGHT]
    });
}

#[test]
fn an_attack_without_an_end_times_out() {
    let server = Settings::new().set("ATTACK_DURATION_MS", 500).spawn_at(500, 500).start();
    let mut attacker = Client::join(&server);
    attacker.send_short_move(Vector::RIGHT, 1);
    attacker.send(&ATTACK);
    attacker.send_short_move(Vector::RIGHT, 2);
    wait_for(&mut attacker, "the acks", Client::is_answered);
    let (standing, id) = (attacker.acknowledged(), attacker.id());
    let_others_settle(std::slice::from_mut(&mut attacker));
    wait_until("the end of the attack", || seen_by_newcomer(&server, id).state == State::Idle);
    attacker.send_short_move(Vector::ZERO, 3);
    wait_for(&mut attacker, "the ack", Client::is_answered);
    assert_eq!(attacker.acknowledged(), standing, "the attacker stands until it walks again");
    attacker.send_short_move(Vector::RIGHT, 4);
    wait_for(&mut attacker, "the ack", Client::is_answered);
    observe(std::slice::from_mut(&mut attacker), Duration::from_millis(200));
    attacker.send_short_move(Vector::ZERO, 5);
    wait_for(&mut attacker, "the ack", Client::is_answered);
    assert!(attacker.acknowledged().0 > standing.0, "the player walks after the attack");
}

#[test]
fn other_players_receive_the_position_of_an_attack() {
    let (_server, mut clients) = attacking();
    let position = attack_of(&clients[VIEWER], clients[OTHER].id()).unwrap();
    clients[OTHER].send_short_move(Vector::ZERO, 2);
    wait_for_acks(&mut clients);
    assert_eq!(position, clients[OTHER].acknowledged());
    let mark = clients[VIEWER].mark();
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send(&ClientMessage::Attack { aim: None });
    poll_until(&mut clients, "a second attack", |clients| {
        clients[VIEWER].count_since(mark, |message| matches!(message, ServerMessage::Attack { .. })) == 1
    });
}

#[test]
fn attack_ends_without_an_attack_are_no_errors() {
    let server = Server::start();
    let mut client = Client::join(&server);
    for _ in 0..10 {
        client.send(&ClientMessage::AttackEnd);
    }
    client.step(Vector::ZERO);
    wait_for(&mut client, "the ack of a later MOVE", Client::is_answered);
    assert_eq!(server.protocol_errors(), 0);
}
