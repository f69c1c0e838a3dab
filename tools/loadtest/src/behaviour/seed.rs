//! A random vector at a fixed rate. The game's first load tool sent one every 100 ms.

use super::{Action, Decision, SECOND_NS, random_vector};
use fastrand::Rng;

/// A player with random vectors.
#[derive(Clone, Debug)]
pub struct Seed {
    interval_ns: u64,
}

impl Seed {
    /// Starts at a random time within the first interval, so that clients that joined together do not send together.
    pub fn begin(moves_per_s: f64, now_ns: u64, random: &mut Rng) -> (Seed, u64) {
        let interval_ns = (SECOND_NS as f64 / moves_per_s) as u64;
        (Seed { interval_ns }, now_ns + random.u64(..=interval_ns))
    }

    /// Returns a random vector; the next one is due one interval after `due_ns`.
    pub fn act(&mut self, due_ns: u64, random: &mut Rng) -> Decision {
        Decision {
            facing: None,
            action: Action::SetVector(random_vector(random)),
            next_ns: due_ns + self.interval_ns,
        }
    }
}
