//! The true positions of all players, from their last acked MOVEs, and the comparison with a replica.

use std::collections::BTreeMap;
use std::time::Instant;

use game_client::{Facing, PlayerId, Vector};

use super::{Client, poll_until, wait_for_acks};

/// A player replaces a visible player only below this fraction of the visible player's distance.
const CLEARLY_NEARER: f64 = 0.7;

/// Steps per client, one every [`STEP_MS`] milliseconds.
const STEPS: u32 = 24;
const STEP_MS: u64 = 100;

/// Final position of each player, from its last acked MOVE.
pub type GroundTruth = BTreeMap<PlayerId, (f64, f64)>;

/// Walks all clients in changing directions, stops them, and returns their final positions.
pub fn walk_around(clients: &mut [Client]) -> GroundTruth {
    let directions = [Vector::RIGHT, Vector::DOWN, Vector::LEFT, Vector::UP];
    let sent: Vec<u64> = clients.iter().map(|client| client.replica.own().answered).collect();
    let (start, mut taken) = (Instant::now(), 0);
    poll_until(clients, "the walk of all clients", |clients| {
        let due = (start.elapsed().as_millis() as u64 / STEP_MS) as u32;
        while taken < due.min(STEPS) {
            for (index, client) in clients.iter_mut().enumerate() {
                client.step(directions[(index + taken as usize / 8) % directions.len()]);
            }
            taken += 1;
        }
        taken == STEPS
    });
    for client in &mut *clients {
        client.step(Vector::ZERO);
    }
    wait_for_acks(clients);
    for (client, before) in clients.iter().zip(sent) {
        let answered = client.replica.own().answered - before;
        assert_eq!(answered, u64::from(STEPS) + 1, "each MOVE must be acked once");
    }
    let standing = |client: &Client| (f64::from(client.acknowledged().0), f64::from(client.acknowledged().1));
    clients.iter().map(|client| (client.id(), standing(client))).collect()
}

/// Whether every player that the replica shows is at its true position, stopped and facing right. A shown
/// player without a true position is a ghost, and does not match.
pub fn matches_ground_truth(client: &Client, truth: &GroundTruth) -> bool {
    client.replica.remotes().all(|remote| {
        truth.get(&remote.id) == Some(&(remote.x, remote.y))
            && remote.is_shown
            && remote.vector == Vector::ZERO
            && remote.facing == Facing::Right
    })
}

/// Whether the client sees as many players as it may, and clearly none but the nearest.
pub fn sees_the_nearest(client: &Client, truth: &GroundTruth, visible_max: usize) -> bool {
    let own = truth[&client.id()];
    let distance = |id: &PlayerId| (truth[id].0 - own.0).hypot(truth[id].1 - own.1);
    let (members, others): (Vec<_>, Vec<_>) =
        truth.keys().filter(|id| **id != client.id()).partition(|id| client.sees(**id));
    let farthest = members.iter().copied().map(distance).fold(0.0, f64::max);
    let nearest = others.iter().copied().map(distance).fold(f64::INFINITY, f64::min);
    // One unit of tolerance: positions are rounded and compared as squares.
    members.len() == visible_max.min(truth.len() - 1) && nearest >= CLEARLY_NEARER * farthest - 1.0
}
