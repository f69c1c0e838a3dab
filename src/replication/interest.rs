//! Interest management: a viewer sees the nearest `max_visible` entities in its rectangle, with hysteresis.
//!
//! * Distance: an entity enters inside the rectangle, and leaves when it is more than [`INTEREST_LEAVE_MARGIN`] outside.
//! * Rank: with more candidates than capacity, a member's distance is multiplied by
//!   [`HYSTERESIS_DISTANCE_FACTOR`]. A newcomer replaces a member only if it is clearly nearer.
//! * Time: a member stays for the dwell time wherever it moves, since a client can't remove a sprite that is still loading.
//!
//! The cost of an interest update is reading the state of every entity in view. Each pass therefore reads
//! each state once and decides without branches.
//!
//! [`INTEREST_LEAVE_MARGIN`]: crate::limits::INTEREST_LEAVE_MARGIN

use std::ops::Range;

use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::Rect;
use super::interest_set::{InterestSet, Left};
use super::search::{Candidate, RADIUS_MAX, Search, Viewpoint, radius_of};
use super::viewer::Viewer;
use super::{Scene, Settings};
use crate::wire::message::MovementFrame;
use crate::world::changes::Regions;
use crate::world::{Tick, World};

/// Factor applied to the distance of a member when candidates are ranked.
pub const HYSTERESIS_DISTANCE_FACTOR: f64 = 0.7;

/// The square of [`HYSTERESIS_DISTANCE_FACTOR`], in percent.
const HYSTERESIS_SQUARED_PERCENT: u64 = 49;

/// Buffers reused by interest updates and flushes; each worker has its own.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Slots that can't enter in this update: the viewer and all members.
    seen: EpochSet,
    /// Candidates for the interest set; after an update, the selected ones.
    candidates: Compactor<Candidate>,
    /// Whether the member at each position stays in the set.
    keep: Vec<bool>,
    /// Positions of the members that were not selected.
    evicted: Compactor<u32>,
    /// Slots of the entities that enter.
    entering: Compactor<u32>,
    /// The members that left in the last update.
    pub(super) left: Left,
    /// Squared distances of members.
    distances: Vec<u64>,
    /// Positions of the members that may have changed.
    pub(super) changed: Compactor<u32>,
    /// Slots of the members that may have changed, from the viewer's mask.
    pub(super) changed_slots: Vec<u32>,
    /// Movement frames of the members whose only change is the vector.
    pub(super) movements: Compactor<MovementFrame>,
    /// Positions in `viewer.interest_set` whose vector is repeated as a keyframe.
    pub(super) keyframes: Range<usize>,
    /// The same, after [`Settings::early_keyframe_after`].
    pub(super) early_keyframes: Range<usize>,
    pub(super) any_moves: bool,
    /// Squared distance of the farthest member.
    farthest_squared: u64,
}

/// Recomputes the viewer's interest set. Only entities with an id below `ids_below` may enter.
///
/// The ids of members that left are in `scratch.left`. Entities that entered are at the end of
/// `viewer.interest_set`, from the returned position on.
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

    // Members are in the order in which they entered, so the evictable ones come first.
    let evictable = viewer.interest_set.count_aged(settings.dwell, now);
    rank_evictable(&viewer.interest_set, evictable, world, &viewpoint, scratch);
    let farthest_member = scratch.farthest_squared * HYSTERESIS_SQUARED_PERCENT / 100;
    let protected = keep_protected(viewer, evictable, world, settings, &viewpoint, scratch);
    let capacity = settings.max_visible.saturating_sub(protected);
    let is_blocking = block_recent_leaves(viewer, scene, settings, &viewpoint, scratch);
    Search { scene, viewpoint: &viewpoint, capacity, farthest_member, ids_below, seen: &scratch.seen }
        .run(viewer.search_radius(), &mut scratch.candidates);
    select_nearest(capacity, scratch);
    viewer.interest_set.retain_mask(&scratch.keep, &mut scratch.left);
    if !scratch.left.ids().is_empty() {
        viewer.recent_leaves.record(scratch.left.iter(), now, settings.max_visible);
    }

    let first_entered = viewer.interest_set.len();
    scratch.keyframes = members_reaching_age(
        &viewer.interest_set,
        settings.keyframe_after,
        viewer.schedule.interest_updated_at(),
        now,
    );
    scratch.early_keyframes = 0..0;
    if viewer.schedule.may_load_first_sprite(now) {
        // A sprite stands still until its first vector, and no snapshot may correct its position yet.
        let (age, since) = (settings.early_keyframe_after, viewer.schedule.interest_updated_at());
        scratch.early_keyframes = members_reaching_age(&viewer.interest_set, age, since, now);
        if viewer.schedule.repeats_keyframes(now, settings) {
            scratch.keyframes.start = 0;
        }
    }
    let farthest_selected = find_entering(scratch);
    for &slot in scratch.entering.kept() {
        viewer.interest_set.enter(slot, world.entity_state(slot).id(), now);
    }
    // The next search starts slightly farther out than this one ended, or everywhere with capacity left.
    let radius = radius_of(farthest_selected);
    let has_room = scratch.candidates.kept().len() < capacity;
    viewer.set_search_radius(if has_room { RADIUS_MAX } else { radius + radius / 4 });
    viewer.schedule.interest_updated(viewer.interest_set.len() > first_entered, now, settings);
    if is_blocking {
        viewer.schedule.request_later_update(now);
    }
    viewer.update_mask(world);
    // The distance of a selected member is scaled down, so it never raises the maximum.
    let farthest = scratch.farthest_squared.max(farthest_selected);
    viewer.regions = regions_of_interest(viewer, world, settings, &viewpoint, farthest);
    first_entered
}

/// Returns the positions of the members that reached `age` after tick `since`. Each member is returned by
/// exactly one update, however far apart updates are.
fn members_reaching_age(members: &InterestSet, age: Tick, since: Tick, now: Tick) -> Range<usize> {
    members.count_aged(age + (now - since), now)..members.count_aged(age, now)
}

/// Ranks the members before position `evictable` that are still in range.
///
/// Every member in the world is inserted into `seen`, even if it leaves: it must not re-enter at once.
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
    // Copies: the writes in the loop could otherwise change what a reference points to.
    let (states, viewpoint) = (world.entity_states(), *viewpoint);
    candidates.clear();
    candidates.compact(named.enumerate().map(|(at, ((&slot, &id), keep))| {
        let entity = states[slot as usize];
        if !entity.has_id(id) {
            *keep = false;
            return (Candidate::default(), false);
        }
        seen.insert(slot);
        let stays = viewpoint.is_in_range(entity.position);
        *keep = stays;
        let squared_distance = viewpoint.squared_distance_to(entity.position);
        farthest_squared = farthest_squared.max(if stays { squared_distance } else { 0 });
        any_moves |= entity.is_moving();
        (Candidate::member(squared_distance * HYSTERESIS_SQUARED_PERCENT / 100, at as u32), stays)
    }));
    (scratch.any_moves, scratch.farthest_squared) = (any_moves, farthest_squared);
}

/// Keeps the members from position `evictable` on, within their dwell time. Returns the number that stay.
///
/// A member that was removed from the world leaves too, but not before its `removed_dwell` is over.
///
/// In a crowd most members are within their dwell time. Their state is not read while no entity has left the
/// world and the viewer is known to have changes; their distance is then unknown.
fn keep_protected(
    viewer: &mut Viewer,
    evictable: usize,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) -> usize {
    let Scratch { seen, keep, .. } = scratch;
    if viewer.schedule.changed_since_snapshot
        && !viewer.schedule.may_have_left_pending(world)
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
    viewer.schedule.set_left_pending(left_pending, world);
    (scratch.any_moves, scratch.farthest_squared) = (any_moves, farthest_squared);
    kept
}

/// Keeps the entities that left a moment ago out of the search, unless they are among the nearest half. Returns whether there are any.
///
/// While a client that draws the whole world may be loading its first sprite, all of them are kept out: it has missed their LEFT,
/// and would draw them twice, permanently. Clients with a viewport are of another kind.
fn block_recent_leaves(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) -> bool {
    let (world, now) = (&scene.world, scene.world.tick());
    let is_loading = viewer.half_sides().is_none() && viewer.schedule.may_load_first_sprite(now);
    if !is_loading {
        let elapsed = now - viewer.schedule.interest_updated_at();
        viewer.recent_leaves.forget(settings.reenter_after, elapsed, now);
    }
    if viewer.recent_leaves.is_empty() {
        return false;
    }
    let beyond = if is_loading { 0 } else { half_distance(viewer, world, settings, viewpoint, scratch) };
    let mut is_blocking = false;
    for leave in viewer.recent_leaves.iter() {
        let entity = world.entity_state(leave.slot);
        let is_blocked = leave.is_of(entity.id()) && viewpoint.squared_distance_to(entity.position) >= beyond;
        if is_blocked {
            scratch.seen.insert(leave.slot);
            is_blocking = true;
        }
    }
    is_blocking
}

/// Returns the squared distance from which on an entity is not among the nearest half of a full interest set: that of the member
/// with this rank, or [`u64::MAX`] if there are fewer.
fn half_distance(
    viewer: &Viewer,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) -> u64 {
    let half = settings.max_visible.div_ceil(2);
    let Scratch { distances, .. } = scratch;
    distances.clear();
    let position = |&slot: &u32| viewpoint.squared_distance_to(world.entity_state(slot).position);
    distances.extend(viewer.interest_set.slots().iter().map(position));
    if distances.len() < half {
        return u64::MAX;
    }
    *distances.select_nth_unstable(half - 1).1
}

/// Up to this surplus, candidates are removed by one scan each; above it, a selection algorithm is faster.
const ONE_BY_ONE_MAX: usize = 6;

/// Keeps the nearest `capacity` candidates and evicts the members that are not among them.
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

/// Swaps the farthest of all but the last `done` candidates to the end of that range.
fn swap_farthest_last(ranked: &mut [Candidate], done: usize) {
    let last = ranked.len() - 1 - done;
    if let Some((farthest, _)) = ranked[..=last].iter().enumerate().max_by_key(|(_, candidate)| **candidate) {
        ranked.swap(farthest, last);
    }
}

/// Finds the selected candidates that are no members yet. Returns the largest squared distance selected.
fn find_entering(scratch: &mut Scratch) -> u64 {
    let Scratch { candidates, entering, .. } = scratch;
    let mut farthest = 0;
    entering.clear();
    entering.compact(candidates.kept().iter().map(|selected| {
        farthest = selected.squared_distance().max(farthest);
        (selected.index(), !selected.is_member())
    }));
    farthest
}

/// Returns the regions whose changes can matter until the next update, given the largest squared distance.
fn regions_of_interest(
    viewer: &Viewer,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    farthest: u64,
) -> Regions {
    let mut rect = viewpoint.leave;
    if viewer.interest_set.len() >= settings.max_visible {
        rect = Rect::around(viewpoint.x, viewpoint.y, radius_of(farthest) + 1);
    }
    let drift = settings.drift;
    world.regions(rect.left - drift, rect.top - drift, rect.right + drift, rect.bottom + drift)
}
