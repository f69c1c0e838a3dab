//! A set of slots that is cleared in O(1), by raising its epoch.

/// A set of slots. One byte per slot, so that the set for thousands of entities fits in the L1 cache.
#[derive(Debug, Default)]
pub(super) struct EpochSet {
    /// Epoch in which each slot was last inserted.
    epochs: Vec<u8>,
    /// Current epoch; never 0 after the first [`EpochSet::clear`].
    epoch: u8,
}

impl EpochSet {
    /// Clears the set and grows it to hold slots below `slots`. Every 255th call rewrites all bytes.
    pub(super) fn clear(&mut self, slots: usize) {
        if self.epoch == u8::MAX {
            self.epochs.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        if self.epochs.len() < slots {
            self.epochs.resize(slots, 0);
        }
    }

    pub(super) fn insert(&mut self, slot: u32) {
        self.epochs[slot as usize] = self.epoch;
    }

    /// Returns the set for many queries.
    pub(super) fn view(&self) -> EpochView<'_> {
        EpochView { epochs: &self.epochs, epoch: self.epoch }
    }
}

/// A set that does not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochView<'a> {
    epochs: &'a [u8],
    epoch: u8,
}

impl EpochView<'_> {
    pub(super) fn contains(self, slot: u32) -> bool {
        self.epochs[slot as usize] == self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::EpochSet;

    #[test]
    fn is_empty_after_every_clear_even_when_the_epoch_wraps() {
        let mut set = EpochSet::default();
        for epoch in 0..1000 {
            set.clear(10);
            let slot = epoch % 10;
            assert!((0..10).all(|slot| !set.view().contains(slot)), "epoch {epoch}");
            set.insert(slot);
            assert!((0..10).all(|other| set.view().contains(other) == (other == slot)));
        }
    }
}
