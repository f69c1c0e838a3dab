//! A seeded random number generator with a fixed sequence: the same seed must give the same spawn positions in every
//! version. Libraries don't promise that across versions for their small, fast generators. The algorithm is
//! `SplitMix64` by Steele, Lea and Flood (OOPSLA 2014).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `[min, max)`. The bias of the multiplication is below 2^-47 for 16-bit ranges.
    pub(crate) fn in_range(&mut self, min: u16, max: u16) -> u16 {
        assert!(min < max, "the range is not empty");
        let span = u64::from(max - min);
        min + ((u128::from(self.next()) * u128::from(span)) >> 64) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_matches_the_reference() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_cover_their_range_and_stay_inside() {
        let mut random = SplitMix64::new(1);
        let mut seen = [false; 8];
        for _ in 0..200 {
            seen[usize::from(random.in_range(100, 108)) - 100] = true;
        }
        assert_eq!(seen, [true; 8]);
    }
}
