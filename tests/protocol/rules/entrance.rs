//! Rules 4 and 5: one entrance for every player in view, its vector when it moves, and one exit.

use std::time::Duration;

use game_client::{ClientMessage, PlayerId, ReplicaOptions, ServerMessage, Vector};

use super::{OTHER, VIEWER, get_settled, pair};
use crate::support::client::replica_options;
use crate::support::{Client, Server, Settings, observe, poll_until, wait_for};

/// Sprites that load almost as long as the server waits before it repeats a vector or tells of an exit.
fn slow_sprites() -> ReplicaOptions {
    ReplicaOptions { loading_ms: 800, ..replica_options() }
}

fn lazy() -> Server {
    Settings::new().set("SYNC_INTERVAL_SEC", 300).spawn_at(500, 500).start()
}

fn wait_for_vector(clients: &mut [Client], player: PlayerId, vector: Vector) {
    poll_until(clients, &format!("vector {vector} on the picture of slow sprites"), |clients| {
        clients[VIEWER].replica.remote(player).is_some_and(|remote| remote.vector == vector)
    });
}

#[test]
fn a_mover_that_walks_into_view_is_told_with_its_vector_and_again_a_second_later() {
    let server = lazy();
    let mut clients = vec![Client::join_with(&server, slow_sprites())];
    clients[VIEWER].send(&ClientMessage::Viewport { width: 200, height: 200 });
    clients.push(Client::join(&server));
    let other = clients[OTHER].id();
    clients[OTHER].send_short_move(Vector::RIGHT, 1);
    poll_until(&mut clients, "the mover's exit", |clients| clients[VIEWER].leaves_since(0, other) == 1);

    let mark = clients[VIEWER].mark();
    clients[OTHER].send_short_move(Vector::LEFT, 2);
    poll_until(&mut clients, "the mover's second entrance", |clients| {
        clients[VIEWER].joins_since(mark, other) == 1
    });
    wait_for_vector(&mut clients, other, Vector::LEFT);
    let about_it: Vec<_> = clients[VIEWER].since(mark).filter(|message| is_about(message, other)).collect();
    assert!(matches!(about_it[0], ServerMessage::Joined(_)), "{about_it:?}");
    let told = ServerMessage::Movement { id: other, vector: Vector::LEFT };
    assert_eq!(
        about_it[1..],
        [&told, &told],
        "the vector right behind JOINED, and once more for slow sprites"
    );
}

#[test]
fn a_newcomer_learns_the_vectors_of_those_who_walk_already() {
    let server = lazy();
    let mut mover = Client::join(&server);
    mover.send_short_move(Vector::DOWN, 1);
    get_settled(std::slice::from_mut(&mut mover));
    let id = mover.id();
    let mut clients = vec![Client::join_with(&server, slow_sprites()), mover];
    wait_for_vector(&mut clients, id, Vector::DOWN);
    assert_eq!(clients[VIEWER].joins_since(0, id), 0, "it entered in the first GAME_STATE");
    assert_eq!(clients[VIEWER].vectors_since(0, id), [Vector::DOWN; 2], "at once, and a second later");
}

#[test]
fn a_vector_set_while_the_sprite_loads_is_repeated() {
    let server = lazy();
    let mut clients = vec![Client::join_with(&server, slow_sprites()), Client::join(&server)];
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player's entrance", |clients| clients[VIEWER].sees(other));
    clients[OTHER].send_short_move(Vector::UP, 1);
    wait_for_vector(&mut clients, other, Vector::UP);
}

#[test]
fn who_leaves_right_after_joining_leaves_no_ghost() {
    let server = lazy();
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
    // The last one entered behind them all, so nobody of them can still come.
    poll_until(&mut clients, "all exits", |clients| {
        clients[VIEWER].sees(last) && guests.iter().all(|&guest| !clients[VIEWER].sees(guest))
    });
    for guest in guests {
        let viewer = &clients[VIEWER];
        assert_eq!(viewer.joins_since(0, guest), viewer.leaves_since(0, guest), "player {guest}");
    }
}

#[test]
fn who_leaves_right_after_a_newcomers_first_frame_leaves_no_ghost() {
    let server = lazy();
    let mut leaver = Client::join(&server);
    get_settled(std::slice::from_mut(&mut leaver));
    let mut viewer = Client::join_with(&server, slow_sprites());
    leaver.close(Some(1001));
    wait_for(&mut viewer, "the exit", |viewer| !viewer.sees(1001));
    assert_eq!(viewer.leaves_since(0, 1001), 1);
}

#[test]
fn every_way_of_leaving_is_told_once() {
    type Leave = fn(Client);
    let ways: [(&str, Leave); 4] = [
        ("LEAVE", |mut client| {
            client.send(&ClientMessage::Leave);
            wait_for(&mut client, "the end", |client| client.ended);
        }),
        ("a Close with 1001", |mut client| client.close(Some(1001))),
        ("a Close without a code", |mut client| client.close(None)),
        ("a connection that just ends", drop),
    ];
    let server = lazy();
    for (way, leave) in ways {
        let mut clients = pair(&server);
        let leaver = clients.pop().unwrap();
        let id = leaver.id();
        leave(leaver);
        poll_until(&mut clients, &format!("the exit by {way}"), |clients| !clients[VIEWER].sees(id));
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
