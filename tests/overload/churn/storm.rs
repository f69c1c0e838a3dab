//! Many clients that disconnect at the same instant, as in a network failure, and reconnect at once.

use super::{assert_counts_add_up, assert_replicas_match_ground_truth, join, wait_for_descriptors};
use crate::support::{Client, Settings, poll_until};

/// Players that stay connected.
const STAYING: usize = 40;

/// Players disconnected at the same instant, per storm.
const KILLED: usize = 240;

#[test]
fn after_reconnect_storms_ids_are_new_and_replicas_correct() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 1).set("MAX_VISIBLE", 400).start();
    let descriptors = server.descriptors();
    let mut clients = Vec::new();
    let mut highest = join(&server, &mut clients, STAYING, 1_000);
    highest = join(&server, &mut clients, KILLED, highest);
    // First by resets, then as when the process that holds the sockets is killed and the kernel closes them.
    let kills: [fn(Client); 2] = [Client::reset, drop];
    for kill in kills {
        clients.drain(STAYING..).for_each(kill);
        highest = join(&server, &mut clients, KILLED, highest);
    }

    let metrics = assert_counts_add_up(&server, (STAYING + KILLED) as u64);
    assert_eq!(metrics["closed"]["reset"], 2 * KILLED, "{metrics}");
    assert_eq!(metrics["refused"]["full"], 0, "every client was admitted at the first attempt");
    assert_eq!(highest as usize, 1_000 + STAYING + 3 * KILLED);
    assert_replicas_match_ground_truth(&mut clients);

    // No client reconnects: the remaining players see only each other.
    clients.drain(STAYING..).for_each(Client::reset);
    poll_until(&mut clients, "all disconnected players to leave", |clients| {
        clients.iter().all(|client| client.visible().len() == STAYING - 1)
    });
    drop(clients);
    assert_counts_add_up(&server, 0);
    wait_for_descriptors(&server, descriptors);
}
