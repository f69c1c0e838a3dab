//! Rules 1 and 6: a client finds its own id in the first `GAME_STATE`, and never receives JOINED for itself.

use game_client::{ServerMessage, Vector};

use super::{OTHER, VIEWER, pair_with_late_joiner};
use crate::support::client::replica_options;
use crate::support::{Client, Server, poll_until, wait_for_acks};

#[test]
fn ids_start_at_1001_and_are_never_reused() {
    let server = Server::start();
    let mut first = Client::join(&server);
    assert_eq!(first.id(), 1001);
    let mut clients = vec![Client::join(&server)];
    assert_eq!(clients[VIEWER].id(), 1002);
    first.close(Some(1001));
    poll_until(&mut clients, "the first player to leave", |clients| !clients[VIEWER].sees(1001));
    assert_eq!(Client::join(&server).id(), 1003);
}

#[test]
fn the_first_frame_lists_the_viewer_as_the_highest_id() {
    let server = Server::start();
    let clients = pair_with_late_joiner(&server);
    let ids_of = |client: &Client| match &client.received[0].message {
        ServerMessage::GameState(entries) => entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        other => panic!("the first frame is {other:?}"),
    };
    assert_eq!(ids_of(&clients[VIEWER]), [1001]);
    let mut ids = ids_of(&clients[OTHER]);
    ids.sort_unstable();
    assert_eq!(ids, [1001, 1002]);
    assert_eq!(clients[VIEWER].joins_since(0, 1002), 1, "a later player enters by JOINED");
}

#[test]
fn simultaneous_newcomers_find_themselves_and_each_other() {
    const PLAYERS: usize = 40;
    let server = Server::start();
    let mut clients = Client::connect_many(&server, PLAYERS, replica_options());
    poll_until(&mut clients, "every replica to show all players", |clients| {
        clients.iter().all(|client| client.visible().len() == PLAYERS - 1)
    });
    let mut ids: Vec<_> = clients.iter().map(Client::id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1001..1001 + PLAYERS as u32).collect::<Vec<_>>());

    // An ack carries the id of the connection's player, so it reveals a client that assumed another id.
    for client in &mut clients {
        client.step(Vector::UP);
    }
    wait_for_acks(&mut clients);
    for client in &clients {
        assert_eq!(client.joins_since(0, client.id()), 0, "JOINED for the client itself");
        assert_eq!(client.replica.duplicates(), [] as [u32; 0]);
    }
}
