//! Exhausted descriptors, kernel queues and memory: the server logs it, keeps serving where it can, and recovers.

mod descriptors;
mod kernel;
mod open_files;

use crate::support::{Client, poll_until};

/// Waits until every player sees all others. Tests that stop reading for a while call this first, because enters and
/// leaves read together would appear to arrive at the same moment.
fn see_each_other(players: &mut [Client]) {
    let others = players.len() - 1;
    poll_until(players, "all players to see each other", |players| {
        players.iter().all(|player| player.replica.own_id().is_some() && player.visible().len() == others)
    });
}
