//! What there is to know about a viewer before it is looked at.

use crate::world::Tick;
use crate::world::dirty_regions::{DirtyRegions, Regions};

/// Whether a viewer's turn could be worth anything, told from a few bytes: ten thousand viewers in a world where nothing
/// happens are asked twenty times a second each, and they themselves lie far from the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct InterestMask {
    /// Where changes and movements can matter.
    pub(super) regions: Regions,
    /// Nothing that mattered happened up to this tick.
    pub(super) since: Tick,
    /// From this tick on there is something to do whatever happens.
    pub(super) quiet_until: Tick,
}

impl InterestMask {
    /// Of a slot without a viewer: there is never anything to do.
    pub(super) const NO_VIEWER: Self = Self { regions: 0, since: 0, quiet_until: Tick::MAX };

    /// Whether there is nothing to do in tick `now`; if so, remembers it.
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
    fn quiet_ends_with_something_nearby_or_with_its_time() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        let corner = dirty.regions(0, 0, 10, 10);
        let mut mask = InterestMask { regions: corner, since: 0, quiet_until: 200 };
        for tick in 1..=100 {
            dirty.mark_moved(Position { x: 1500, y: 1500 });
            dirty.advance(tick + 1);
            assert!(mask.is_quiet(&dirty, tick), "tick {tick}: that is far away");
        }
        dirty.mark_changed(Position { x: 5, y: 5 });
        dirty.advance(102);
        assert!(!mask.is_quiet(&dirty, 101));
        let mut mask = InterestMask { since: 101, ..mask };
        assert!(mask.is_quiet(&dirty, 199 - 98));
        assert!(!mask.is_quiet(&dirty, 200));
    }

    #[test]
    fn nobody_is_always_quiet() {
        let mut dirty = DirtyRegions::new(2000, 2000);
        dirty.mark_regions_moved(ALL_REGIONS);
        dirty.advance(1000);
        assert!({ InterestMask::NO_VIEWER }.is_quiet(&dirty, 1000));
    }
}
