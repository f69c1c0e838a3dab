//! The search for those who could come into a viewer's sight.

use super::Scene;
use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::{GridEntry, Rect};
use super::viewer::Viewer;
use crate::world::{Position, World};

/// Where a viewer looks from, and how far.
pub(super) struct Viewpoint {
    pub(super) x: i32,
    pub(super) y: i32,
    /// Where somebody comes into view.
    pub(super) enter: Rect,
    /// Where somebody in view remains so.
    pub(super) leave: Rect,
}

impl Viewpoint {
    pub(super) fn of(viewer: &Viewer, world: &World) -> Self {
        let position = world.position(viewer.slot);
        let (enter, leave) = viewer.enter_and_leave_rects(world);
        Self { x: i32::from(position.x), y: i32::from(position.y), enter, leave }
    }

    /// Whether somebody in view remains so there.
    pub(super) fn is_in_range(&self, position: Position) -> bool {
        self.leave.contains(i32::from(position.x), i32::from(position.y))
    }

    /// The squared distance to a place, in square units.
    pub(super) fn squared_distance_to(&self, position: Position) -> u64 {
        let (dx, dy) = (i64::from(self.x) - i64::from(position.x), i64::from(self.y) - i64::from(position.y));
        (dx * dx + dy * dy) as u64
    }
}

/// A candidate for a place and its distance, packed into one word so that ranking is comparing integers: 34 bits of squared
/// distance (the diagonal of the largest world), 29 of position or slot, one that says which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

const INDEX_BITS: u32 = 29;

impl Candidate {
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

    /// The position in the view of a member, the slot of anybody else.
    pub(super) fn index(self) -> u32 {
        (self.0 >> 1) as u32 & ((1 << INDEX_BITS) - 1)
    }

    pub(super) fn is_member(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Farther than any two places of a world are apart, in units.
pub(super) const RADIUS_MAX: i32 = 1 << 17;

/// Populations up to this size are looked through one by one; walking the grid's cells would cost more.
const LINEAR_SEARCH_MAX: usize = 256;

/// Whom a search is after.
pub(super) struct Search<'a> {
    pub(super) scene: &'a Scene,
    pub(super) viewpoint: &'a Viewpoint,
    /// Places up for discussion.
    pub(super) capacity: usize,
    /// Only ids below this one count.
    pub(super) ids_below: u32,
    /// Who is marked is in view already.
    pub(super) seen: &'a EpochSet,
}

impl Search<'_> {
    /// Adds to the ranked members everybody who could get a place: enough of the nearest to fill the free ones, and all who
    /// are nearer than the farthest ranked member counts. Wherever it begins, those are among the found; `radius`, in
    /// units, is only where it is worth to begin.
    pub(super) fn run(&self, radius: i32, candidates: &mut Compactor<Candidate>) {
        let members = candidates.kept().len();
        let farthest = candidates.kept().iter().map(|member| member.squared_distance()).max().unwrap_or(0);
        // With no place free only who is nearer than the farthest member counts can get one.
        let squared_limit = if self.capacity > members { u64::MAX } else { farthest };
        let grid = &self.scene.grid;
        if grid.entries().len() <= LINEAR_SEARCH_MAX {
            self.collect(grid.entries(), squared_limit, candidates);
            return;
        }
        // Circles of growing reach. Once one holds as many candidates as there are places, nobody outside it can win one;
        // so a member that has walked far away does not make its viewer search that far.
        // Nobody beyond what counts can win one either.
        let radius_limit = squared_limit.isqrt().min(RADIUS_MAX as u64) as i32 + 1;
        let mut radius = radius.min(radius_limit).max(grid.cell_side());
        loop {
            let rect = Rect::around(self.viewpoint.x, self.viewpoint.y, radius);
            let is_everywhere = rect.covers(&self.viewpoint.enter);
            let squared_radius =
                if is_everywhere { u64::MAX } else { u64::from(radius.unsigned_abs()).pow(2) };
            candidates.truncate(members);
            for run in grid.runs(rect.intersect(&self.viewpoint.enter)) {
                self.collect(run, squared_limit.min(squared_radius), candidates);
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

    fn collect(&self, run: &[GridEntry], squared_below: u64, candidates: &mut Compactor<Candidate>) {
        let world = &self.scene.world;
        let is_fresh = !self.scene.has_departures();
        candidates.compact(run.iter().map(|&GridEntry { slot, id, position }| {
            let squared_distance = self.viewpoint.squared_distance_to(position);
            // Asked all at once, since none of the answers can be guessed. Only when players left after the grid was made
            // is there one more question.
            let counts = (squared_distance < squared_below)
                & !self.seen.contains(slot)
                & self.viewpoint.enter.contains(i32::from(position.x), i32::from(position.y))
                & (id < self.ids_below)
                & (is_fresh || world.is_present(slot, id));
            (Candidate::newcomer(squared_distance, slot), counts)
        }));
    }
}
