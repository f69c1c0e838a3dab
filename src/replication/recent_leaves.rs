//! The entities that left an interest set a moment ago. They may not enter again at once: near the cap, a player would
//! otherwise blink at the rim of the set.

use serde::{Deserialize, Serialize};

use crate::world::Tick;

/// An entity that left. Slots are reused: the entity is another one if the lower bits of its id differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leave {
    pub(super) slot: u32,
    /// Lower 16 bits of the id.
    id: u16,
    /// Lower 16 bits of the tick in which it left.
    left_at: u16,
}

impl Leave {
    /// Returns whether this is the entity with the id.
    pub(super) fn is_of(self, id: u32) -> bool {
        self.id == id as u16
    }

    fn age(self, now: Tick) -> Tick {
        Tick::from((now as u16).wrapping_sub(self.left_at))
    }
}

/// Most leaves kept before the first snapshot, when they are kept for longest. In the time of a dwell, no more entities can leave
/// than the set had at its beginning, so `MAX_VISIBLE` bounds the leaves of the time afterwards. They are a kibibyte of each player
/// that joins a crowd.
const LEAVES_MAX: usize = 128;

/// Most room for leaves, as a multiple of those kept. Before the first snapshot there are several times as many as afterwards.
const SPARE_MAX: usize = 4;

/// The leaves of one viewer, oldest first. Most viewers have none, which costs one pointer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RecentLeaves(Option<Box<Leaves>>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Leaves {
    by_age: Vec<Leave>,
}

impl RecentLeaves {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the leaves, oldest first.
    pub(super) fn as_slice(&self) -> &[Leave] {
        self.0.as_ref().map_or(&[], |leaves| &leaves.by_age)
    }

    /// Forgets the leaves that are `hold` ticks old, given that the last call was `elapsed` ticks ago.
    pub(super) fn forget(&mut self, hold: Tick, elapsed: Tick, now: Tick) {
        let Some(leaves) = &mut self.0 else { return };
        // Ages are correct below 2^16 ticks.
        let expired = if elapsed >= hold {
            leaves.by_age.len()
        } else {
            leaves.by_age.partition_point(|leave| leave.age(now) >= hold)
        };
        leaves.by_age.drain(..expired);
        if leaves.by_age.is_empty() {
            self.0 = None;
        } else if leaves.by_age.capacity() > SPARE_MAX * leaves.by_age.len() {
            leaves.by_age.shrink_to_fit();
        }
    }

    /// Records that these slots and ids left in tick `now`. Beyond `max_visible`, and [`LEAVES_MAX`], the oldest leaves are
    /// forgotten: those entities may enter early.
    pub(super) fn record(
        &mut self,
        left: impl ExactSizeIterator<Item = (u32, u32)>,
        now: Tick,
        max_visible: usize,
    ) {
        if left.len() == 0 {
            return;
        }
        let leave = |(slot, id): (u32, u32)| Leave { slot, id: id as u16, left_at: now as u16 };
        let by_age = &mut self.0.get_or_insert_default().by_age;
        // Forgotten before the others are added, so that the list never grows beyond its bound.
        let most = max_visible.max(LEAVES_MAX);
        let surplus = (by_age.len() + left.len()).saturating_sub(most);
        let oldest = surplus.min(by_age.len());
        by_age.drain(..oldest);
        let len = by_age.len() + left.len() - (surplus - oldest);
        if len > by_age.capacity() {
            let room = len.max(2 * by_age.capacity()).min(most);
            by_age.reserve_exact(room - by_age.len());
        }
        by_age.extend(left.skip(surplus - oldest).map(leave));
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |leaves| leaves.by_age.capacity())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn pairs(numbers: Range<u32>) -> impl ExactSizeIterator<Item = (u32, u32)> {
        numbers.map(|number| (number, number))
    }

    fn slots(leaves: &RecentLeaves) -> Vec<u32> {
        leaves.as_slice().iter().map(|leave| leave.slot).collect()
    }

    #[test]
    fn leaves_are_forgotten_by_age_and_beyond_the_bound() {
        let mut leaves = RecentLeaves::default();
        let start = Tick::from(u16::MAX) - 1;
        for n in 0..4_u32 {
            leaves.record([(n, 70_000 + n)].into_iter(), start + Tick::from(n), 4);
        }
        assert!(
            leaves.as_slice().iter().all(|leave| leave.is_of(70_000 + leave.slot) && !leave.is_of(70_009))
        );
        leaves.forget(10, 1, start + 11);
        assert_eq!(slots(&leaves), [2, 3], "older than ten ticks, across the wrap of the tick");
        leaves.forget(10, 1, start + 13);
        assert!(leaves.is_empty());
        leaves.record([(1, 1)].into_iter(), start, 4);
        leaves.forget(10, 1 << 16, start + (1 << 16) + 1);
        assert!(leaves.is_empty(), "ages wrap, so a long pause forgets all");
        leaves.record(pairs(0..LEAVES_MAX as u32 + 5), start, 4);
        assert_eq!((slots(&leaves)[0], slots(&leaves).len()), (5, LEAVES_MAX));
        leaves.record(std::iter::empty(), start, 4);
        assert_eq!(slots(&leaves).len(), LEAVES_MAX);
    }

    #[test]
    fn a_list_takes_no_more_memory_than_its_leaves_need() {
        let (mut leaves, start) = (RecentLeaves::default(), 1_000);
        for tick in 0..100 {
            leaves.record(pairs(0..40), start + tick, 128);
        }
        assert_eq!((slots(&leaves).len(), leaves.capacity()), (LEAVES_MAX, LEAVES_MAX));
        leaves.forget(2, 1, start + 100);
        assert_eq!(slots(&leaves).len(), 40);
        assert_eq!(leaves.capacity(), LEAVES_MAX);
        leaves.record(pairs(0..3), start + 101, 128);
        leaves.forget(2, 1, start + 102);
        assert!(leaves.capacity() <= SPARE_MAX * 3);
    }
}
