//! Players that stay for an instant: their actions are still sent, after they have entered.

use std::collections::BTreeSet;

use game_client::{ClientMessage, PlayerId, ServerMessage, Vector};

use crate::support::client::replica_options;
use crate::support::{Client, Server, Settings, Walker, poll_until};

/// Number of short-lived players, fewer than an interest set holds.
const PASSING: usize = 60;

/// Number of short-lived players between two steps of the walker.
const PER_STEP: usize = 3;

/// Joins, attacks and leaves within a few milliseconds. Returns the player's id.
fn pass(server: &Server) -> PlayerId {
    let mut player = Client::connect(server, replica_options());
    player.send(&ClientMessage::Attack { aim: None });
    player.send(&ClientMessage::Leave);
    poll_until(std::slice::from_mut(&mut player), "the first GAME_STATE and the close", |clients| {
        clients[0].replica.own_id().is_some() && clients[0].close_code == Some(1000)
    });
    player.id()
}

/// Players that entered this client's replica.
fn entered(client: &Client) -> BTreeSet<PlayerId> {
    let id = |message: &ServerMessage| match message {
        ServerMessage::Joined(entry) => vec![entry.id],
        ServerMessage::GameState(entries) => entries.iter().map(|entry| entry.id).collect(),
        _ => Vec::new(),
    };
    client.since(0).flat_map(id).collect()
}

/// Players whose attack this client received. The replica checks that each of them had entered.
fn attacked(client: &Client) -> BTreeSet<PlayerId> {
    let id = |message: &ServerMessage| match message {
        ServerMessage::Attack { id, .. } => Some(*id),
        _ => None,
    };
    client.since(0).filter_map(id).collect()
}

#[test]
fn an_attack_reaches_every_viewer_however_soon_the_attacker_leaves() {
    let server = Settings::new().spawn_at(500, 500).start();
    // One client stands, one walks (its deltas piggyback on acks), and one sends a small viewport.
    let mut clients = [Client::join(&server), Client::join(&server), Client::join(&server)];
    clients[2].send(&ClientMessage::Viewport { width: 300, height: 300 });
    let mut walker = Walker::new(Vector::RIGHT);
    let mut passed = BTreeSet::new();
    while passed.len() < PASSING {
        let steps = walker.taken() + 1;
        poll_until(&mut clients, "an ack", |clients| {
            walker.drive(&mut clients[1], steps);
            walker.taken() >= steps
        });
        passed.extend((0..PER_STEP).map(|_| pass(&server)));
    }
    poll_until(&mut clients, "every client to receive all JOINEDs and attacks", |clients| {
        clients.iter().all(|client| entered(client).is_superset(&passed) && attacked(client) == passed)
    });
    poll_until(&mut clients, "all players to leave every replica", |clients| {
        clients.iter().all(|client| client.visible().iter().all(|id| !passed.contains(id)))
    });
    assert_eq!(server.count("players"), 3);
}

#[test]
fn an_attacker_that_left_is_no_longer_a_player() {
    let server = Settings::new().set("MAX_CONNECTIONS", 1).spawn_at(500, 500).start();
    for _ in 0..10 {
        pass(&server);
    }
}
