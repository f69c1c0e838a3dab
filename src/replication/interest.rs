//! Whom a viewer sees: everybody in its rectangle, at most the nearest `max_visible`, with hysteresis on both.
//!
//! The margins. Somebody comes into view inside the rectangle and goes out of view more than [`INTEREST_LEAVE_MARGIN`]
//! outside it. When there are more candidates than places, those in view count as nearer than they are, by the factor
//! [`HYSTERESIS_DISTANCE_FACTOR`]: a newcomer takes a member's place only when it is clearly nearer. And who came into view
//! stays for the dwell time, wherever it goes, since a client can't remove a sprite it is still loading.
//!
//! A look costs what reading everybody in view costs, so each pass reads once and decides without branches.
//!
//! [`INTEREST_LEAVE_MARGIN`]: crate::limits::INTEREST_LEAVE_MARGIN

use std::ops::Range;

use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::Rect;
use super::interest_set::InterestSet;
use super::search::{Candidate, RADIUS_MAX, Search, Viewpoint};
use super::viewer::Viewer;
use super::{Scene, Settings};
use crate::wire::message::MovementFrame;
use crate::world::{Tick, World};

/// A member's distance counts as this part of itself when places are given away.
pub const HYSTERESIS_DISTANCE_FACTOR: f64 = 0.7;

/// The same for squared distances, in hundredths.
const HYSTERESIS_SQUARED_PERCENT: u64 = 49;

/// Memory that looks share, one per worker.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Who is in view.
    seen: EpochSet,
    /// Who competes for places; after a look, who won one.
    candidates: Compactor<Candidate>,
    /// By position, whether a member stays in view.
    keep: Vec<bool>,
    /// Positions of the members that lost their places.
    evicted: Compactor<u32>,
    /// Slots of those that come into view.
    entering: Compactor<u32>,
    /// Ids of those that went out of view in the last look.
    pub(super) left: Compactor<u32>,
    /// By position in the view, the members about whom there may be something new.
    pub(super) changed: Compactor<u32>,
    /// What is written of those whose news are just a vector.
    pub(super) movements: Compactor<MovementFrame>,
    /// Who of `viewer.interest_set`, by index, is to have its vector repeated.
    pub(super) keyframes: Range<usize>,
    /// Somebody in view moves.
    pub(super) any_moves: bool,
    /// The squared distance of the farthest member.
    farthest_squared: u64,
}

/// Recomputes the viewer's set. Those who left are in `scratch.left`; those who entered stand at the end of
/// `viewer.interest_set`, from the returned index on. Only ids below `ids_below` may enter.
pub(crate) fn update_interest(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    ids_below: u32,
    scratch: &mut Scratch,
) -> usize {
    let world = &scene.world;
    let now = world.tick();
    let viewpoint = Viewpoint::of(viewer, world);
    scratch.left.clear();
    scratch.keep.clear();
    scratch.keep.resize(viewer.interest_set.len(), true);
    (scratch.any_moves, scratch.farthest_squared) = (false, 0);
    scratch.seen.clear(world.slots());
    scratch.seen.insert(viewer.slot);

    // Members stand in the order of their entrances: first those whose places are up for discussion.
    let evictable = viewer.interest_set.count_aged(settings.dwell, now);
    rank_evictable(&viewer.interest_set, evictable, world, &viewpoint, scratch);
    let protected = keep_protected(viewer, evictable, world, settings, &viewpoint, scratch);
    let capacity = settings.max_visible.saturating_sub(protected);
    Search { scene, viewpoint: &viewpoint, capacity, ids_below, seen: &scratch.seen }
        .run(viewer.search_radius, &mut scratch.candidates);
    select_nearest(capacity, scratch);
    viewer.interest_set.retain_mask(&scratch.keep, &mut scratch.left);

    let first_entered = viewer.interest_set.len();
    scratch.keyframes =
        members_reaching_age(&viewer.interest_set, settings.keyframe_after, viewer.interest_updated_at, now);
    let farthest_won = find_entering(scratch);
    for &slot in scratch.entering.kept() {
        viewer.interest_set.enter(slot, world.entity_state(slot).id(), now);
    }
    // The next search begins a little farther out than this one had to go: everywhere, when places remained.
    let radius = farthest_won.isqrt() as i32;
    viewer.search_radius =
        if scratch.candidates.kept().len() < capacity { RADIUS_MAX } else { radius + radius / 4 };
    if viewer.interest_set.len() > first_entered {
        viewer.update_interest_until = now + settings.dwell + 1;
    } else if viewer.update_interest_until == Tick::MAX {
        viewer.update_interest_until = now + settings.dwell;
    }
    viewer.interest_updated_at = now;
    // Members among the winners count as nearer than they are, and so do not add to how far members are.
    let farthest = scratch.farthest_squared.max(farthest_won);
    viewer.regions = regions_of_interest(viewer, world, settings, &viewpoint, farthest);
    first_entered
}

/// The members whose age reached a mark after tick `since`, by position: each member once, however far apart the looks are.
fn members_reaching_age(members: &InterestSet, age: Tick, since: Tick, now: Tick) -> Range<usize> {
    members.count_aged(age + (now - since), now)..members.count_aged(age, now)
}

/// Ranks the old members, those before position `evictable`, that are still in range. All who are in the world are marked, even
/// who goes out of view in this look: it does not come back in it.
fn rank_evictable(
    members: &InterestSet,
    evictable: usize,
    world: &World,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) {
    let Scratch { seen, candidates, keep, .. } = scratch;
    let (mut any_moves, mut farthest_squared) = (false, 0);
    let named = members.slots()[..evictable].iter().zip(&members.ids()[..evictable]).zip(keep);
    candidates.clear();
    candidates.compact(named.enumerate().map(|(at, ((&slot, &id), keep))| {
        let entity = world.entity_state(slot);
        if !entity.has_id(id) {
            *keep = false;
            return (Candidate::default(), false);
        }
        seen.insert(slot);
        *keep = viewpoint.is_in_range(entity.position);
        let squared_distance = viewpoint.squared_distance_to(entity.position);
        farthest_squared = if *keep { squared_distance.max(farthest_squared) } else { farthest_squared };
        any_moves |= entity.is_moving();
        (Candidate::member(squared_distance * HYSTERESIS_SQUARED_PERCENT / 100, at as u32), *keep)
    }));
    (scratch.any_moves, scratch.farthest_squared) = (any_moves, farthest_squared);
}

/// Goes through the members too young to lose their places, from position `evictable` on: they stay, unless they are gone from the
/// world; then their LEFT may have to wait for a while. Returns how many stay.
///
/// In a crowd most members are young. As long as nobody left, and it is known that something changed, they need not be looked
/// at; only how far they are is not known then.
fn keep_protected(
    viewer: &mut Viewer,
    evictable: usize,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) -> usize {
    let Scratch { seen, keep, .. } = scratch;
    if viewer.changed_since_snapshot
        && !viewer.may_have_left_pending(world)
        && evictable < viewer.interest_set.len()
    {
        for &slot in &viewer.interest_set.slots()[evictable..] {
            seen.insert(slot);
        }
        scratch.farthest_squared = u64::MAX;
        return viewer.interest_set.len() - evictable;
    }
    let (mut any_moves, mut farthest_squared) = (scratch.any_moves, scratch.farthest_squared);
    let (mut kept, mut left_pending) = (0, false);
    let named = viewer.interest_set.slots()[evictable..].iter().zip(&viewer.interest_set.ids()[evictable..]);
    for (at, ((&slot, &id), keep)) in named.zip(&mut keep[evictable..]).enumerate() {
        let entity = world.entity_state(slot);
        if entity.has_id(id) {
            seen.insert(slot);
            farthest_squared = viewpoint.squared_distance_to(entity.position).max(farthest_squared);
            any_moves |= entity.is_moving();
        } else if viewer.interest_set.at(evictable + at).age(world.tick()) >= settings.removed_dwell {
            *keep = false;
            continue;
        } else {
            left_pending = true;
        }
        kept += 1;
    }
    viewer.set_left_pending(left_pending, world);
    (scratch.any_moves, scratch.farthest_squared) = (any_moves, farthest_squared);
    kept
}

/// Up to so many losers are found one by one, by running through all candidates for each; more are worth a selection.
const ONE_BY_ONE_MAX: usize = 6;

/// Gives the places to the nearest, and shows the door to members that lost theirs. Afterwards `scratch.candidates` holds the winners
/// alone.
fn select_nearest(capacity: usize, scratch: &mut Scratch) {
    let Scratch { candidates, keep, evicted, .. } = scratch;
    let ranked = candidates.kept_mut();
    if ranked.len() <= capacity {
        return;
    }
    let surplus = ranked.len() - capacity;
    if surplus <= ONE_BY_ONE_MAX {
        (0..surplus).for_each(|done| swap_farthest_last(ranked, done));
    } else {
        ranked.select_nth_unstable(capacity);
    }
    evicted.clear();
    evicted.compact(ranked[capacity..].iter().map(|candidate| (candidate.index(), candidate.is_member())));
    evicted.kept().iter().for_each(|&at| keep[at as usize] = false);
    candidates.truncate(capacity);
}

/// Swaps the farthest of all but the last `done` candidates to the end of those.
fn swap_farthest_last(ranked: &mut [Candidate], done: usize) {
    let last = ranked.len() - 1 - done;
    if let Some((farthest, _)) = ranked[..=last].iter().enumerate().max_by_key(|(_, candidate)| **candidate) {
        ranked.swap(farthest, last);
    }
}

/// Finds those among the winners who come into view. Returns the squared distance of the farthest winner.
fn find_entering(scratch: &mut Scratch) -> u64 {
    let Scratch { candidates, entering, .. } = scratch;
    let mut farthest = 0;
    entering.clear();
    entering.compact(candidates.kept().iter().map(|winner| {
        farthest = winner.squared_distance().max(farthest);
        (winner.index(), !winner.is_member())
    }));
    farthest
}

/// The regions in which a change or a movement can matter until the next look; `farthest` is the squared distance of whoever is
/// farthest away in view.
fn regions_of_interest(
    viewer: &Viewer,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    farthest: u64,
) -> u64 {
    let mut rect = viewpoint.leave;
    if viewer.interest_set.len() >= settings.max_visible {
        rect = Rect::around(viewpoint.x, viewpoint.y, farthest.isqrt().min(RADIUS_MAX as u64) as i32 + 1);
    }
    let drift = settings.drift;
    world.dirty_regions().regions(
        rect.left - drift,
        rect.top - drift,
        rect.right + drift,
        rect.bottom + drift,
    )
}
