//! Three hundred clients: unique ids, an ack for every MOVE, and replicas that match the ground truth.

use game_client::{PlayerId, ReplicaOptions};

use crate::support::client::replica_options;
use crate::support::ground_truth::{matches_ground_truth, sees_the_nearest, walk_around};
use crate::support::{Client, Server, Settings, observe, poll_until};

const PLAYERS: usize = 300;

/// Connects all clients at once.
fn connect_crowd(server: &Server, options: ReplicaOptions) -> Vec<Client> {
    let clients = Client::join_many(server, PLAYERS, options);
    let mut ids: Vec<_> = clients.iter().map(Client::id).collect();
    ids.sort_unstable();
    let expected: Vec<_> = (1001..1001 + PLAYERS as PlayerId).collect();
    assert_eq!(ids, expected, "every client finds its own id");
    clients
}

#[test]
fn a_crowd_sees_the_nearest_at_their_true_positions() {
    const INTEREST_SET_MAX: usize = 128;
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 2).start();
    let options = ReplicaOptions { visible_max: Some(INTEREST_SET_MAX), ..replica_options() };
    let mut clients = connect_crowd(&server, options);
    let truth = walk_around(&mut clients);
    poll_until(&mut clients, "all replicas to match the nearest players", |clients| {
        clients.iter().all(|client| {
            matches_ground_truth(client, &truth) && sees_the_nearest(client, &truth, INTEREST_SET_MAX)
        })
    });
    // A correct replica stays correct: interest sets don't flicker while no player moves.
    let marks: Vec<_> = clients.iter().map(Client::mark).collect();
    observe(&mut clients, std::time::Duration::from_secs(1));
    for (client, mark) in clients.iter().zip(marks) {
        let changes = client.count_since(mark, |message| {
            matches!(message, game_client::ServerMessage::Joined(_) | game_client::ServerMessage::Left(_))
        });
        assert_eq!(changes, 0, "{client:?}");
    }
    assert_eq!(server.protocol_errors(), 0);
    assert_eq!(server.count("players"), PLAYERS as u64);
}

#[test]
fn a_crowd_within_the_cap_sees_all_at_their_true_positions() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 2).set("MAX_VISIBLE", 400).start();
    let mut clients = connect_crowd(&server, replica_options());
    let truth = walk_around(&mut clients);
    poll_until(&mut clients, "all replicas to match the ground truth", |clients| {
        clients
            .iter()
            .all(|client| client.visible().len() == PLAYERS - 1 && matches_ground_truth(client, &truth))
    });
    for client in &clients {
        assert_eq!(client.replica.duplicates(), [] as [PlayerId; 0]);
        for other in truth.keys().filter(|id| **id != client.id()) {
            assert!(client.joins_since(0, *other) <= 1, "{other} entered twice");
        }
    }
    // One half leaves, and the other half receives each exit.
    let gone: Vec<_> = clients.drain(PLAYERS / 2..).map(|client| client.id()).collect();
    poll_until(&mut clients, "one half to leave", |clients| {
        clients.iter().all(|client| client.visible().len() == PLAYERS / 2 - 1)
    });
    assert!(gone.iter().all(|&id| clients[0].leaves_since(0, id) == 1));
}
