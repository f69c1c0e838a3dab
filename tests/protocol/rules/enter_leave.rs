//! Rules 4 and 5: a player enters and leaves an interest set once each, and its vector follows if it moves.

use std::time::Duration;

use game_client::{ClientMessage, PlayerId, ReplicaOptions, ServerMessage, Vector};

use super::{OTHER, VIEWER, let_others_settle, pair, wait_for_vector, without_periodic_snapshots};
use crate::support::client::replica_options;
use crate::support::{Client, observe, poll_until, wait_for};

/// Replica options with sprites that load almost as long as the server waits before it repeats a vector or sends a LEFT.
fn slow_sprites() -> ReplicaOptions {
    ReplicaOptions { loading_ms: 800, ..replica_options() }
}

#[test]
fn the_vector_of_an_entering_mover_is_repeated() {
    let server = without_periodic_snapshots().start();
    let mut clients = vec![Client::join_with(&server, slow_sprites())];
    clients[VIEWER].send(&ClientMessage::Viewport { width: 200, height: 200 });
    clients.push(Client::join(&server));
    let other = clients[OTHER].id();
    clients[OTHER].send_short_move(Vector::RIGHT, 1);
    poll_until(&mut clients, "the mover to leave", |clients| clients[VIEWER].leaves_since(0, other) == 1);

    let mark = clients[VIEWER].mark();
    clients[OTHER].send_short_move(Vector::LEFT, 2);
    poll_until(&mut clients, "the mover to enter again", |clients| {
        clients[VIEWER].joins_since(mark, other) == 1
    });
    wait_for_vector(&mut clients, other, Vector::LEFT);
    let about_it: Vec<_> = clients[VIEWER].since(mark).filter(|message| is_about(message, other)).collect();
    assert!(matches!(about_it[0], ServerMessage::Joined(_)), "{about_it:?}");
    let movement = ServerMessage::Movement { id: other, vector: Vector::LEFT };
    assert_eq!(about_it[1..], [&movement; 3], "the vector follows JOINED, and twice more for slow sprites");
}

#[test]
fn a_newcomer_receives_the_vectors_of_walking_players() {
    let server = without_periodic_snapshots().start();
    let mut mover = Client::join(&server);
    mover.send_short_move(Vector::DOWN, 1);
    let_others_settle(std::slice::from_mut(&mut mover));
    let id = mover.id();
    let mut clients = vec![Client::join_with(&server, slow_sprites()), mover];
    wait_for_vector(&mut clients, id, Vector::DOWN);
    assert_eq!(clients[VIEWER].joins_since(0, id), 0, "it entered in the first GAME_STATE");
    assert_eq!(clients[VIEWER].vectors_since(0, id), [Vector::DOWN; 3], "at once, and within a second");
}

#[test]
fn a_vector_set_while_the_sprite_loads_is_repeated() {
    let server = without_periodic_snapshots().start();
    let mut clients = vec![Client::join_with(&server, slow_sprites()), Client::join(&server)];
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player to enter", |clients| clients[VIEWER].sees(other));
    clients[OTHER].send_short_move(Vector::UP, 1);
    wait_for_vector(&mut clients, other, Vector::UP);
}

#[test]
fn a_player_that_leaves_right_after_joining_leaves_no_ghost() {
    let server = without_periodic_snapshots().start();
    let mut clients = vec![Client::join_with(&server, slow_sprites())];
    let mut guests = Vec::new();
    for stay_ms in [0, 20, 60, 150, 400, 700] {
        let mut guest = Client::join(&server);
        observe(&mut clients, Duration::from_millis(stay_ms));
        guests.push(guest.id());
        guest.close(Some(1001));
    }
    clients.push(Client::join(&server));
    let last = clients[OTHER].id();
    // The last player entered after all others, so none of them can still enter.
    poll_until(&mut clients, "all players to leave", |clients| {
        clients[VIEWER].sees(last) && guests.iter().all(|&guest| !clients[VIEWER].sees(guest))
    });
    for guest in guests {
        let viewer = &clients[VIEWER];
        assert_eq!(viewer.joins_since(0, guest), viewer.leaves_since(0, guest), "player {guest}");
    }
}

#[test]
fn a_player_that_leaves_right_after_a_first_game_state_leaves_no_ghost() {
    let server = without_periodic_snapshots().start();
    let mut leaver = Client::join(&server);
    let_others_settle(std::slice::from_mut(&mut leaver));
    let mut viewer = Client::join_with(&server, slow_sprites());
    leaver.close(Some(1001));
    wait_for(&mut viewer, "the player to leave", |viewer| !viewer.sees(1001));
    assert_eq!(viewer.leaves_since(0, 1001), 1);
}

#[test]
fn every_kind_of_disconnect_sends_one_left() {
    type Leave = fn(Client);
    let ways: [(&str, Leave); 4] = [
        ("LEAVE", |mut client| {
            client.send(&ClientMessage::Leave);
            wait_for(&mut client, "the end of the connection", |client| client.ended);
        }),
        ("a Close with 1001", |mut client| client.close(Some(1001))),
        ("a Close without a code", |mut client| client.close(None)),
        ("a connection without a Close", drop),
    ];
    let server = without_periodic_snapshots().start();
    for (way, leave) in ways {
        let mut clients = pair(&server);
        let leaver = clients.pop().unwrap();
        let id = leaver.id();
        leave(leaver);
        poll_until(&mut clients, &format!("the player to leave by {way}"), |clients| {
            !clients[VIEWER].sees(id)
        });
        assert_eq!(clients[VIEWER].leaves_since(0, id), 1, "{way}");
    }
}

fn is_about(message: &ServerMessage, player: PlayerId) -> bool {
    match message {
        ServerMessage::Joined(entry) => entry.id == player,
        ServerMessage::Left(id)
        | ServerMessage::Attack { id, .. }
        | ServerMessage::Direction { id, .. }
        | ServerMessage::Movement { id, .. } => *id == player,
        ServerMessage::GameState(_) | ServerMessage::MoveAck { .. } => false,
    }
}
