//! Allocates ids for new players. Ids only grow, and none is used twice.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::limits::PLAYER_ID_FIRST;

/// The id ranges still available: one in use and one in reserve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IdAllocator {
    current: Range<u32>,
    reserve: Range<u32>,
}

impl IdAllocator {
    /// Starts with the whole id space, for a server without a cluster.
    pub(super) fn all() -> Self {
        Self { current: PLAYER_ID_FIRST..u32::MAX, reserve: 0..0 }
    }

    /// Starts without ids, until a range is granted.
    pub(super) fn none() -> Self {
        Self { current: 0..0, reserve: 0..0 }
    }

    pub(super) fn remaining(&self) -> usize {
        self.current.len() + self.reserve.len()
    }

    /// Adds a range, which must lie above all earlier ones. The range in use is used up first. If there is a reserve
    /// already, it replaces the range in use, whose remaining ids are lost.
    pub(super) fn grant(&mut self, range: Range<u32>) {
        assert!(
            self.current.end <= range.start && self.reserve.end <= range.start,
            "granted ranges must ascend"
        );
        if self.current.is_empty() || !self.reserve.is_empty() {
            self.current = std::mem::replace(&mut self.reserve, 0..0);
        }
        if self.current.is_empty() {
            self.current = range;
        } else {
            self.reserve = range;
        }
    }

    /// Returns the unused ids of each range.
    pub(super) fn unused(&self) -> [Range<u32>; 2] {
        [self.current.clone(), self.reserve.clone()]
    }

    /// Gives up one of the [`unused`](Self::unused) ranges.
    pub(super) fn give_up(&mut self, range: &Range<u32>) {
        for unused in [&mut self.current, &mut self.reserve] {
            if unused == range {
                *unused = 0..0;
            }
        }
    }

    /// Returns the next id, or `None` when all granted ids are used.
    pub(super) fn allocate(&mut self) -> Option<u32> {
        if self.current.is_empty() {
            self.current = std::mem::replace(&mut self.reserve, 0..0);
        }
        self.current.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocated(ids: &mut IdAllocator) -> Vec<u32> {
        std::iter::from_fn(|| ids.allocate()).collect()
    }

    #[test]
    fn without_a_cluster_all_ids_are_available() {
        let mut ids = IdAllocator::all();
        assert_eq!((ids.allocate(), ids.allocate()), (Some(1001), Some(1002)));
    }

    #[test]
    fn granted_ids_are_allocated_once_and_in_order() {
        let mut ids = IdAllocator::none();
        assert_eq!((ids.remaining(), ids.allocate()), (0, None));
        ids.grant(10..12);
        assert_eq!(ids.allocate(), Some(10));
        ids.grant(20..22);
        assert_eq!(ids.remaining(), 3);
        assert_eq!(allocated(&mut ids), [11, 20, 21]);
        ids.grant(30..31);
        assert_eq!(allocated(&mut ids), [30]);
    }

    #[test]
    fn a_third_range_discards_the_rest_of_the_first() {
        let mut ids = IdAllocator::none();
        ids.grant(10..20);
        ids.grant(30..31);
        ids.grant(40..41);
        assert_eq!(allocated(&mut ids), [30, 40]);
    }

    #[test]
    fn a_range_that_is_given_up_is_not_allocated() {
        for (given_up, left) in
            [(11..20, vec![30]), (30..31, (11..20).collect()), (0..9, (11..20).chain([30]).collect())]
        {
            let mut ids = IdAllocator::none();
            ids.grant(10..20);
            ids.grant(30..31);
            assert_eq!((ids.allocate(), ids.unused()), (Some(10), [11..20, 30..31]));
            ids.give_up(&given_up);
            ids.grant(40..41);
            let last = allocated(&mut ids);
            assert!(last.ends_with(&[40]) && !last.iter().any(|id| given_up.contains(id)), "{last:?}");
            assert!(last == [left, vec![40]].concat() || given_up.end == 9, "{last:?}");
        }
    }
}
