//! Finds the candidates for a viewer's interest set.

use super::Scene;
use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::{GridEntry, Rect};
use super::viewer::Viewer;
use crate::world::{Position, World};

/// The position of a viewer, and its range.
#[derive(Clone, Copy)]
pub(super) struct Viewpoint {
    pub(super) x: i32,
    pub(super) y: i32,
    /// Rectangle in which entities enter.
    pub(super) enter: Rect,
    /// Rectangle in which members stay.
    pub(super) leave: Rect,
    /// Both rectangles are the whole world.
    pub(super) sees_all: bool,
}

impl Viewpoint {
    pub(super) fn of(viewer: &Viewer, world: &World) -> Self {
        let position = world.position(viewer.slot);
        let (enter, leave) = viewer.enter_and_leave_rects(world);
        let sees_all = viewer.half_sides().is_none();
        Self { x: i32::from(position.x), y: i32::from(position.y), enter, leave, sees_all }
    }

    /// Returns whether an entity at this position may enter.
    pub(super) fn is_in_view(&self, position: Position) -> bool {
        self.enter.contains(i32::from(position.x), i32::from(position.y))
    }

    /// Returns whether a member at this position stays in range.
    pub(super) fn is_in_range(&self, position: Position) -> bool {
        self.leave.contains(i32::from(position.x), i32::from(position.y))
    }

    /// Returns the squared distance to a position, in square units.
    pub(super) fn squared_distance_to(&self, position: Position) -> u64 {
        let (dx, dy) = (i64::from(self.x) - i64::from(position.x), i64::from(self.y) - i64::from(position.y));
        (dx * dx + dy * dy) as u64
    }
}

/// A candidate with its distance, packed into one word so that ranking compares integers.
///
/// The upper 34 bits are the squared distance, enough for the diagonal of the largest world. Then follow 29
/// bits of position or slot, and one bit that tells the two apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

const INDEX_BITS: u32 = 29;

impl Candidate {
    /// Farther than every candidate.
    pub(super) const LIMIT: Self = Self(u64::MAX);

    pub(super) fn member(squared_distance: u64, position: u32) -> Self {
        Self::new(squared_distance, position, true)
    }

    pub(super) fn newcomer(squared_distance: u64, slot: u32) -> Self {
        Self::new(squared_distance, slot, false)
    }

    fn new(squared_distance: u64, index: u32, is_member: bool) -> Self {
        debug_assert!(squared_distance < 1 << (63 - INDEX_BITS) && index < 1 << INDEX_BITS);
        Self(squared_distance << (INDEX_BITS + 1) | u64::from(index) << 1 | u64::from(is_member))
    }

    pub(super) fn squared_distance(self) -> u64 {
        self.0 >> (INDEX_BITS + 1)
    }

    /// Returns the position in the interest set of a member, or the slot of a newcomer.
    pub(super) fn index(self) -> u32 {
        (self.0 >> 1) as u32 & ((1 << INDEX_BITS) - 1)
    }

    pub(super) fn is_member(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Returns the farthest of the candidates below a limit, without branches: where they are is unpredictable.
pub(super) fn farthest_below(limit: Candidate, candidates: &[Candidate]) -> Candidate {
    let below = |candidate: &Candidate| if candidate.0 < limit.0 { candidate.0 } else { 0 };
    Candidate(candidates.iter().map(below).fold(0, u64::max))
}

/// An upper bound on the distance between two positions in a world, in units.
pub(super) const RADIUS_MAX: i32 = 1 << 17;

/// Returns the root of a squared distance, rounded down, and at most [`RADIUS_MAX`]. A float holds these distances exactly, so
/// its root is that of [`u64::isqrt`], with one instruction.
pub(super) fn radius_of(squared_distance: u64) -> i32 {
    const SQUARED_MAX: u64 = (RADIUS_MAX as u64).pow(2);
    (squared_distance.min(SQUARED_MAX) as f64).sqrt() as i32
}

/// Up to this population, a linear scan is cheaper than walking the grid's cells.
const LINEAR_SEARCH_MAX: usize = 256;

pub(super) struct Search<'a> {
    pub(super) scene: &'a Scene,
    pub(super) viewpoint: &'a Viewpoint,
    /// Maximum number of candidates that are selected.
    pub(super) capacity: usize,
    /// Squared distance from which on no newcomer can be selected.
    pub(super) squared_limit: u64,
    /// Only entities with an id below this one are candidates.
    pub(super) ids_below: u32,
    /// Slots that are not candidates, such as those of members.
    pub(super) seen: &'a EpochSet,
}

impl Search<'_> {
    /// Appends every newcomer that may be selected to the ranked members.
    ///
    /// These are at least the nearest newcomers that fill the capacity, and all within the limit that are nearer than a ranked
    /// member. `radius`, in units, is where the search starts; it affects the cost but not the selection.
    pub(super) fn run(&self, radius: i32, candidates: &mut Compactor<Candidate>) {
        let members = candidates.kept().len();
        let squared_limit = self.squared_limit;
        let grid = &self.scene.grid;
        if grid.entries().len() <= LINEAR_SEARCH_MAX {
            self.collect(grid.entries(), squared_limit, self.viewpoint.sees_all, candidates);
            return;
        }
        // Searches circles of growing radius, up to the limit beyond which no newcomer can be selected. Once
        // a circle holds enough candidates to fill the capacity, none outside it can be selected. A member
        // that walked far away therefore does not widen the search.
        let radius_limit = radius_of(squared_limit) + 1;
        let mut radius = radius.min(radius_limit).max(grid.cell_side());
        loop {
            let rect = Rect::around(self.viewpoint.x, self.viewpoint.y, radius);
            let is_everywhere = rect.covers(&self.viewpoint.enter);
            let squared_radius =
                if is_everywhere { u64::MAX } else { u64::from(radius.unsigned_abs()).pow(2) };
            // Every entity within the radius is then in view.
            let is_inside = self.viewpoint.sees_all || self.viewpoint.enter.covers(&rect);
            candidates.truncate(members);
            for run in grid.runs(rect.intersect(&self.viewpoint.enter)) {
                self.collect(run, squared_limit.min(squared_radius), is_inside, candidates);
            }
            if is_everywhere
                || squared_radius >= squared_limit
                || candidates
                    .kept()
                    .iter()
                    .filter(|candidate| candidate.squared_distance() < squared_radius)
                    .count()
                    >= self.capacity
            {
                return;
            }
            radius = radius.saturating_add(radius / 2);
        }
    }

    /// Appends the newcomers of a run below this squared distance. With `is_inside`, all of them are in view.
    fn collect(
        &self,
        run: &[GridEntry],
        squared_below: u64,
        is_inside: bool,
        candidates: &mut Compactor<Candidate>,
    ) {
        let world = &self.scene.world;
        // Copies: the compactor's writes could otherwise change what a reference points to.
        let (viewpoint, seen, ids_below) = (*self.viewpoint, self.seen.view(), self.ids_below);
        // Evaluated without short circuits, since no condition is predictable.
        let offer = |&GridEntry { slot, position, .. }: &GridEntry| {
            let squared_distance = viewpoint.squared_distance_to(position);
            let is_new = (squared_distance < squared_below) & !seen.contains(slot);
            (Candidate::newcomer(squared_distance, slot), is_new)
        };
        // Presence must be checked only if entities left the world after the grid was built.
        let is_fresh = !self.scene.has_removals();
        if is_inside && is_fresh && ids_below == u32::MAX {
            candidates.compact(run.iter().map(offer));
            return;
        }
        candidates.compact(run.iter().map(|entry| {
            let (candidate, is_new) = offer(entry);
            let counts = is_new
                & viewpoint.is_in_view(entry.position)
                & (entry.id < ids_below)
                & (is_fresh || world.is_present(entry.slot, entry.id));
            (candidate, counts)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_radius_is_the_root_rounded_down(root in 0..=RADIUS_MAX as u64, away in -2i64..3, any: u64) {
            let near = (root * root).saturating_add_signed(away);
            for squared in [near, any, any >> 28] {
                prop_assert_eq!(i64::from(radius_of(squared)), squared.isqrt().min(RADIUS_MAX as u64) as i64);
            }
        }
    }
}
