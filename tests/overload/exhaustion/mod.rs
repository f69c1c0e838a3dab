//! What runs out: descriptors, queues of the kernel, memory for sockets, ports, room on the disk. The server says so, serves whom it can, and
//! goes on when there is more.

mod descriptors;
mod kernel;
mod open_files;

use crate::support::{Client, poll_until};

/// Waits until all players are on all pictures. Whoever is about to leave them unread for a while does this first, or
/// entrances and exits would seem to come at the same moment.
fn see_each_other(players: &mut [Client]) {
    let others = players.len() - 1;
    poll_until(players, "everybody to see everybody", |players| {
        players.iter().all(|player| player.replica.own_id().is_some() && player.visible().len() == others)
    });
}
