//! Rule 9: an attacker stands still, its walk resumes as news, and an attack ends even if nobody says so.

use std::time::Duration;

use game_client::{ClientMessage, Entry, ServerMessage, State, Vector};

use super::{OTHER, VIEWER, get_settled, pair};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, observe, poll_until, wait_for, wait_for_acks};

const ATTACK: ClientMessage = ClientMessage::Attack { aim: Some((512.0, 384.5)) };

/// A pair of which the other player attacks, having walked right, for as long as the test lasts.
fn attacking() -> (Server, Vec<Client>) {
    let server = Settings::new()
        .set("SYNC_INTERVAL_SEC", 300)
        .set("ATTACK_DURATION_MS", 60_000)
        .spawn_at(500, 500)
        .start();
    let mut clients = pair(&server);
    let other = clients[OTHER].id();
    clients[OTHER].send_short_move(Vector::RIGHT, 1);
    poll_until(&mut clients, "the walk on the picture", |clients| {
        clients[VIEWER].vectors_since(0, other).last() == Some(&Vector::RIGHT)
    });
    clients[OTHER].send(&ATTACK);
    poll_until(&mut clients, "the attack and the stop on the picture", |clients| {
        clients[VIEWER].vectors_since(0, other).last() == Some(&Vector::ZERO)
            && attack_of(&clients[VIEWER], other).is_some()
    });
    (server, clients)
}

/// Where the viewer was told that a player attacked.
fn attack_of(viewer: &Client, player: u32) -> Option<(i32, i32)> {
    viewer.since(0).find_map(|message| match message {
        ServerMessage::Attack { id, x, y } if *id == player => Some((i32::from(*x), i32::from(*y))),
        _ => None,
    })
}

/// How a player is listed in the first frame of somebody who joins now.
fn seen_by_newcomer(server: &Server, player: u32) -> Entry {
    let newcomer = Client::join(server);
    let ServerMessage::GameState(entries) = &newcomer.received[0].message else { panic!("no GAME_STATE") };
    *entries.iter().find(|entry| entry.id == player).expect("the player is listed")
}

#[test]
fn an_attacker_stands_still_and_its_moves_are_answered_with_where_it_stands() {
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
fn a_newcomer_sees_an_attack_under_way_and_not_one_that_ended() {
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
fn the_same_vector_after_an_attack_is_told_again() {
    let (_server, mut clients) = attacking();
    let (other, mark) = (clients[OTHER].id(), clients[VIEWER].mark());
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send_short_move(Vector::RIGHT, 2);
    poll_until(&mut clients, "the same vector again", |clients| {
        clients[VIEWER].vectors_since(mark, other) == [Vector::RIGHT]
    });
}

#[test]
fn an_attack_without_an_end_ends_by_itself() {
    let server = Settings::new().set("ATTACK_DURATION_MS", 500).spawn_at(500, 500).start();
    let mut attacker = Client::join(&server);
    attacker.send_short_move(Vector::RIGHT, 1);
    attacker.send(&ATTACK);
    attacker.send_short_move(Vector::RIGHT, 2);
    wait_for(&mut attacker, "the answers", Client::is_answered);
    let (standing, id) = (attacker.acknowledged(), attacker.id());
    get_settled(std::slice::from_mut(&mut attacker));
    wait_until("the end of the attack", || seen_by_newcomer(&server, id).state == State::Idle);
    attacker.send_short_move(Vector::ZERO, 3);
    wait_for(&mut attacker, "the answer", Client::is_answered);
    assert_eq!(attacker.acknowledged(), standing, "it stands until it walks again");
    attacker.send_short_move(Vector::RIGHT, 4);
    wait_for(&mut attacker, "the answer", Client::is_answered);
    observe(std::slice::from_mut(&mut attacker), Duration::from_millis(200));
    attacker.send_short_move(Vector::ZERO, 5);
    wait_for(&mut attacker, "the answer", Client::is_answered);
    assert!(attacker.acknowledged().0 > standing.0, "it walks after the attack");
}

#[test]
fn the_others_are_told_where_an_attack_took_place() {
    let (_server, mut clients) = attacking();
    let told = attack_of(&clients[VIEWER], clients[OTHER].id()).unwrap();
    clients[OTHER].send_short_move(Vector::ZERO, 2);
    wait_for_acks(&mut clients);
    assert_eq!(told, clients[OTHER].acknowledged());
    let mark = clients[VIEWER].mark();
    clients[OTHER].send(&ClientMessage::AttackEnd);
    clients[OTHER].send(&ClientMessage::Attack { aim: None });
    poll_until(&mut clients, "a second attack", |clients| {
        clients[VIEWER].count_since(mark, |message| matches!(message, ServerMessage::Attack { .. })) == 1
    });
}

#[test]
fn ends_of_attacks_that_never_were_are_no_errors() {
    let server = Server::start();
    let mut client = Client::join(&server);
    for _ in 0..10 {
        client.send(&ClientMessage::AttackEnd);
    }
    client.step(Vector::ZERO);
    wait_for(&mut client, "the answer to a MOVE behind them", Client::is_answered);
    assert_eq!(server.protocol_errors(), 0);
}
