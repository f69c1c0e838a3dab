//! Where everybody stands in truth, by each player's own last answer, and whether a picture agrees with it.

use std::collections::BTreeMap;
use std::time::Instant;

use game_client::{Facing, PlayerId, Vector};

use super::{Client, poll_until, wait_for_acks};

/// How much nearer than a member of a view a newcomer must be to take its place.
const CLEARLY_NEARER: f64 = 0.7;

/// Steps every client takes, one every [`STEP_MS`] milliseconds.
const STEPS: u32 = 24;
const STEP_MS: u64 = 100;

/// Where a player ended, by its own last answer.
pub type GroundTruth = BTreeMap<PlayerId, (f64, f64)>;

/// Lets everybody walk this way and that, and stand still at the end. Returns where they stand.
pub fn walk_around(clients: &mut [Client]) -> GroundTruth {
    let directions = [Vector::RIGHT, Vector::DOWN, Vector::LEFT, Vector::UP];
    let sent: Vec<u64> = clients.iter().map(|client| client.replica.own().answered()).collect();
    let (start, mut taken) = (Instant::now(), 0);
    poll_until(clients, "a walk of everybody", |clients| {
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
        let answered = client.replica.own().answered() - before;
        assert_eq!(answered, u64::from(STEPS) + 1, "every MOVE is answered once");
    }
    let standing = |client: &Client| (f64::from(client.acknowledged().0), f64::from(client.acknowledged().1));
    clients.iter().map(|client| (client.id(), standing(client))).collect()
}

/// Whether everybody on this picture stands where it does in truth. Somebody shown who is not in truth is a ghost, and
/// the picture is not true.
pub fn matches_ground_truth(client: &Client, truth: &GroundTruth) -> bool {
    client.replica.remotes().all(|remote| {
        truth.get(&remote.id) == Some(&(remote.x, remote.y))
            && remote.shown()
            && remote.vector == Vector::ZERO
            && remote.facing == Facing::Right
    })
}

/// Whether this client is shown as many as it may be, and nobody who is left out is clearly nearer than a member.
pub fn sees_the_nearest(client: &Client, truth: &GroundTruth, visible_max: usize) -> bool {
    let own = truth[&client.id()];
    let distance = |id: &PlayerId| (truth[id].0 - own.0).hypot(truth[id].1 - own.1);
    let (members, others): (Vec<_>, Vec<_>) =
        truth.keys().filter(|id| **id != client.id()).partition(|id| client.sees(**id));
    let farthest = members.iter().copied().map(distance).fold(0.0, f64::max);
    let nearest = others.iter().copied().map(distance).fold(f64::INFINITY, f64::min);
    // A unit for positions rounded and compared as squares.
    members.len() == visible_max.min(truth.len() - 1) && nearest >= CLEARLY_NEARER * farthest - 1.0
}
