//! Many clients gone at the same instant, as when a network fails, and back at once.

use super::{assert_counts_add_up, assert_pictures_are_true, join, wait_for_descriptors};
use crate::support::{Client, Settings, poll_until};

/// Players who stay.
const STAYING: usize = 40;

/// Players who are killed at the same instant, each time.
const KILLED: usize = 240;

#[test]
fn after_storms_all_are_back_with_new_ids_and_every_picture_is_right() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 1).set("MAX_VISIBLE", 400).start();
    let descriptors = server.descriptors();
    let mut clients = Vec::new();
    let mut highest = join(&server, &mut clients, STAYING, 1_000);
    highest = join(&server, &mut clients, KILLED, highest);
    // First with resets; then as when the process that holds the sockets is killed, where the kernel closes them.
    let kills: [fn(Client); 2] = [Client::reset, drop];
    for kill in kills {
        clients.drain(STAYING..).for_each(kill);
        highest = join(&server, &mut clients, KILLED, highest);
    }

    let metrics = assert_counts_add_up(&server, (STAYING + KILLED) as u64);
    assert_eq!(metrics["closed"]["reset"], 2 * KILLED, "{metrics}");
    assert_eq!(metrics["refused"]["full"], 0, "everybody was let in at the first attempt");
    assert_eq!(highest as usize, 1_000 + STAYING + 3 * KILLED);
    assert_pictures_are_true(&mut clients);

    // Nobody comes back: those who stayed are left with each other.
    clients.drain(STAYING..).for_each(Client::reset);
    poll_until(&mut clients, "the exits of all who were killed", |clients| {
        clients.iter().all(|client| client.visible().len() == STAYING - 1)
    });
    drop(clients);
    assert_counts_add_up(&server, 0);
    wait_for_descriptors(&server, descriptors);
}
