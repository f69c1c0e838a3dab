//! Rules 3 and 7: vectors are sent when they change, every step is acked as claimed, and silence ends a walk.

use std::time::Duration;

use game_client::{ClientMessage, Facing, ServerMessage, Vector};

use super::{OTHER, VIEWER, pair, wait_after_entrance, wait_for_vector, without_periodic_snapshots};
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, Walker, observe, poll_until, wait_for_acks};

/// A pair after all snapshots and repeated vectors: every further message is caused by the test.
fn undisturbed() -> (Server, Vec<Client>) {
    let server = without_periodic_snapshots().start();
    let mut clients = pair(&server);
    wait_after_entrance(&mut clients, 1_500);
    (server, clients)
}

#[test]
fn a_vector_is_sent_only_when_it_changes() {
    let (_server, mut clients) = undisturbed();
    let (mark, other) = (clients[VIEWER].mark(), clients[OTHER].id());
    walk(&mut clients, OTHER, Vector::RIGHT, 30);
    wait_for_vector(&mut clients, other, Vector::ZERO);
    assert_eq!(clients[VIEWER].vectors_since(mark, other), [Vector::RIGHT, Vector::ZERO]);
}

#[test]
fn every_vector_change_reaches_other_players() {
    let (_server, mut clients) = undisturbed();
    let (mark, other) = (clients[VIEWER].mark(), clients[OTHER].id());
    let parts = [-1, 0, 1];
    let mut vectors: Vec<_> =
        parts.iter().flat_map(|&dx| parts.map(|dy| Vector::new(dx, dy).unwrap())).collect();
    vectors.push(Vector::ZERO);
    for (sequence, &vector) in vectors.iter().enumerate() {
        clients[OTHER].send_short_move(vector, sequence as u32);
        wait_for_vector(&mut clients, other, vector);
    }
    assert_eq!(clients[VIEWER].vectors_since(mark, other), vectors);
}

#[test]
fn a_turn_is_sent_only_when_the_facing_changes() {
    let (_server, mut clients) = undisturbed();
    let (mark, other) = (clients[VIEWER].mark(), clients[OTHER].id());
    for side in [Facing::Right, Facing::Left, Facing::Left, Facing::Right] {
        clients[OTHER].send(&ClientMessage::Direction(side));
        poll_until(&mut clients, "the replica to show the facing", |clients| {
            clients[VIEWER].replica.remote(other).is_some_and(|remote| remote.facing == side)
        });
        // Long enough for several flushes, so that a needless DIRECTION can't be hidden by the next one.
        observe(&mut clients, Duration::from_millis(250));
    }
    let turns: Vec<_> = clients[VIEWER]
        .since(mark)
        .filter_map(|message| match message {
            ServerMessage::Direction { id, facing } if *id == other => Some(*facing),
            _ => None,
        })
        .collect();
    assert_eq!(turns, [Facing::Left, Facing::Right]);
}

#[test]
fn the_extrapolated_replica_follows_a_walker() {
    /// Half a second of walking, in units: far longer than a flush or a busy machine delays a vector.
    const NEAR: f64 = 48.0;
    let (_server, mut clients) = undisturbed();
    let other = clients[OTHER].id();
    let mut walker = Walker::new(Vector::RIGHT);
    poll_until(&mut clients, "a walk", |clients| {
        walker.drive(&mut clients[OTHER], 60);
        let shown = clients[VIEWER].replica.remote(other).unwrap().x;
        let (walked, _) = clients[OTHER].position();
        assert!((shown - f64::from(walked)).abs() < NEAR, "shown at {shown}, but walked to {walked}");
        walker.taken() == 60
    });
    clients[OTHER].step(Vector::ZERO);
    wait_for_vector(&mut clients, other, Vector::ZERO);
    let remote = clients[VIEWER].replica.remote(other).unwrap();
    assert!((remote.x - 740.0).abs() < NEAR, "shown at {}, but stopped at 740", remote.x);
    assert!((remote.y - 500.0).abs() < f64::EPSILON);
}

#[test]
fn an_honest_walk_is_acked_as_claimed() {
    let server = Settings::new().spawn_at(500, 500).start();
    let mut clients = pair(&server);
    for vector in [Vector::RIGHT, Vector::DOWN, Vector::new(-1, -1).unwrap(), Vector::UP] {
        walk(&mut clients, OTHER, vector, 15);
    }
    assert_eq!(clients[OTHER].replica.own().corrections(), 0);
    assert_eq!(clients[OTHER].acknowledged(), clients[OTHER].position());
    assert_eq!(clients[OTHER].position(), (500, 440));
}

#[test]
fn each_step_of_a_burst_is_acked_with_its_position() {
    let server = Settings::new().spawn_at(500, 500).start();
    let mut clients = vec![Client::join(&server)];
    for _ in 0..8 {
        clients[VIEWER].step(Vector::RIGHT);
    }
    wait_for_acks(&mut clients);
    let answers: Vec<_> = clients[VIEWER]
        .since(0)
        .filter_map(|message| match message {
            ServerMessage::MoveAck { x, y, sequence, .. } => Some((*sequence, *x, *y)),
            _ => None,
        })
        .collect();
    let claims: Vec<_> = (1..=8_u16).map(|step| (u32::from(step), 500 + 4 * step, 500)).collect();
    assert_eq!(answers, claims);
}

#[test]
fn silence_stops_a_browser_but_not_a_load_tool() {
    let server = without_periodic_snapshots().start();
    let mut clients = pair(&server);
    clients.push(Client::join(&server));
    let (tab, tool) = (clients[1].id(), clients[2].id());
    clients[1].step(Vector::RIGHT);
    clients[2].send_short_move(Vector::DOWN, 1);
    poll_until(&mut clients, "the silent tab's player to stop", |clients| {
        clients[VIEWER].vectors_since(0, tab).last() == Some(&Vector::ZERO)
    });
    clients[1].send_short_move(Vector::ZERO, 2);
    observe(&mut clients, Duration::from_millis(1_500));
    let vectors = clients[VIEWER].vectors_since(0, tool);
    assert!(
        !vectors.is_empty() && !vectors.contains(&Vector::ZERO),
        "vectors of the load tool's player: {vectors:?}"
    );
    clients[2].send_short_move(Vector::ZERO, 2);
    wait_for_acks(&mut clients);

    // Three seconds at 96 units per second, by the server's clock.
    let (stopped_x, _) = clients[1].acknowledged();
    assert!((740..=900).contains(&stopped_x), "the tab's player stopped at {stopped_x}");
    let (_, walked_y) = clients[2].acknowledged();
    assert!(walked_y > 500 + 380, "four seconds of walking led only to {walked_y}");
}
