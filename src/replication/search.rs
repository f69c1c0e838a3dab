//! The search for those who could come into a viewer's sight.

use super::Scene;
use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::{Area, Occupant};
use super::viewer::Viewer;
use crate::world::{Position, World};

/// Where a viewer looks from, and how far.
pub(super) struct Eye {
    pub(super) x: i32,
    pub(super) y: i32,
    /// Where somebody comes into view.
    pub(super) enter: Area,
    /// Where somebody in view remains so.
    pub(super) leave: Area,
}

impl Eye {
    pub(super) fn of(viewer: &Viewer, world: &World) -> Self {
        let position = world.position(viewer.slot);
        let (enter, leave) = viewer.areas(world);
        Self { x: i32::from(position.x), y: i32::from(position.y), enter, leave }
    }

    /// Whether somebody in view remains so there.
    pub(super) fn is_in_range(&self, place: Position) -> bool {
        self.leave.contains(i32::from(place.x), i32::from(place.y))
    }

    /// The squared distance to a place, in square units.
    pub(super) fn square_to(&self, place: Position) -> u64 {
        let (dx, dy) = (i64::from(self.x) - i64::from(place.x), i64::from(self.y) - i64::from(place.y));
        (dx * dx + dy * dy) as u64
    }
}

/// A candidate for a place and its distance, packed into one word so that ranking is comparing integers: 34 bits of squared
/// distance (the diagonal of the largest world), 29 of position or slot, one that says which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked(u64);

const NUMBER_BITS: u32 = 29;

impl Ranked {
    pub(super) fn member(square: u64, position: u32) -> Self {
        Self::new(square, position, true)
    }

    pub(super) fn newcomer(square: u64, slot: u32) -> Self {
        Self::new(square, slot, false)
    }

    fn new(square: u64, number: u32, is_member: bool) -> Self {
        debug_assert!(square < 1 << (63 - NUMBER_BITS) && number < 1 << NUMBER_BITS);
        Self(square << (NUMBER_BITS + 1) | u64::from(number) << 1 | u64::from(is_member))
    }

    pub(super) fn square(self) -> u64 {
        self.0 >> (NUMBER_BITS + 1)
    }

    /// The position in the view of a member, the slot of anybody else.
    pub(super) fn number(self) -> u32 {
        (self.0 >> 1) as u32 & ((1 << NUMBER_BITS) - 1)
    }

    pub(super) fn is_member(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Farther than any two places of a world are apart, in units.
pub(super) const REACH_MAX: i32 = 1 << 17;

/// Populations up to this size are looked through one by one; walking the grid's cells would cost more.
const LINEAR_SEARCH_MAX: usize = 256;

/// Whom a search is after.
pub(super) struct Search<'a> {
    pub(super) scene: &'a Scene,
    pub(super) eye: &'a Eye,
    /// Places up for discussion.
    pub(super) places: usize,
    /// Only ids below this one count.
    pub(super) ids_below: u32,
    /// Who is marked is in view already.
    pub(super) seen: &'a EpochSet,
}

impl Search<'_> {
    /// Adds to the ranked members everybody who could get a place: enough of the nearest to fill the free ones, and all who
    /// are nearer than the farthest ranked member counts. Wherever it begins, those are among the found; `reach`, in
    /// units, is only where it is worth to begin.
    pub(super) fn run(&self, reach: i32, ranked: &mut Compactor<Ranked>) {
        let members = ranked.kept().len();
        let farthest = ranked.kept().iter().map(|member| member.square()).max().unwrap_or(0);
        // With no place free only who is nearer than the farthest member counts can get one.
        let worth = if self.places > members { u64::MAX } else { farthest };
        let grid = &self.scene.grid;
        if grid.occupants().len() <= LINEAR_SEARCH_MAX {
            self.collect(grid.occupants(), worth, ranked);
            return;
        }
        // Circles of growing reach. Once one holds as many candidates as there are places, nobody outside it can win one;
        // so a member that has walked far away does not make its viewer search that far.
        // Nobody beyond what counts can win one either.
        let reach_worth = worth.isqrt().min(REACH_MAX as u64) as i32 + 1;
        let mut reach = reach.min(reach_worth).max(grid.cell_side());
        loop {
            let area = Area::around(self.eye.x, self.eye.y, reach);
            let is_everywhere = area.covers(&self.eye.enter);
            let square = if is_everywhere { u64::MAX } else { u64::from(reach.unsigned_abs()).pow(2) };
            ranked.truncate(members);
            for run in grid.runs(area.intersect(&self.eye.enter)) {
                self.collect(run, worth.min(square), ranked);
            }
            if is_everywhere
                || square >= worth
                || ranked.kept().iter().filter(|candidate| candidate.square() < square).count() >= self.places
            {
                return;
            }
            reach = reach.saturating_add(reach / 2);
        }
    }

    fn collect(&self, run: &[Occupant], square_below: u64, ranked: &mut Compactor<Ranked>) {
        let world = &self.scene.world;
        let is_fresh = !self.scene.has_departures();
        ranked.compact(run.iter().map(|&Occupant { slot, id, place }| {
            let square = self.eye.square_to(place);
            // Asked all at once, since none of the answers can be guessed. Only when players left after the grid was made
            // is there one more question.
            let counts = (square < square_below)
                & !self.seen.contains(slot)
                & self.eye.enter.contains(i32::from(place.x), i32::from(place.y))
                & (id < self.ids_below)
                & (is_fresh || world.is_present(slot, id));
            (Ranked::newcomer(square, slot), counts)
        }));
    }
}
