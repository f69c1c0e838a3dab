//! Whose changes are recent, a bit for each slot.
//!
//! A viewer's turn asks about everybody in view, and most have not changed since its last one. The answers to a whole turn
//! come from one row of bits, a kilobyte for ten thousand players, instead of a cache line of each.

use super::Tick;

/// How many closed ticks back it is known who changed; of older ones it is said that everybody may have.
const TICKS_REMEMBERED: usize = 16;

const BITS: usize = u64::BITS as usize;

/// Who changed, tick by tick.
#[derive(Debug, Clone)]
pub(super) struct RecentChanges {
    /// Those of the tick under way.
    open: Vec<u64>,
    /// By age, those of the so many ticks closed last; of age 0 nobody.
    closed: Vec<Vec<u64>>,
    /// Everybody, for whoever asks about older ticks.
    all: Vec<u64>,
}

/// Those who changed in a span of ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed<'a>(&'a [u64]);

impl Changed<'_> {
    /// Whether whoever holds or held this slot changed in it, or left.
    pub(crate) fn has(self, slot: u32) -> bool {
        self.0[slot as usize / BITS] >> (slot as usize % BITS) & 1 == 1
    }
}

impl RecentChanges {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), closed: vec![Vec::new(); TICKS_REMEMBERED + 1], all: Vec::new() }
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
        for _ in 0..ticks.min(TICKS_REMEMBERED as u32 + 1) {
            self.closed.rotate_right(1);
            self.closed[0].fill(0);
            for row in &mut self.closed[1..] {
                row.iter_mut().zip(&self.open).for_each(|(row, open)| *row |= open);
            }
            self.open.fill(0);
        }
    }

    /// Those who changed in the `age` ticks closed last.
    pub(super) fn within(&self, age: Tick) -> Changed<'_> {
        Changed(usize::try_from(age).ok().and_then(|age| self.closed.get(age)).unwrap_or(&self.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 200;

    fn changed(recent: &RecentChanges, age: Tick) -> Vec<u32> {
        (0..SLOTS as u32).filter(|&slot| recent.within(age).has(slot)).collect()
    }

    #[test]
    fn a_change_counts_from_the_end_of_its_tick_for_as_long_as_it_is_recent() {
        let mut recent = RecentChanges::new();
        recent.reserve(SLOTS);
        recent.mark(7);
        recent.mark(199);
        assert!((0..=16).all(|age| changed(&recent, age).is_empty()), "the tick is under way");
        recent.close(1);
        recent.mark(64);
        recent.close(1);
        assert_eq!(changed(&recent, 0), [0; 0]);
        assert_eq!(changed(&recent, 1), [64]);
        assert_eq!(changed(&recent, 2), [7, 64, 199]);
        recent.close(14);
        assert_eq!((changed(&recent, 14), changed(&recent, 15)), (vec![], vec![64]));
        assert_eq!(changed(&recent, 16), [7, 64, 199]);
        assert_eq!(changed(&recent, 17).len(), SLOTS, "too long ago to know");
        recent.close(1);
        assert_eq!((changed(&recent, 15), changed(&recent, 16)), (vec![], vec![64]));
    }

    #[test]
    fn a_long_pause_ends_what_was_recent() {
        let mut recent = RecentChanges::new();
        recent.reserve(SLOTS);
        recent.mark(7);
        recent.close(u32::MAX);
        assert_eq!(changed(&recent, 16), [0; 0]);
        recent.reserve(10_000);
        assert!(!recent.within(16).has(9_999) && recent.within(17).has(9_999));
    }
}
