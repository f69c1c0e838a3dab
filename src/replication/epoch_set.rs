//! A set of slots that is emptied in no time.

/// Marks on slots, a byte each, so that those of a large crowd stay in the nearest cache.
#[derive(Debug, Default)]
pub(super) struct EpochSet {
    /// By slot, the number of the round that marked it.
    epochs: Vec<u8>,
    /// This round's number; 0 is never one.
    epoch: u8,
}

impl EpochSet {
    /// Removes every mark; afterwards slots below `slots` can be marked.
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

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.epochs[slot as usize] == self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::EpochSet;

    #[test]
    fn no_mark_outlives_its_round_however_many_there_were() {
        let mut set = EpochSet::default();
        for epoch in 0..1000 {
            set.clear(10);
            let slot = epoch % 10;
            assert!((0..10).all(|slot| !set.contains(slot)), "round {epoch}");
            set.insert(slot);
            assert!((0..10).all(|other| set.contains(other) == (other == slot)));
        }
    }
}
