//! Where something happened lately, in 64 coarse regions of the world.
//!
//! A viewer remembers the regions that can matter to it as a bit mask; one AND tells whether any of them saw a change
//! since the viewer was served last, so that a viewer in whose surroundings nothing happens costs nothing.

use super::grid_axis::GridAxis;
use super::{Position, Tick};

/// Regions along one side of the world; their number is the width of a mask.
const REGIONS_PER_SIDE: u32 = 8;

/// How many ticks back is remembered; who asks about an older time is told that everything may have changed.
const TICKS_KEPT: usize = 64;

/// A set of regions.
pub type Regions = u64;

/// Every region.
pub const ALL_REGIONS: Regions = Regions::MAX;

/// The regions that saw a change (vector, facing, attack, departure, jump) or a movement (also joins), tick by tick.
#[derive(Debug, Clone)]
pub struct DirtyRegions {
    columns: GridAxis,
    rows: GridAxis,
    changed: [Regions; TICKS_KEPT],
    moved: [Regions; TICKS_KEPT],
    /// The newest tick that has a place in the rings; what happens now is recorded there.
    newest: Tick,
}

impl DirtyRegions {
    /// An empty log for a world of this size, in units; the first tick recorded is 1.
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            columns: GridAxis::new(width, REGIONS_PER_SIDE),
            rows: GridAxis::new(height, REGIONS_PER_SIDE),
            changed: [0; TICKS_KEPT],
            moved: [0; TICKS_KEPT],
            newest: 1,
        }
    }

    /// The regions touched by the rectangle from `(left, top)` to `(right, bottom)`, all inside the world.
    pub fn regions(&self, left: i32, top: i32, right: i32, bottom: i32) -> Regions {
        let (first, last) = (self.columns.cell(left), self.columns.cell(right));
        let columns = (0xffu64 << first) & (0xffu64 >> (REGIONS_PER_SIDE - 1 - last));
        (self.rows.cell(top)..=self.rows.cell(bottom))
            .fold(0, |mask, row| mask | (columns << (row * REGIONS_PER_SIDE)))
    }

    /// The one region of a position in the world.
    pub fn region(&self, at: Position) -> Regions {
        1 << (self.rows.cell_inside(at.y) * REGIONS_PER_SIDE + self.columns.cell_inside(at.x))
    }

    /// Records a change at this place, in the tick under way.
    pub fn mark_changed(&mut self, at: Position) {
        let region = self.region(at);
        self.changed[self.newest as usize % TICKS_KEPT] |= region;
    }

    /// Records a movement at this place, in the tick under way.
    pub fn mark_moved(&mut self, at: Position) {
        let region = self.region(at);
        self.moved[self.newest as usize % TICKS_KEPT] |= region;
    }

    /// Records movements in all these regions, in the tick under way.
    pub fn mark_regions_moved(&mut self, regions: Regions) {
        self.moved[self.newest as usize % TICKS_KEPT] |= regions;
    }

    /// Opens the next tick for records.
    pub fn advance(&mut self, to: Tick) {
        let steps = (to - self.newest).min(TICKS_KEPT as Tick);
        for tick in to + 1 - steps..=to {
            self.changed[tick as usize % TICKS_KEPT] = 0;
            self.moved[tick as usize % TICKS_KEPT] = 0;
        }
        self.newest = to;
    }

    /// Whether any of these regions saw a change later than in tick `since`.
    pub fn has_changed(&self, regions: Regions, since: Tick) -> bool {
        self.is_any_in(&self.changed, regions, since)
    }

    /// Whether any of these regions saw a movement or a join later than in tick `since`.
    pub fn has_moved(&self, regions: Regions, since: Tick) -> bool {
        self.is_any_in(&self.moved, regions, since)
    }

    /// The newest first: in a crowd the first answer is the last.
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

    /// The regions that saw a change later than in tick `since`.
    fn changed(dirty: &DirtyRegions, since: Tick) -> Regions {
        let regions = (0..Regions::BITS).map(|region| 1 << region);
        regions.filter(|&region| dirty.has_changed(region, since)).sum()
    }

    #[test]
    fn a_change_is_seen_where_it_was_until_it_is_served() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        dirty.mark_changed(Position { x: 2000, y: 2000 });
        let corner = dirty.regions(1990, 1990, 2000, 2000);
        assert_eq!(changed(&dirty, 0), corner);
        assert!(dirty.has_changed(ALL_REGIONS, 0) && !dirty.has_moved(ALL_REGIONS, 0));
        dirty.advance(2);
        assert_eq!(changed(&dirty, 1), 0);
        assert_eq!(changed(&dirty, 0), corner);
    }

    #[test]
    fn what_is_too_old_to_know_may_have_changed_everywhere() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        dirty.advance(1000);
        assert_eq!(changed(&dirty, 990), 0);
        assert_eq!(changed(&dirty, 900), ALL_REGIONS);
    }

    #[test]
    fn a_rectangle_covers_the_regions_it_touches_and_no_others() {
        let dirty = DirtyRegions::new(2000, 2000);
        assert_eq!(dirty.regions(0, 0, 2000, 2000), ALL_REGIONS);
        assert_eq!(dirty.regions(0, 0, 0, 0), 1);
        assert_eq!(dirty.regions(240, 0, 260, 260), 0b11 | (0b11 << 8));
    }
}
