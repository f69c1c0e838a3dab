//! The ids that newcomers get. They only grow, and none is given twice.

use std::ops::Range;

use crate::limits::PLAYER_ID_FIRST;

/// A supply of ids: one range in use, and one in reserve.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    current: Range<u32>,
    reserve: Range<u32>,
}

impl Ids {
    /// Every id there is.
    pub(super) fn all() -> Self {
        Self { current: PLAYER_ID_FIRST..u32::MAX, reserve: 0..0 }
    }

    /// None, until some are granted.
    pub(super) fn none() -> Self {
        Self { current: 0..0, reserve: 0..0 }
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.current.len() + self.reserve.len()
    }

    /// Adds a range. All of it must lie above what was granted before; what is left of that is used up first, unless a
    /// range lies in reserve already, which then takes the place of the one in use.
    pub(super) fn grant(&mut self, range: Range<u32>) {
        assert!(self.current.end <= range.start && self.reserve.end <= range.start, "ids only grow");
        if self.current.is_empty() || !self.reserve.is_empty() {
            self.current = std::mem::replace(&mut self.reserve, 0..0);
        }
        if self.current.is_empty() {
            self.current = range;
        } else {
            self.reserve = range;
        }
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.current.is_empty() {
            self.current = std::mem::replace(&mut self.reserve, 0..0);
        }
        self.current.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ids: &mut Ids) -> Vec<u32> {
        std::iter::from_fn(|| ids.take()).collect()
    }

    #[test]
    fn alone_a_server_has_them_all() {
        let mut ids = Ids::all();
        assert_eq!((ids.take(), ids.take()), (Some(1001), Some(1002)));
    }

    #[test]
    fn granted_ones_are_taken_in_order_and_once() {
        let mut ids = Ids::none();
        assert_eq!((ids.left(), ids.take()), (0, None));
        ids.grant(10..12);
        assert_eq!(ids.take(), Some(10));
        ids.grant(20..22);
        assert_eq!(ids.left(), 3);
        assert_eq!(taken(&mut ids), [11, 20, 21]);
        ids.grant(30..31);
        assert_eq!(taken(&mut ids), [30]);
    }

    #[test]
    fn a_third_range_costs_what_is_left_of_the_first() {
        let mut ids = Ids::none();
        ids.grant(10..20);
        ids.grant(30..31);
        ids.grant(40..41);
        assert_eq!(taken(&mut ids), [30, 40]);
    }
}
