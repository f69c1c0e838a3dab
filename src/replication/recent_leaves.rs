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
/// than the set had at its beginning, so `MAX_VISIBLE` bounds the leaves of the time afterwards.
const LEAVES_MAX: usize = 256;

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
        }
    }

    /// Records that these slots and ids left in tick `now`. Beyond `max_visible`, and [`LEAVES_MAX`], the oldest leaves are
    /// forgotten: those entities may enter early.
    pub(super) fn record(&mut self, left: impl Iterator<Item = (u32, u32)>, now: Tick, max_visible: usize) {
        let leave = |(slot, id): (u32, u32)| Leave { slot, id: id as u16, left_at: now as u16 };
        let by_age = &mut self.0.get_or_insert_default().by_age;
        by_age.extend(left.map(leave));
        let surplus = by_age.len().saturating_sub(max_visible.max(LEAVES_MAX));
        by_age.drain(..surplus);
        if by_age.is_empty() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        leaves.record((0..LEAVES_MAX as u32 + 5).map(|n| (n, n)), start, 4);
        assert_eq!((slots(&leaves)[0], slots(&leaves).len()), (5, LEAVES_MAX));
        leaves.record(std::iter::empty(), start, 4);
        assert_eq!(slots(&leaves).len(), LEAVES_MAX);
    }
}
