//! The grid of regions in which nodes publish their players.

use crate::limits::REGION_SIDE;
use crate::world::Position;
use serde::{Deserialize, Serialize};

/// Index of a region, row by row.
pub type Region = u32;

/// The world divided into squares with sides of [`REGION_SIDE`] units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionGrid {
    columns: u32,
    rows: u32,
}

impl RegionGrid {
    /// Creates the grid of a world of this size, in units.
    pub fn new(width: u16, height: u16) -> Self {
        // The world includes its far edges, which need one more column and row.
        let along = |side: u16| u32::from(side) / u32::from(REGION_SIDE) + 1;
        Self { columns: along(width), rows: along(height) }
    }

    /// Returns the number of regions.
    pub fn count(self) -> usize {
        (self.columns * self.rows) as usize
    }

    /// Returns the region that contains a position.
    pub fn of(self, place: Position) -> Region {
        self.row(i32::from(place.y)) * self.columns + self.column(i32::from(place.x))
    }

    /// Returns the regions that overlap a rectangle, clamped to the world.
    pub fn overlapping(self, left: i32, top: i32, right: i32, bottom: i32) -> impl Iterator<Item = Region> {
        let (first, last) = (self.column(left), self.column(right));
        (self.row(top)..=self.row(bottom))
            .flat_map(move |row| (first..=last).map(move |column| row * self.columns + column))
    }

    fn column(self, x: i32) -> u32 {
        (x.max(0).cast_unsigned() / u32::from(REGION_SIDE)).min(self.columns - 1)
    }

    fn row(self, y: i32) -> u32 {
        (y.max(0).cast_unsigned() / u32::from(REGION_SIDE)).min(self.rows - 1)
    }
}

/// A set of regions, as a bitmap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSet {
    words: Vec<u64>,
    len: usize,
}

impl RegionSet {
    /// Creates an empty set.
    pub fn empty(regions: RegionGrid) -> Self {
        Self { words: vec![0; regions.count().div_ceil(64)], len: 0 }
    }

    /// Adds a region.
    pub fn insert(&mut self, region: Region) {
        let (word, bit) = (&mut self.words[region as usize / 64], 1 << (region % 64));
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Removes a region.
    pub fn remove(&mut self, region: Region) {
        let (word, bit) = (&mut self.words[region as usize / 64], 1 << (region % 64));
        self.len -= usize::from(*word & bit != 0);
        *word &= !bit;
    }

    /// Returns whether the set contains the region; false for regions outside the world.
    pub fn contains(&self, region: Region) -> bool {
        self.words.get(region as usize / 64).is_some_and(|word| word >> (region % 64) & 1 == 1)
    }

    /// Returns the number of regions in the set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Iterates over the regions in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Region> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u32 * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn corners_and_edges_belong_to_the_world() {
        let regions = RegionGrid::new(2000, 600);
        assert_eq!(regions.count(), 9 * 3);
        assert_eq!(regions.of(Position { x: 0, y: 0 }), 0);
        assert_eq!(regions.of(Position { x: 2000, y: 600 }), 26);
        assert_eq!(regions.overlapping(-900, -1, 9_000, 9_000).count(), 27);
        assert_eq!(regions.overlapping(249, 249, 250, 249).collect::<Vec<_>>(), [0, 1]);
        assert!(RegionGrid::new(u16::MAX, u16::MAX).count() < 1 << 17);
    }

    proptest! {
        #[test]
        fn a_position_in_a_rectangle_is_in_an_overlapping_region(
            x in 0u16..=2000, y in 0u16..=2000, left in 0u16..=2000, top in 0u16..=2000, side in 0u16..700,
        ) {
            let regions = RegionGrid::new(2000, 2000);
            let is_inside = (left..=left + side).contains(&x) && (top..=top + side).contains(&y);
            let [left, top, right, bottom] = [left, top, left + side, top + side].map(i32::from);
            let touched = regions.overlapping(left, top, right, bottom).any(|region| region == regions.of(Position { x, y }));
            prop_assert!(touched || !is_inside);
        }

        #[test]
        fn a_region_set_behaves_like_a_btree_set(operations in proptest::collection::vec((0u32..81, any::<bool>()), 0..200)) {
            let (mut set, mut model) = (RegionSet::empty(RegionGrid::new(2000, 2000)), BTreeSet::new());
            for (region, is_in) in operations {
                if is_in {
                    set.insert(region);
                    model.insert(region);
                } else {
                    set.remove(region);
                    model.remove(&region);
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(region), is_in);
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
