//! The entities that changed in the last ticks, one bit per slot: a kilobyte answers for ten thousand players.

use super::Tick;
use serde::{Deserialize, Serialize};

/// Closed ticks that are kept. A query about an older tick reports every entity as changed.
const TICKS_KEPT: usize = 16;

const BITS: usize = u64::BITS as usize;

/// The slots that changed, accumulated over the last ticks.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

impl<'a> DirtySlots<'a> {
    /// Returns the slots as bits, 64 per word.
    pub(crate) fn words(self) -> &'a [u64] {
        self.0
    }

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
