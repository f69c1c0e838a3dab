//! Whose changes are dirty, a bit for each slot.
//!
//! A viewer's turn asks about everybody in view, and most have not changed since its last one. The answers to a whole turn
//! come from one row of bits, a kilobyte for ten thousand players, instead of a cache line of each.

use super::Tick;

/// How many closed ticks back it is known who changed; of older ones it is said that everybody may have.
const TICKS_KEPT: usize = 16;

const BITS: usize = u64::BITS as usize;

/// Who changed, tick by tick.
#[derive(Debug, Clone)]
pub(super) struct DirtySet {
    /// Those of the tick under way.
    open: Vec<u64>,
    /// By age, those of the so many ticks closed last; of age 0 nobody.
    closed: Vec<Vec<u64>>,
    /// Everybody, for whoever asks about older ticks.
    all: Vec<u64>,
}

/// Those who changed in a span of ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirtySlots<'a>(&'a [u64]);

impl DirtySlots<'_> {
    /// Whether whoever holds or held this slot changed in it, or left.
    pub(crate) fn has(self, slot: u32) -> bool {
        self.0[slot as usize / BITS] >> (slot as usize % BITS) & 1 == 1
    }
}

impl DirtySet {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), closed: vec![Vec::new(); TICKS_KEPT + 1], all: Vec::new() }
    }

    /// Makes room for slots below `slots`.
    pub(super) fn reserve(&mut self, slots: usize) {
        let words = slots.div_ceil(BITS);
        if words > self.open.len() {
            self.open.resize(words, 0);
            self.closed.iter_mut().for_each(|row| row.resize(words, 0));
            self.all.resize(words, u64::MAX);
        }
    }

    /// Records a change in the tick under way.
    pub(super) fn mark(&mut self, at: usize) {
        self.open[at / BITS] |= 1 << (at % BITS);
    }

    /// Closes the tick under way, and as many after it as make `ticks`.
    pub(super) fn close(&mut self, ticks: u32) {
        for _ in 0..ticks.min(TICKS_KEPT as u32 + 1) {
            self.closed.rotate_right(1);
            self.closed[0].fill(0);
            for row in &mut self.closed[1..] {
                row.iter_mut().zip(&self.open).for_each(|(row, open)| *row |= open);
            }
            self.open.fill(0);
        }
    }

    /// Those who changed in the `age` ticks closed last.
    pub(super) fn within(&self, age: Tick) -> DirtySlots<'_> {
        DirtySlots(usize::try_from(age).ok().and_then(|age| self.closed.get(age)).unwrap_or(&self.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 200;

    fn changed(dirty: &DirtySet, age: Tick) -> Vec<u32> {
        (0..SLOTS as u32).filter(|&slot| dirty.within(age).has(slot)).collect()
    }

    #[test]
    fn a_change_counts_from_the_end_of_its_tick_for_as_long_as_it_is_recent() {
        let mut dirty = DirtySet::new();
        dirty.reserve(SLOTS);
        dirty.mark(7);
        dirty.mark(199);
        assert!((0..=16).all(|age| changed(&dirty, age).is_empty()), "the tick is under way");
        dirty.close(1);
        dirty.mark(64);
        dirty.close(1);
        assert_eq!(changed(&dirty, 0), [0; 0]);
        assert_eq!(changed(&dirty, 1), [64]);
        assert_eq!(changed(&dirty, 2), [7, 64, 199]);
        dirty.close(14);
        assert_eq!((changed(&dirty, 14), changed(&dirty, 15)), (vec![], vec![64]));
        assert_eq!(changed(&dirty, 16), [7, 64, 199]);
        assert_eq!(changed(&dirty, 17).len(), SLOTS, "too long ago to know");
        dirty.close(1);
        assert_eq!((changed(&dirty, 15), changed(&dirty, 16)), (vec![], vec![64]));
    }

    #[test]
    fn a_long_pause_ends_what_was_recent() {
        let mut dirty = DirtySet::new();
        dirty.reserve(SLOTS);
        dirty.mark(7);
        dirty.close(u32::MAX);
        assert_eq!(changed(&dirty, 16), [0; 0]);
        dirty.reserve(10_000);
        assert!(!dirty.within(16).has(9_999) && dirty.within(17).has(9_999));
    }
}
