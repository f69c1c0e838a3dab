//! Players that stay for an instant: what they do is told all the same, after their entrance.

use std::collections::BTreeSet;

use game_client::{ClientMessage, PlayerId, ServerMessage, Vector};

use crate::support::client::replica_options;
use crate::support::{Client, Server, Settings, Walker, poll_until};

/// Players that pass, fewer than a view has places.
const PASSING: usize = 60;

/// How many pass between two steps of a walker.
const AT_ONCE: usize = 3;

/// A player joins, attacks and leaves, all in a few milliseconds. Returns its id.
fn pass(server: &Server) -> PlayerId {
    let mut player = Client::connect(server, replica_options());
    player.send(&ClientMessage::Attack { aim: None });
    player.send(&ClientMessage::Leave);
    poll_until(std::slice::from_mut(&mut player), "the first GAME_STATE and the close", |clients| {
        clients[0].replica.own_id().is_some() && clients[0].close_code == Some(1000)
    });
    player.id()
}

/// The players of whom this client was told an entrance.
fn entered(client: &Client) -> BTreeSet<PlayerId> {
    let id = |message: &ServerMessage| match message {
        ServerMessage::Joined(entry) => vec![entry.id],
        ServerMessage::GameState(entries) => entries.iter().map(|entry| entry.id).collect(),
        _ => Vec::new(),
    };
    client.since(0).flat_map(id).collect()
}

/// The players of whom it was told an attack. The picture sees to it that each had entered.
fn attacked(client: &Client) -> BTreeSet<PlayerId> {
    let id = |message: &ServerMessage| match message {
        ServerMessage::Attack { id, .. } => Some(*id),
        _ => None,
    };
    client.since(0).filter_map(id).collect()
}

#[test]
fn an_attack_reaches_all_who_see_the_place_however_soon_the_attacker_goes() {
    let server = Settings::new().spawn_at(500, 500).start();
    // One stands, one walks, so that its flushes ride on acks, and one shows a small rectangle only.
    let mut clients = [Client::join(&server), Client::join(&server), Client::join(&server)];
    clients[2].send(&ClientMessage::Viewport { width: 300, height: 300 });
    let mut walker = Walker::new(Vector::RIGHT);
    let mut passed = BTreeSet::new();
    while passed.len() < PASSING {
        let steps = walker.taken() + 1;
        poll_until(&mut clients, "a step", |clients| {
            walker.drive(&mut clients[1], steps);
            walker.taken() >= steps
        });
        passed.extend((0..AT_ONCE).map(|_| pass(&server)));
    }
    poll_until(&mut clients, "all entrances and attacks on each screen", |clients| {
        clients.iter().all(|client| entered(client).is_superset(&passed) && attacked(client) == passed)
    });
    poll_until(&mut clients, "everybody gone from each screen", |clients| {
        clients.iter().all(|client| client.visible().iter().all(|id| !passed.contains(id)))
    });
    assert_eq!(server.count("players"), 3);
}

#[test]
fn an_attacker_that_goes_is_no_player_any_more() {
    let server = Settings::new().set("MAX_CONNECTIONS", 1).spawn_at(500, 500).start();
    for _ in 0..10 {
        pass(&server);
    }
}
