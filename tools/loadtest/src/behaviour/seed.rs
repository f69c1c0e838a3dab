//! A random vector at a fixed rate. The game's first load tool sent one every 100 ms.

use super::{Action, Decision, SECOND_NS, random_vector};
use crate::random::Random;

/// A player with random vectors.
#[derive(Clone, Debug)]
pub struct Seed {
    interval_ns: u64,
}

impl Seed {
    /// Starts at a random time within the first interval, so that clients that joined together do not send together.
    pub fn begin(moves_per_s: f64, now_ns: u64, random: &mut Random) -> (Seed, u64) {
        let interval_ns = (SECOND_NS as f64 / moves_per_s) as u64;
        (Seed { interval_ns }, now_ns + random.below(interval_ns))
    }

    /// Returns a random vector; the next one is due one interval after `due_ns`.
    pub fn act(&mut self, due_ns: u64, random: &mut Random) -> Decision {
        Decision {
            facing: None,
            action: Action::SetVector(random_vector(random)),
            next_ns: due_ns + self.interval_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_exact() {
        let mut random = Random::new(1);
        let (mut seed, first_ns) = Seed::begin(10.0, 1_000, &mut random);
        assert!((1_000..100_001_000).contains(&first_ns));
        let mut due_ns = first_ns;
        for _ in 0..600 {
            due_ns = seed.act(due_ns, &mut random).next_ns;
        }
        assert_eq!(due_ns - first_ns, 60 * SECOND_NS);
    }
}
