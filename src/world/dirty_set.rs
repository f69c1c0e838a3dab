//! The entities that changed in the last ticks, one bit per slot.
//!
//! A flush tests every entity in the viewer's interest set, and most have not changed since the last flush. One row of
//! bits, a kilobyte for ten thousand players, answers for the whole flush without touching a cache line per entity.

use super::Tick;

/// Closed ticks that are kept. A query about an older tick reports every entity as changed.
const TICKS_KEPT: usize = 16;

const BITS: usize = u64::BITS as usize;

/// The slots that changed, accumulated over the last ticks.
#[derive(Debug, Clone)]
pub(super) struct DirtySet {
    /// Changes of the tick in progress.
    open: Vec<u64>,
    /// `closed[age]`: changes of the `age` ticks closed last. `closed[0]` is empty.
    closed: Vec<Vec<u64>>,
    /// Every slot; the result of queries beyond the kept ticks.
    all: Vec<u64>,
}

/// The slots that changed in a span of ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirtySlots<'a>(&'a [u64]);

impl DirtySlots<'_> {
    /// Returns whether the entity in this slot changed, or an entity was removed from it.
    pub(crate) fn has(self, slot: u32) -> bool {
        self.0[slot as usize / BITS] >> (slot as usize % BITS) & 1 == 1
    }
}

impl DirtySet {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), closed: vec![Vec::new(); TICKS_KEPT + 1], all: Vec::new() }
    }

    /// Extends the rows to hold all slots below `slots`.
    pub(super) fn reserve(&mut self, slots: usize) {
        let words = slots.div_ceil(BITS);
        if words > self.open.len() {
            self.open.resize(words, 0);
            self.closed.iter_mut().for_each(|row| row.resize(words, 0));
            self.all.resize(words, u64::MAX);
        }
    }

    /// Records a change in the tick in progress.
    pub(super) fn mark(&mut self, at: usize) {
        self.open[at / BITS] |= 1 << (at % BITS);
    }

    /// Closes the tick in progress and the empty ones after it, `ticks` in total.
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

    /// Returns the slots that changed in the `age` ticks closed last.
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
    fn a_change_is_reported_from_the_end_of_its_tick_while_the_tick_is_kept() {
        let mut dirty = DirtySet::new();
        dirty.reserve(SLOTS);
        dirty.mark(7);
        dirty.mark(199);
        assert!((0..=16).all(|age| changed(&dirty, age).is_empty()), "the tick is in progress");
        dirty.close(1);
        dirty.mark(64);
        dirty.close(1);
        assert_eq!(changed(&dirty, 0), [0; 0]);
        assert_eq!(changed(&dirty, 1), [64]);
        assert_eq!(changed(&dirty, 2), [7, 64, 199]);
        dirty.close(14);
        assert_eq!((changed(&dirty, 14), changed(&dirty, 15)), (vec![], vec![64]));
        assert_eq!(changed(&dirty, 16), [7, 64, 199]);
        assert_eq!(changed(&dirty, 17).len(), SLOTS, "older than the kept ticks");
        dirty.close(1);
        assert_eq!((changed(&dirty, 15), changed(&dirty, 16)), (vec![], vec![64]));
    }

    #[test]
    fn a_long_pause_clears_the_set() {
        let mut dirty = DirtySet::new();
        dirty.reserve(SLOTS);
        dirty.mark(7);
        dirty.close(u32::MAX);
        assert_eq!(changed(&dirty, 16), [0; 0]);
        dirty.reserve(10_000);
        assert!(!dirty.within(16).has(9_999) && dirty.within(17).has(9_999));
    }
}
