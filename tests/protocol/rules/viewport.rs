//! Rules 5 and 11: without a VIEWPORT a client sees the whole world, with one a rectangle with hysteresis.

use std::time::Duration;

use game_client::{ClientMessage, ServerMessage, Vector};

use super::{OTHER, VIEWER, pair, without_periodic_snapshots};
use crate::support::client::replica_options;
use crate::support::walker::walk_to_x;
use crate::support::{Client, Server, Settings, observe, poll_until};

/// Distance outside the rectangle at which a player leaves the interest set, in units.
const MARGIN: i32 = 48;

fn viewport(width: u16, height: u16) -> ClientMessage {
    ClientMessage::Viewport { width, height }
}

/// Many players all over the world, which all see each other.
fn everywhere(players: usize) -> (Server, Vec<Client>) {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 300).set("SPAWN_SEED", 11).spawn_anywhere().start();
    let mut clients = Client::connect_many(&server, players, replica_options());
    poll_until(&mut clients, "every replica to show all players", |clients| {
        clients.iter().all(|client| client.visible().len() == players - 1)
    });
    (server, clients)
}

/// Distance of a player outside the viewer's rectangle, in units; negative inside it.
fn outside(viewer: &Client, other: &Client, half_width: i32, half_height: i32) -> i32 {
    let ((x, y), (other_x, other_y)) = (viewer.position(), other.position());
    ((other_x - x).abs() - half_width).max((other_y - y).abs() - half_height)
}

#[test]
fn narrowing_a_viewport_removes_players_and_widening_adds_them() {
    let (_server, mut clients) = everywhere(40);
    let mark = clients[VIEWER].mark();
    clients[VIEWER].send(&viewport(800, 600));
    let (viewer, others) = clients.split_first().unwrap();
    let rim_of = |other: &Client| outside(viewer, other, 400, 300) - MARGIN;
    let ids = |others: Vec<&Client>| others.into_iter().map(Client::id).collect::<Vec<_>>();
    let gone = ids(others.iter().filter(|other| rim_of(other) > 1).collect());
    let kept = ids(others.iter().filter(|other| rim_of(other) < -1).collect());
    assert!(gone.len() > 5 && kept.len() > 2, "the seed gives {} outside, {} inside", gone.len(), kept.len());

    poll_until(&mut clients, "the players outside to leave", |clients| {
        gone.iter().all(|&id| clients[VIEWER].leaves_since(mark, id) == 1)
    });
    observe(&mut clients, Duration::from_millis(500));
    assert!(kept.iter().all(|&id| clients[VIEWER].sees(id)), "a player inside left");

    // The largest rectangle has the size of the world, and its center, the player, is not in the middle.
    clients[VIEWER].send(&viewport(u16::MAX, u16::MAX));
    let (viewer, others) = clients.split_first().unwrap();
    let near = |other: &&Client| outside(viewer, other, 1_000, 1_000) < -1;
    let back = ids(others.iter().filter(near).filter(|other| gone.contains(&other.id())).collect());
    let far = ids(others.iter().filter(|other| outside(viewer, other, 1_000, 1_000) > 1).collect());
    assert!(back.len() > 2 && far.len() > 2, "the seed gives {} near, {} far", back.len(), far.len());
    poll_until(&mut clients, "all players in the wide viewport to enter", |clients| {
        back.iter().all(|&id| clients[VIEWER].joins_since(mark, id) == 1)
    });
    observe(&mut clients, Duration::from_millis(500));
    assert!(kept.iter().all(|&id| clients[VIEWER].joins_since(mark, id) == 0), "no player enters twice");
    assert!(far.iter().all(|&id| !clients[VIEWER].sees(id)), "a player outside entered");
}

#[test]
fn walking_out_and_in_sends_one_left_and_one_joined() {
    let server = without_periodic_snapshots().start();
    let mut clients = pair(&server);
    let (mark, other) = (clients[VIEWER].mark(), clients[OTHER].id());
    let counts = |clients: &[Client]| {
        (clients[VIEWER].leaves_since(mark, other), clients[VIEWER].joins_since(mark, other))
    };
    clients[VIEWER].send(&viewport(200, 200));

    walk_to_x(&mut clients, OTHER, 640);
    observe(&mut clients, Duration::from_millis(2_200));
    assert_eq!(counts(&clients), (0, 0), "40 units outside is within the margin");
    walk_to_x(&mut clients, OTHER, 660);
    poll_until(&mut clients, "the player to leave at 60 units outside", |clients| counts(clients) == (1, 0));
    walk_to_x(&mut clients, OTHER, 620);
    observe(&mut clients, Duration::from_millis(700));
    assert_eq!(counts(&clients), (1, 0), "20 units outside is not inside");
    walk_to_x(&mut clients, OTHER, 580);
    poll_until(&mut clients, "the player to enter at 20 units inside", |clients| counts(clients) == (1, 1));
    assert_eq!(
        clients[OTHER].leaves_since(0, clients[VIEWER].id()),
        0,
        "the other client sees the whole world"
    );
}

#[test]
fn a_player_stays_visible_for_at_least_two_seconds() {
    let server = without_periodic_snapshots().set("PLAYER_SPEED", 30).start();
    let mut clients = vec![Client::join(&server)];
    clients[VIEWER].send(&viewport(100, 100));
    clients.push(Client::join(&server));
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the player to enter", |clients| clients[VIEWER].sees(other));
    clients[OTHER].send_short_move(Vector::RIGHT, 1);
    poll_until(&mut clients, "the player to leave", |clients| !clients[VIEWER].sees(other));
    let time_of = |is_such: fn(&ServerMessage) -> bool| {
        clients[VIEWER].received.iter().find(|received| is_such(&received.message)).unwrap().at_ms
    };
    let entered_ms = time_of(|message| matches!(message, ServerMessage::Joined(_)));
    let left_ms = time_of(|message| matches!(message, ServerMessage::Left(_)));
    // Less the time by which the JOINED may have been read late.
    assert!(left_ms - entered_ms >= 1_500, "left after {} ms", left_ms - entered_ms);
}

#[test]
fn a_viewport_is_at_least_a_hundred_units_wide() {
    for side in [0, 1, 99] {
        let server = without_periodic_snapshots().start();
        let mut clients = pair(&server);
        let (mark, other) = (clients[VIEWER].mark(), clients[OTHER].id());
        clients[VIEWER].send(&viewport(side, side));
        clients[OTHER].send_short_move(Vector::RIGHT, 1);
        poll_until(&mut clients, "the player to leave", |clients| {
            clients[VIEWER].leaves_since(mark, other) == 1
        });
        clients[OTHER].send_short_move(Vector::ZERO, 2);
        crate::support::wait_for_acks(&mut clients);
        let (x, _) = clients[OTHER].acknowledged();
        assert!(x > 500 + 50 + MARGIN, "left the viewport of side {side} at {x}");
        clients[OTHER].send_short_move(Vector::LEFT, 3);
        poll_until(&mut clients, "the player to enter", |clients| {
            clients[VIEWER].joins_since(mark, other) == 1
        });
        let joined = clients[VIEWER].since(mark).find_map(|message| match message {
            ServerMessage::Joined(entry) => Some(entry.x),
            _ => None,
        });
        // Five interest updates a second: 20 units of walking, and as much again for a busy machine.
        assert!(joined.unwrap() > 510, "entered the viewport of side {side} only at {joined:?}");
    }
}

#[test]
fn an_invalid_viewport_changes_nothing() {
    let server = without_periodic_snapshots().start();
    let mut clients = pair(&server);
    for payload in [&[13][..], &[13, 1, 0, 1], &[13, 1, 0, 1, 0, 0]] {
        clients[VIEWER].send_payload(payload);
    }
    walk_to_x(&mut clients, OTHER, 700);
    observe(&mut clients, Duration::from_millis(2_200));
    assert!(clients[VIEWER].sees(clients[OTHER].id()));
    assert_eq!(server.protocol_errors(), 3);
}
