//! Branch-free filtering of an array.
//!
//! Whether an entity changed or is near enough is unpredictable, and mispredicting half of the branches costs
//! more than all other work of an interest update.

/// Collects the items that pass a filter. Each item is written either way; only the length depends on it.
#[derive(Debug, Default)]
pub(super) struct Compactor<T> {
    /// The kept items; elements past `kept` are unused.
    items: Vec<T>,
    kept: usize,
}

impl<T: Copy + Default> Compactor<T> {
    pub(super) fn clear(&mut self) {
        self.kept = 0;
    }

    /// Appends the items whose flag is true.
    pub(super) fn compact(&mut self, offers: impl ExactSizeIterator<Item = (T, bool)>) {
        let most = self.kept + offers.len();
        if self.items.len() < most {
            self.items.resize(most, T::default());
        }
        let room = &mut self.items[self.kept..most];
        let mut kept = 0;
        for (item, keep) in offers {
            room[kept] = item;
            kept += usize::from(keep);
        }
        self.kept += kept;
    }

    /// Appends an item.
    pub(super) fn push(&mut self, item: T) {
        self.compact(std::iter::once((item, true)));
    }

    /// Returns the kept items, in the order of the input.
    pub(super) fn kept(&self) -> &[T] {
        &self.items[..self.kept]
    }

    pub(super) fn kept_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.kept]
    }

    pub(super) fn truncate(&mut self, count: usize) {
        self.kept = self.kept.min(count);
    }
}

#[cfg(test)]
mod tests {
    use super::Compactor;

    #[test]
    fn keeps_flagged_items_in_order() {
        let mut compactor = Compactor::default();
        compactor.compact((0..10).map(|n| (n, n % 3 == 0)));
        assert_eq!(compactor.kept(), [0, 3, 6, 9]);
        compactor.compact([(20, true), (21, false)].into_iter());
        assert_eq!(compactor.kept(), [0, 3, 6, 9, 20]);
        compactor.truncate(2);
        assert_eq!(compactor.kept(), [0, 3]);
        compactor.clear();
        assert!(compactor.kept().is_empty());
    }
}
