//! Players that disconnect in every possible way and reconnect, without leaving anything behind.

mod memory;
mod reconnects;
mod storm;

use game_client::PlayerId;
use serde_json::Value;

use crate::support::client::replica_options;
use crate::support::ground_truth::{matches_ground_truth, walk_around};
use crate::support::server::sum;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, poll_until};

/// Connects `count` clients at once, whose ids must exceed all earlier ones. Returns the highest id.
fn join(server: &Server, clients: &mut Vec<Client>, count: usize, highest_before: PlayerId) -> PlayerId {
    let first = clients.len();
    clients.extend(Client::connect_many(server, count, replica_options()));
    poll_until(clients, "the ids of the new clients", |clients| {
        clients[first..].iter().all(|client| client.replica.own_id().is_some())
    });
    let mut ids: Vec<PlayerId> = clients[first..].iter().map(Client::id).collect();
    ids.sort_unstable();
    assert!(ids[0] > highest_before, "id {} follows id {highest_before}", ids[0]);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "an id was reused: {ids:?}");
    ids[count - 1]
}

/// Walks and stops all clients. Every replica must show all other players at their true positions.
fn assert_replicas_match_ground_truth(clients: &mut [Client]) {
    let truth = walk_around(clients);
    let others = clients.len() - 1;
    poll_until(clients, "all replicas to match the ground truth", |clients| {
        clients.iter().all(|client| client.visible().len() == others && matches_ground_truth(client, &truth))
    });
    for client in clients {
        assert_eq!(client.replica.duplicates(), [] as [PlayerId; 0]);
    }
}

/// Waits until the server has this many players, and asserts that its counters add up. Returns its metrics.
fn assert_counts_add_up(server: &Server, players: u64) -> Value {
    server.wait_for_players(players);
    let metrics = server.metrics();
    let (connections, closed) = (&metrics["connections"], sum(&metrics["closed"]));
    assert_eq!(connections["upgraded_total"].as_u64(), Some(players + closed), "{metrics}");
    metrics
}

/// Waits until the server has as many open descriptors as before the first connection.
fn wait_for_descriptors(server: &Server, before: usize) {
    wait_until(&format!("{before} descriptors"), || server.descriptors() == before);
}
