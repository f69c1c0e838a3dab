//! The interest set: the entities a viewer currently sees.
//!
//! The set is stored as three rows in one allocation: slots, ids and enter ticks. A delta reads the slots
//! only, which is a third of the cache lines.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::prefetch::prefetch_all;
use crate::world::Tick;

/// A member of an interest set. Slots are reused: the entity is gone if its slot holds another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InterestEntry {
    pub(crate) slot: u32,
    pub(crate) id: u32,
    /// Lower 32 bits of the tick in which the entity entered; differences wrap.
    pub(crate) entered: u32,
}

impl InterestEntry {
    /// Returns the number of ticks since the entity entered, correct up to 2^32.
    pub(crate) fn age(self, now: Tick) -> Tick {
        age(self.entered, now)
    }
}

fn age(entered: u32, now: Tick) -> Tick {
    Tick::from((now as u32).wrapping_sub(entered))
}

/// The members that left in an interest update.
#[derive(Debug, Default)]
pub(super) struct Left {
    slots: Vec<u32>,
    ids: Vec<u32>,
}

impl Left {
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.ids.clear();
    }

    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Returns the slot and the id of each.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.slots.iter().copied().zip(self.ids.iter().copied())
    }
}

/// The members of an interest set, in the order in which they entered.
#[derive(Debug, Clone, Default)]
pub(crate) struct InterestSet {
    /// The rows, one after the other, each of the same capacity.
    rows: Box<[u32]>,
    len: u32,
}

/// Rows: slots, ids, enter ticks.
const ROWS: usize = 3;

/// Initial capacity of a row: one cache line.
const CAPACITY_MIN: usize = 16;

/// The rows as bytes: ten thousand sets of 128 members are most of a process's image.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl Serialize for InterestSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = vec![0; size_of_val(&*self.rows)];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(&self.rows) {
            *bytes = word.to_le_bytes();
        }
        (self.len, Bytes(bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for InterestSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (len, bytes) = <(u32, &[u8])>::deserialize(deserializer)?;
        let (words, rest) = bytes.as_chunks();
        let rows: Box<[u32]> = words.iter().map(|&word| u32::from_le_bytes(word)).collect();
        let is_valid =
            rest.is_empty() && rows.len().is_multiple_of(ROWS) && len as usize <= rows.len() / ROWS;
        is_valid.then_some(Self { rows, len }).ok_or_else(|| D::Error::custom("rows of another length"))
    }
}

impl InterestSet {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn slots(&self) -> &[u32] {
        self.row(0)
    }

    pub(crate) fn ids(&self) -> &[u32] {
        self.row(1)
    }

    fn entered_ticks(&self) -> &[u32] {
        self.row(2)
    }

    fn row(&self, row: usize) -> &[u32] {
        let capacity = self.capacity();
        &self.rows[row * capacity..row * capacity + self.len()]
    }

    fn capacity(&self) -> usize {
        self.rows.len() / ROWS
    }

    /// Returns the member at this position.
    ///
    /// # Panics
    /// If `position` is out of bounds.
    pub(crate) fn at(&self, position: usize) -> InterestEntry {
        InterestEntry {
            slot: self.slots()[position],
            id: self.ids()[position],
            entered: self.entered_ticks()[position],
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = InterestEntry> + ExactSizeIterator {
        let pairs = self.slots().iter().zip(self.ids()).zip(self.entered_ticks());
        pairs.map(|((&slot, &id), &entered)| InterestEntry { slot, id, entered })
    }

    /// Returns the number of members that entered at least `ticks` ticks ago. They come first.
    pub(crate) fn count_aged(&self, ticks: Tick, now: Tick) -> usize {
        self.entered_ticks().partition_point(|&entered| age(entered, now) >= ticks)
    }

    /// Adds an entity that enters in tick `now`.
    pub(crate) fn enter(&mut self, slot: u32, id: u32, now: Tick) {
        if self.len() == self.capacity() {
            self.grow();
        }
        self.set(self.len(), InterestEntry { slot, id, entered: now as u32 });
        self.len += 1;
    }

    fn set(&mut self, position: usize, member: InterestEntry) {
        let capacity = self.capacity();
        for (row, value) in [member.slot, member.id, member.entered].into_iter().enumerate() {
            self.rows[row * capacity + position] = value;
        }
    }

    fn grow(&mut self) {
        let capacity = (2 * self.capacity()).max(CAPACITY_MIN);
        let mut rows = vec![0; ROWS * capacity].into_boxed_slice();
        for row in 0..ROWS {
            rows[row * capacity..][..self.len()].copy_from_slice(self.row(row));
        }
        self.rows = rows;
    }

    /// Restarts the age of the members from position `first` on.
    pub(crate) fn reset_entered(&mut self, first: usize, now: Tick) {
        let (start, end) = (2 * self.capacity() + first, 2 * self.capacity() + self.len());
        self.rows[start..end].fill(now as u32);
    }

    /// Removes the members at these positions, which ascend. Appends their slots and ids to `left`.
    ///
    /// # Panics
    /// If a position is out of bounds.
    pub(super) fn remove(&mut self, positions: &[u32], left: &mut Left) {
        left.slots.extend(positions.iter().map(|&at| self.slots()[at as usize]));
        left.ids.extend(positions.iter().map(|&at| self.ids()[at as usize]));
        let (len, capacity) = (self.len(), self.capacity());
        for row in 0..ROWS {
            let row = &mut self.rows[row * capacity..][..len];
            for (removed, &at) in positions.iter().enumerate() {
                // The members up to the next removed one move together.
                let next = positions.get(removed + 1).map_or(len, |&next| next as usize);
                row.copy_within(at as usize + 1..next, at as usize - removed);
            }
        }
        self.len -= positions.len() as u32;
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(InterestEntry) -> bool) {
        let mut kept = 0;
        for position in 0..self.len() {
            let member = self.at(position);
            if keep(member) {
                self.set(kept, member);
                kept += 1;
            }
        }
        self.len = kept as u32;
    }

    /// Prefetches the cache lines that a delta reads.
    pub(crate) fn prefetch_slots(&self) {
        prefetch_all(self.slots());
    }

    pub(crate) fn prefetch(&self) {
        (0..ROWS).for_each(|row| prefetch_all(self.row(row)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(number: u32) -> InterestEntry {
        InterestEntry { slot: number, id: 1000 + number, entered: 2 * number }
    }

    fn set_of(count: u32) -> InterestSet {
        let mut set = InterestSet::default();
        (0..count).for_each(|number| set.enter(number, 1000 + number, Tick::from(2 * number)));
        set
    }

    #[test]
    fn ages_are_correct_when_ticks_exceed_32_bits() {
        let mut set = InterestSet::default();
        let start = Tick::from(u32::MAX) - 1;
        (0..4).for_each(|n| set.enter(n, n, start + Tick::from(n)));
        assert_eq!(set.at(0).age(start + 10), 10);
        assert_eq!(set.at(3).age(start + 10), 7);
        assert_eq!([7, 8, 9, 11].map(|ticks| set.count_aged(ticks, start + 10)), [4, 3, 2, 0]);
        set.reset_entered(2, start + 9);
        assert_eq!([1, 2, 9].map(|ticks| set.count_aged(ticks, start + 10)), [4, 2, 2]);
    }

    proptest! {
        #[test]
        fn removing_and_retaining_match_filtering_a_list(count in 0u32..200, gone in proptest::collection::vec(any::<bool>(), 200)) {
            let mut kept = set_of(count);
            let all: Vec<InterestEntry> = (0..count).map(member).collect();
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), all.clone());
            let keep = |member: &InterestEntry| !gone[member.slot as usize];
            let (expected, others): (Vec<InterestEntry>, Vec<InterestEntry>) = all.into_iter().partition(keep);
            let mut left = Left::default();
            let positions: Vec<u32> = (0..count).filter(|at| gone[*at as usize]).collect();
            kept.remove(&positions, &mut left);
            let mut retained = set_of(count);
            retained.retain(|member| keep(&member));
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(retained.iter().collect::<Vec<_>>(), expected.clone());
            let others: Vec<_> = others.iter().map(|member| (member.slot, member.id)).collect();
            prop_assert_eq!(left.iter().collect::<Vec<_>>(), others);
            prop_assert_eq!(kept.iter().next_back(), expected.last().copied());
        }
    }
}
