//! The map regions that changed in the last ticks, as bit masks of 64 coarse regions: one AND per tick with a viewer's
//! interest mask shows whether its surroundings were quiet.

use super::grid_axis::GridAxis;
use super::{Position, Tick};
use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// Regions along one side of the world. Its square is the number of bits in a mask.
const REGIONS_PER_SIDE: u32 = 8;

/// Closed ticks that are kept. A query about an older tick reports every region as changed.
const TICKS_KEPT: usize = 64;

/// A set of regions, one bit each.
pub type Regions = u64;

/// Every region.
pub const ALL_REGIONS: Regions = Regions::MAX;

/// For each of the last ticks, the regions with a change (vector, facing, attack, removal, jump), and with a move or join.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DirtyRegions {
    columns: GridAxis,
    rows: GridAxis,
    #[serde(with = "BigArray")]
    changed: [Regions; TICKS_KEPT],
    #[serde(with = "BigArray")]
    moved: [Regions; TICKS_KEPT],
    /// The tick in progress. New changes are recorded in its entry of both rings.
    newest: Tick,
}

impl DirtyRegions {
    /// Creates an empty record for a world of this size, in units. The first recorded tick is 1.
    pub(super) fn new(width: u16, height: u16) -> Self {
        Self {
            columns: GridAxis::new(width, REGIONS_PER_SIDE),
            rows: GridAxis::new(height, REGIONS_PER_SIDE),
            changed: [0; TICKS_KEPT],
            moved: [0; TICKS_KEPT],
            newest: 1,
        }
    }

    /// Returns the regions that overlap the rectangle from `(left, top)` to `(right, bottom)`, which lies inside the world.
    pub(super) fn regions(&self, left: i32, top: i32, right: i32, bottom: i32) -> Regions {
        let (first, last) = (self.columns.cell(left), self.columns.cell(right));
        let columns = (0xffu64 << first) & (0xffu64 >> (REGIONS_PER_SIDE - 1 - last));
        (self.rows.cell(top)..=self.rows.cell(bottom))
            .fold(0, |mask, row| mask | (columns << (row * REGIONS_PER_SIDE)))
    }

    /// Returns the set that holds only the region of this position.
    pub(super) fn region(&self, at: Position) -> Regions {
        1 << (self.rows.cell_inside(at.y) * REGIONS_PER_SIDE + self.columns.cell_inside(at.x))
    }

    /// Records a change at this position in the tick in progress.
    pub(super) fn mark_changed(&mut self, at: Position) {
        let region = self.region(at);
        self.changed[self.newest as usize % TICKS_KEPT] |= region;
    }

    /// Records a movement at this position in the tick in progress.
    pub(super) fn mark_moved(&mut self, at: Position) {
        let region = self.region(at);
        self.moved[self.newest as usize % TICKS_KEPT] |= region;
    }

    /// Records movements in all these regions in the tick in progress.
    pub(super) fn mark_regions_moved(&mut self, regions: Regions) {
        self.moved[self.newest as usize % TICKS_KEPT] |= regions;
    }

    /// Makes `to` the tick in progress and clears the entries of the ticks in between.
    pub(super) fn advance(&mut self, to: Tick) {
        let steps = (to - self.newest).min(TICKS_KEPT as Tick);
        for tick in to + 1 - steps..=to {
            self.changed[tick as usize % TICKS_KEPT] = 0;
            self.moved[tick as usize % TICKS_KEPT] = 0;
        }
        self.newest = to;
    }

    /// Returns whether any of these regions changed after tick `since`.
    pub(super) fn has_changed(&self, regions: Regions, since: Tick) -> bool {
        self.is_any_in(&self.changed, regions, since)
    }

    /// Returns whether any of these regions had a movement or a join after tick `since`.
    pub(super) fn has_moved(&self, regions: Regions, since: Tick) -> bool {
        self.is_any_in(&self.moved, regions, since)
    }

    /// Searches from the newest tick: in a crowd the first probe almost always hits.
    fn is_any_in(&self, ring: &[Regions; TICKS_KEPT], regions: Regions, since: Tick) -> bool {
        if self.newest - since.min(self.newest) >= TICKS_KEPT as Tick {
            return regions != 0;
        }
        (since + 1..=self.newest).rev().any(|tick| ring[tick as usize % TICKS_KEPT] & regions != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_covers_exactly_the_regions_it_overlaps() {
        let dirty = DirtyRegions::new(2000, 2000);
        assert_eq!(dirty.regions(0, 0, 2000, 2000), ALL_REGIONS);
        assert_eq!(dirty.regions(0, 0, 0, 0), 1);
        assert_eq!(dirty.regions(240, 0, 260, 260), 0b11 | (0b11 << 8));
    }
}
