//! The members of an interest set as bits, one per slot. Its intersection with the changed slots is the content of a delta: in
//! a world of a thousand entities that reads two cache lines, while the list of members has eight.

use serde::{Deserialize, Serialize};

use crate::prefetch::prefetch_all;

const BITS: usize = u64::BITS as usize;

const WORDS: usize = 32;

/// Slots that a mask covers. In a larger world the list of members is shorter than the bits, so its viewers have no mask.
pub(super) const SLOTS_MAX: usize = WORDS * BITS;

/// A set of slots below [`SLOTS_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(align(64))]
pub(crate) struct SlotMask([u64; WORDS]);

impl SlotMask {
    /// Replaces the set.
    ///
    /// # Panics
    /// If a slot is out of range.
    pub(super) fn assign(&mut self, slots: &[u32]) {
        self.0.fill(0);
        for &slot in slots {
            self.insert(slot);
        }
    }

    /// Adds a slot.
    ///
    /// # Panics
    /// If the slot is out of range.
    pub(super) fn insert(&mut self, slot: u32) {
        self.0[slot as usize / BITS] |= 1 << (slot as usize % BITS);
    }

    /// Removes a slot.
    ///
    /// # Panics
    /// If the slot is out of range.
    pub(super) fn remove(&mut self, slot: u32) {
        self.0[slot as usize / BITS] &= !(1 << (slot as usize % BITS));
    }

    /// Returns whether these are the slots of the set.
    pub(super) fn is_of(&self, slots: &[u32]) -> bool {
        let mut other = Self::default();
        other.assign(slots);
        *self == other
    }

    /// Writes the slots of this set that are also in `others`, a word per 64 slots, to `common` in ascending order.
    pub(super) fn intersect(&self, others: &[u64], common: &mut Vec<u32>) {
        common.clear();
        for (at, (own, other)) in self.0.iter().zip(others).enumerate() {
            let mut both = own & other;
            while both != 0 {
                common.push((at * BITS) as u32 + both.trailing_zeros());
                both &= both - 1;
            }
        }
    }

    /// Prefetches the words of the slots below `slots`.
    pub(super) fn prefetch(&self, slots: usize) {
        prefetch_all(&self.0[..slots.div_ceil(BITS).min(WORDS)]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_intersection_has_the_common_slots(
            first in proptest::collection::btree_set(0..SLOTS_MAX as u32, 0..200),
            own in proptest::collection::btree_set(0..SLOTS_MAX as u32, 0..200),
            others in proptest::collection::btree_set(0..SLOTS_MAX as u32, 0..2_000),
            words in 0..=WORDS,
        ) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<u32>>();
            let (mut mask, mut other) = (SlotMask::default(), SlotMask::default());
            mask.assign(&list(&first));
            mask.assign(&list(&own));
            other.assign(&list(&others));
            let mut common = vec![7];
            mask.intersect(&other.0[..words], &mut common);
            let expected = own.intersection(&others).copied().filter(|slot| (*slot as usize) < words * BITS);
            prop_assert_eq!(common, expected.collect::<Vec<u32>>());
        }
    }
}
