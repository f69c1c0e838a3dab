//! A list that takes an item or leaves it without a branch.
//!
//! What a look finds out about somebody - changed or not, near enough or not - is as good as random, and a processor
//! that guesses wrong half of the time loses more than the whole rest of the work takes.

/// Items offered, of which some are kept. An offer costs the same whether it is taken or not.
#[derive(Debug, Default)]
pub(super) struct Compactor<T> {
    /// The kept ones, and room after them.
    items: Vec<T>,
    kept: usize,
}

impl<T: Copy + Default> Compactor<T> {
    /// Forgets what it kept.
    pub(super) fn clear(&mut self) {
        self.kept = 0;
    }

    /// Goes through offers, items with a word on whether to take them.
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

    /// What was kept, in the order of the offers.
    pub(super) fn kept(&self) -> &[T] {
        &self.items[..self.kept]
    }

    /// The same, to be put into another order.
    pub(super) fn kept_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.kept]
    }

    /// Lets go of all but the first `count`.
    pub(super) fn truncate(&mut self, count: usize) {
        self.kept = self.kept.min(count);
    }
}

#[cfg(test)]
mod tests {
    use super::Compactor;

    #[test]
    fn it_keeps_what_it_is_told_to_in_order() {
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
