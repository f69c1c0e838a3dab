//! Players who leave in every way there is and come back, and what that leaves behind: nothing.

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

/// Lets so many join at once, and checks that their ids are above all those before. Returns the highest.
fn join(server: &Server, clients: &mut Vec<Client>, count: usize, highest_before: PlayerId) -> PlayerId {
    let first = clients.len();
    clients.extend(Client::connect_many(server, count, replica_options()));
    poll_until(clients, "the identity of those who came in", |clients| {
        clients[first..].iter().all(|client| client.replica.own_id().is_some())
    });
    let mut ids: Vec<PlayerId> = clients[first..].iter().map(Client::id).collect();
    ids.sort_unstable();
    assert!(ids[0] > highest_before, "{} was given after {highest_before}", ids[0]);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "an id was given twice: {ids:?}");
    ids[count - 1]
}

/// Everybody walks and stands still, and everybody's picture shows all the others where they are, and no ghost.
fn assert_pictures_are_true(clients: &mut [Client]) {
    let truth = walk_around(clients);
    let others = clients.len() - 1;
    poll_until(clients, "true pictures of everybody", |clients| {
        clients.iter().all(|client| client.visible().len() == others && matches_ground_truth(client, &truth))
    });
    for client in clients {
        assert_eq!(client.replica.duplicates(), [] as [PlayerId; 0]);
    }
}

/// Waits until the server has so many players, and checks that its counts add up. Returns its metrics.
fn assert_counts_add_up(server: &Server, players: u64) -> Value {
    server.wait_for_players(players);
    let metrics = server.metrics();
    let (connections, closed) = (&metrics["connections"], sum(&metrics["closed"]));
    assert_eq!(connections["upgraded_total"].as_u64(), Some(players + closed), "{metrics}");
    metrics
}

/// Waits until the server has exactly as many descriptors open as it had before anybody, a scraper included, connected.
fn wait_for_descriptors(server: &Server, before: usize) {
    wait_until(&format!("{before} descriptors"), || server.descriptors() == before);
}
