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
use super::search::{Candidate, RADIUS_MAX, Search, Viewpoint, farthest_below, radius_of};
use super::viewer::Viewer;
use super::{Scene, Settings};
use crate::wire::message::MovementFrame;
use crate::world::changes::Regions;
use crate::world::{Tick, World};

/// Factor applied to the distance of a member when candidates are ranked.
pub const HYSTERESIS_DISTANCE_FACTOR: f64 = 0.7;

/// Returns the squared distance with which a member is ranked.
fn scaled(squared_distance: u64) -> u64 {
    /// The square of [`HYSTERESIS_DISTANCE_FACTOR`], in percent.
    const HYSTERESIS_SQUARED_PERCENT: u64 = 49;
    squared_distance * HYSTERESIS_SQUARED_PERCENT / 100
}

/// Buffers reused by interest updates and flushes; each worker has its own.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Slots that can't enter in this update: the viewer and all members.
    seen: EpochSet,
    /// Candidates for the interest set.
    candidates: Compactor<Candidate>,
    /// Positions of the members that leave.
    leaving: Compactor<u32>,
    /// Slots of the entities that enter.
    entering: Compactor<u32>,
    /// The members that left in the last update.
    pub(super) left: Left,
    /// The entities that left a moment ago and are near enough to enter again.
    returning: Compactor<Candidate>,
    /// Squared distances of the members within their dwell time.
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
    scratch.leaving.clear();
    (scratch.any_moves, scratch.farthest_squared) = (false, 0);
    scratch.seen.clear(world.slots());
    scratch.seen.insert(viewer.slot);
    let all_present = !viewer.schedule.may_have_left_pending(world);

    // Members are in the order in which they entered, so the evictable ones come first.
    let evictable = viewer.interest_set.count_aged(settings.dwell, now);
    if all_present && viewpoint.sees_all {
        rank_evictable::<true>(&viewer.interest_set, evictable, world, &viewpoint, scratch);
    } else {
        rank_evictable::<false>(&viewer.interest_set, evictable, world, &viewpoint, scratch);
    }
    let farthest_member = scaled(scratch.farthest_squared);
    let protected = keep_protected(viewer, evictable, world, settings, &viewpoint, scratch);
    let capacity = settings.max_visible.saturating_sub(protected);
    // Without free capacity, a newcomer must be nearer than the farthest ranked member.
    let has_capacity = capacity > scratch.candidates.kept().len();
    let squared_limit = if has_capacity { u64::MAX } else { farthest_member };
    let is_blocking =
        block_recent_leaves(viewer, scene, settings, &viewpoint, evictable, squared_limit, scratch);
    Search { scene, viewpoint: &viewpoint, capacity, squared_limit, ids_below, seen: &scratch.seen }
        .run(viewer.search_radius(), &mut scratch.candidates);
    let farthest_selected = select_nearest(capacity, scratch);
    scratch.leaving.kept_mut().sort_unstable();
    viewer.interest_set.remove(scratch.leaving.kept(), &mut scratch.left);
    viewer.recent_leaves.record(scratch.left.iter(), now, settings.max_visible);

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
    if all_present {
        viewer.update_mask(scratch.left.slots(), first_entered, world);
    } else {
        viewer.rebuild_mask(world);
    }
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

/// Ranks the members before position `evictable` that are still in range. With `ALL_STAY`, all of them are in the world and in
/// range.
///
/// Every member in the world is inserted into `seen`, even if it leaves: it must not re-enter at once.
fn rank_evictable<const ALL_STAY: bool>(
    members: &InterestSet,
    evictable: usize,
    world: &World,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) {
    let Scratch { seen, candidates, leaving, .. } = scratch;
    let (mut any_moves, mut farthest_squared) = (false, 0);
    let named = members.slots()[..evictable].iter().zip(&members.ids()[..evictable]);
    // Copies: the writes in the loop could otherwise change what a reference points to.
    let (states, viewpoint) = (world.entity_states(), *viewpoint);
    candidates.clear();
    candidates.compact(named.enumerate().map(|(at, (&slot, &id))| {
        let entity = states[slot as usize];
        if !ALL_STAY && !entity.has_id(id) {
            leaving.push(at as u32);
            return (Candidate::default(), false);
        }
        seen.insert(slot);
        let stays = ALL_STAY || viewpoint.is_in_range(entity.position);
        if !stays {
            leaving.push(at as u32);
        }
        let squared_distance = viewpoint.squared_distance_to(entity.position);
        farthest_squared = farthest_squared.max(if stays { squared_distance } else { 0 });
        any_moves |= entity.is_moving();
        (Candidate::member(scaled(squared_distance), at as u32), stays)
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
    let Scratch { seen, leaving, .. } = scratch;
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
    for (at, (&slot, &id)) in (evictable..).zip(named) {
        let entity = world.entity_state(slot);
        if entity.has_id(id) {
            seen.insert(slot);
            farthest_squared = viewpoint.squared_distance_to(entity.position).max(farthest_squared);
            any_moves |= entity.is_moving();
        } else if viewer.interest_set.at(at).age(world.tick()) >= settings.removed_dwell {
            leaving.push(at as u32);
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

/// Keeps the entities that left a moment ago out of the search, unless they are among the nearest half. Returns whether any is not
/// in the set. From `squared_limit` on, none can be selected.
///
/// While a client that draws the whole world may be loading its first sprite, all of them are kept out: it has missed their LEFT,
/// and would draw them twice, permanently. Clients with a viewport are of another kind.
fn block_recent_leaves(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    viewpoint: &Viewpoint,
    evictable: usize,
    squared_limit: u64,
    scratch: &mut Scratch,
) -> bool {
    let (world, now) = (&scene.world, scene.world.tick());
    let is_loading = viewpoint.sees_all && viewer.schedule.may_load_first_sprite(now);
    if !is_loading {
        let elapsed = now - viewer.schedule.interest_updated_at();
        viewer.recent_leaves.forget(settings.reenter_after, elapsed, now);
    }
    if viewer.recent_leaves.is_empty() {
        return false;
    }
    let is_any_away = find_returning(viewer, world, viewpoint, squared_limit, scratch);
    let nearest_half = if is_loading {
        0
    } else {
        count_in_nearest_half(&viewer.interest_set, evictable, world, settings, viewpoint, scratch)
    };
    for entity in &scratch.returning.kept()[nearest_half..] {
        scratch.seen.insert(entity.index());
    }
    is_any_away
}

/// Finds the entities that left a moment ago and could enter again. Returns whether any is not in the set.
fn find_returning(
    viewer: &Viewer,
    world: &World,
    viewpoint: &Viewpoint,
    squared_limit: u64,
    scratch: &mut Scratch,
) -> bool {
    let Scratch { seen, returning, .. } = scratch;
    let (seen, mut is_any_away) = (seen.view(), false);
    returning.clear();
    returning.compact(viewer.recent_leaves.as_slice().iter().map(|leave| {
        let entity = world.entity_state(leave.slot);
        let squared_distance = viewpoint.squared_distance_to(entity.position);
        let is_away = leave.is_of(entity.id()) & !seen.contains(leave.slot);
        is_any_away |= is_away;
        let is_near = (squared_distance < squared_limit) & viewpoint.is_in_view(entity.position);
        (Candidate::newcomer(squared_distance, leave.slot), is_away & is_near)
    }));
    is_any_away
}

/// Returns how many of the returning entities are among the nearest half of a full interest set, and moves them to the front. The
/// members before position `evictable` are ranked already.
fn count_in_nearest_half(
    members: &InterestSet,
    evictable: usize,
    world: &World,
    settings: &Settings,
    viewpoint: &Viewpoint,
    scratch: &mut Scratch,
) -> usize {
    let Scratch { candidates, returning, distances, .. } = scratch;
    let returning = returning.kept_mut();
    let Some(&nearest) = returning.iter().min() else { return 0 };
    let distance = |&slot: &u32| viewpoint.squared_distance_to(world.entity_state(slot).position);
    distances.clear();
    distances.extend(members.slots()[evictable..].iter().map(distance));
    let is_half_nearer = |entity: Candidate| {
        let ranked = Candidate::member(scaled(entity.squared_distance()), 0);
        let nearer: usize = candidates.kept().iter().map(|member| usize::from(*member < ranked)).sum();
        let is_nearer = |distance: &u64| usize::from(*distance < entity.squared_distance());
        nearer + distances.iter().map(is_nearer).sum::<usize>() >= settings.max_visible.div_ceil(2)
    };
    // Mostly the nearest one is beyond that half already, and with it all of them.
    if is_half_nearer(nearest) {
        return 0;
    }
    returning.sort_unstable();
    returning.partition_point(|entity| !is_half_nearer(*entity))
}

/// Up to this surplus, candidates are removed by one scan each; above it, a selection algorithm is faster.
const ONE_BY_ONE_MAX: usize = 4;

/// Selects the nearest `capacity` candidates: the other members leave, and the newcomers among the selected ones enter. Returns
/// the largest squared distance selected.
fn select_nearest(capacity: usize, scratch: &mut Scratch) -> u64 {
    let Scratch { candidates, leaving, entering, .. } = scratch;
    let ranked = candidates.kept_mut();
    let surplus = ranked.len().saturating_sub(capacity);
    let limit = if surplus > ONE_BY_ONE_MAX {
        *ranked.select_nth_unstable(capacity).1
    } else {
        (0..surplus).fold(Candidate::LIMIT, |limit, _| farthest_below(limit, ranked))
    };
    if surplus > 0 {
        let is_evicted = |candidate: &Candidate| candidate.is_member() & (*candidate >= limit);
        leaving.compact(ranked.iter().map(|candidate| (candidate.index(), is_evicted(candidate))));
    }
    let is_entering = |candidate: &Candidate| !candidate.is_member() & (*candidate < limit);
    entering.clear();
    entering.compact(ranked.iter().map(|candidate| (candidate.index(), is_entering(candidate))));
    farthest_below(limit, ranked).squared_distance()
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
