//! The part of a viewer that decides whether a flush can have content.

use crate::world::Tick;
use crate::world::dirty_regions::{DirtyRegions, Regions};

/// Decides from 24 bytes whether a flush can be skipped. The mask of each of 10,000 viewers is tested 20
/// times a second in an idle world, where a cache miss on the viewer itself would dominate.
#[derive(Debug, Clone, Copy)]
pub(super) struct InterestMask {
    /// Regions whose changes and movements matter to the viewer.
    pub(super) regions: Regions,
    /// No relevant change happened up to this tick.
    pub(super) since: Tick,
    /// From this tick on the viewer needs a flush even without a change.
    pub(super) quiet_until: Tick,
}

impl InterestMask {
    /// Mask of a slot without a viewer; always quiet.
    pub(super) const NO_VIEWER: Self = Self { regions: 0, since: 0, quiet_until: Tick::MAX };

    /// Returns whether nothing needs to be sent in tick `now`. If so, records that tick in `since`.
    pub(super) fn is_quiet(&mut self, dirty: &DirtyRegions, now: Tick) -> bool {
        let is_quiet = now < self.quiet_until
            && !dirty.has_moved(self.regions, self.since)
            && !dirty.has_changed(self.regions, self.since);
        if is_quiet {
            self.since = now;
        }
        is_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Position;
    use crate::world::dirty_regions::ALL_REGIONS;

    #[test]
    fn quiet_ends_with_a_nearby_change_or_at_its_deadline() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        let corner = dirty.regions(0, 0, 10, 10);
        let mut mask = InterestMask { regions: corner, since: 0, quiet_until: 200 };
        for tick in 1..=100 {
            dirty.mark_moved(Position { x: 1500, y: 1500 });
            dirty.advance(tick + 1);
            assert!(mask.is_quiet(&dirty, tick), "tick {tick}: the change is far away");
        }
        dirty.mark_changed(Position { x: 5, y: 5 });
        dirty.advance(102);
        assert!(!mask.is_quiet(&dirty, 101));
        let mut mask = InterestMask { since: 101, ..mask };
        assert!(mask.is_quiet(&dirty, 199 - 98));
        assert!(!mask.is_quiet(&dirty, 200));
    }

    #[test]
    fn a_slot_without_a_viewer_is_always_quiet() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        dirty.mark_regions_moved(ALL_REGIONS);
        dirty.advance(1000);
        assert!({ InterestMask::NO_VIEWER }.is_quiet(&dirty, 1000));
    }
}
