//! The simulation's random generator. The sequence of a seed must never change, so that a failure can be
//! repeated.

/// A linear congruential generator with Knuth's MMIX constants. Its high bits are good enough for random
/// actions.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        // Neighboring seeds have similar first numbers.
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Returns true with a probability of 1 / `times`.
    pub fn chance(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
