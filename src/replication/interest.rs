//! Whom a viewer sees: everybody in its rectangle, at most the nearest `max_visible`, with hysteresis on both.
//!
//! The margins. Somebody comes into view inside the rectangle and goes out of view more than [`INTEREST_LEAVE_MARGIN`]
//! outside it. When there are more candidates than places, those in view count as nearer than they are, by the factor
//! [`MEMBER_DISTANCE_FACTOR`]: a newcomer takes a member's place only when it is clearly nearer. And who came into view
//! stays for the dwell time, wherever it goes, since a client can't remove a sprite it is still loading.
//!
//! A look costs what reading everybody in view costs, so each pass reads once and decides without branches.
//!
//! [`INTEREST_LEAVE_MARGIN`]: crate::limits::INTEREST_LEAVE_MARGIN

use std::ops::Range;

use super::compaction::Compactor;
use super::epoch_set::EpochSet;
use super::grid::Area;
use super::interest_set::InterestSet;
use super::search::{Eye, REACH_MAX, Ranked, Search};
use super::viewer::Viewer;
use super::{Scene, Settings};
use crate::wire::message::MovementFrame;
use crate::world::{Tick, World};

/// A member's distance counts as this part of itself when places are given away.
pub const MEMBER_DISTANCE_FACTOR: f64 = 0.7;

/// The same for squared distances, in hundredths.
const MEMBER_SQUARE_PERCENT: u64 = 49;

/// Memory that looks share, one per worker.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Who is in view.
    seen: EpochSet,
    /// Who competes for places; after a look, who won one.
    ranked: Compactor<Ranked>,
    /// By position, whether a member stays in view.
    stays: Vec<bool>,
    /// Positions of the members that lost their places.
    losers: Compactor<u32>,
    /// Slots of those that come into view.
    entering: Compactor<u32>,
    /// Ids of those that went out of view in the last look.
    pub(super) left: Compactor<u32>,
    /// By position in the view, the members about whom there may be something new.
    pub(super) news: Compactor<u32>,
    /// What is written of those whose news are just a vector.
    pub(super) movements: Compactor<MovementFrame>,
    /// Who of `viewer.interest_set`, by index, is to have its vector repeated.
    pub(super) repeats: Range<usize>,
    /// Somebody in view moves.
    pub(super) any_moves: bool,
    /// The squared distance of the farthest member.
    farthest_square: u64,
}

/// Recomputes the viewer's set. Those who left are in `scratch.left`; those who entered stand at the end of
/// `viewer.interest_set`, from the returned index on. Only ids below `ids_below` may enter.
pub(crate) fn look(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    ids_below: u32,
    scratch: &mut Scratch,
) -> usize {
    let world = &scene.world;
    let now = world.tick();
    let eye = Eye::of(viewer, world);
    scratch.left.clear();
    scratch.stays.clear();
    scratch.stays.resize(viewer.interest_set.len(), true);
    (scratch.any_moves, scratch.farthest_square) = (false, 0);
    scratch.seen.clear(world.slots());
    scratch.seen.insert(viewer.slot);

    // Members stand in the order of their entrances: first those whose places are up for discussion.
    let old = viewer.interest_set.count_aged(settings.dwell, now);
    rank_old(&viewer.interest_set, old, world, &eye, scratch);
    let young = keep_young(viewer, old, world, settings, &eye, scratch);
    let places = settings.max_visible.saturating_sub(young);
    Search { scene, eye: &eye, places, ids_below, seen: &scratch.seen }
        .run(viewer.reach, &mut scratch.ranked);
    award_places(places, scratch);
    viewer.interest_set.retain_mask(&scratch.stays, &mut scratch.left);

    let first_entered = viewer.interest_set.len();
    scratch.repeats = who_came_of_age(&viewer.interest_set, settings.keyframe_after, viewer.looked, now);
    let farthest_won = find_entering(scratch);
    for &slot in scratch.entering.kept() {
        viewer.interest_set.enter(slot, world.entity_state(slot).id(), now);
    }
    // The next search begins a little farther out than this one had to go: everywhere, when places remained.
    let reach = farthest_won.isqrt() as i32;
    viewer.reach = if scratch.ranked.kept().len() < places { REACH_MAX } else { reach + reach / 4 };
    if viewer.interest_set.len() > first_entered {
        viewer.look_until = now + settings.dwell + 1;
    } else if viewer.look_until == Tick::MAX {
        viewer.look_until = now + settings.dwell;
    }
    viewer.looked = now;
    // Members among the winners count as nearer than they are, and so do not add to how far members are.
    let farthest = scratch.farthest_square.max(farthest_won);
    viewer.regions = regions_of_interest(viewer, world, settings, &eye, farthest);
    first_entered
}

/// The members whose age reached a mark after tick `since`, by position: each member once, however far apart the looks are.
fn who_came_of_age(members: &InterestSet, age: Tick, since: Tick, now: Tick) -> Range<usize> {
    members.count_aged(age + (now - since), now)..members.count_aged(age, now)
}

/// Ranks the old members, those before position `old`, that are still in range. All who are in the world are marked, even
/// who goes out of view in this look: it does not come back in it.
fn rank_old(members: &InterestSet, old: usize, world: &World, eye: &Eye, scratch: &mut Scratch) {
    let Scratch { seen, ranked, stays, .. } = scratch;
    let (mut any_moves, mut farthest_square) = (false, 0);
    let named = members.slots()[..old].iter().zip(&members.ids()[..old]).zip(stays);
    ranked.clear();
    ranked.compact(named.enumerate().map(|(at, ((&slot, &id), stays))| {
        let entity = world.entity_state(slot);
        if !entity.has_id(id) {
            *stays = false;
            return (Ranked::default(), false);
        }
        seen.insert(slot);
        *stays = eye.is_in_range(entity.position);
        let square = eye.square_to(entity.position);
        farthest_square = if *stays { square.max(farthest_square) } else { farthest_square };
        any_moves |= entity.is_moving();
        (Ranked::member(square * MEMBER_SQUARE_PERCENT / 100, at as u32), *stays)
    }));
    (scratch.any_moves, scratch.farthest_square) = (any_moves, farthest_square);
}

/// Goes through the members too young to lose their places, from position `old` on: they stay, unless they are gone from the
/// world; then their LEFT may have to wait for a while. Returns how many stay.
///
/// In a crowd most members are young. As long as nobody left, and it is known that something changed, they need not be looked
/// at; only how far they are is not known then.
fn keep_young(
    viewer: &mut Viewer,
    old: usize,
    world: &World,
    settings: &Settings,
    eye: &Eye,
    scratch: &mut Scratch,
) -> usize {
    let Scratch { seen, stays, .. } = scratch;
    if viewer.altered && !viewer.may_show_departed(world) && old < viewer.interest_set.len() {
        for &slot in &viewer.interest_set.slots()[old..] {
            seen.insert(slot);
        }
        scratch.farthest_square = u64::MAX;
        return viewer.interest_set.len() - old;
    }
    let (mut any_moves, mut farthest_square) = (scratch.any_moves, scratch.farthest_square);
    let (mut kept, mut departed) = (0, false);
    let named = viewer.interest_set.slots()[old..].iter().zip(&viewer.interest_set.ids()[old..]);
    for (at, ((&slot, &id), stays)) in named.zip(&mut stays[old..]).enumerate() {
        let entity = world.entity_state(slot);
        if entity.has_id(id) {
            seen.insert(slot);
            farthest_square = eye.square_to(entity.position).max(farthest_square);
            any_moves |= entity.is_moving();
        } else if viewer.interest_set.at(old + at).age(world.tick()) >= settings.removed_dwell {
            *stays = false;
            continue;
        } else {
            departed = true;
        }
        kept += 1;
    }
    viewer.note_departed(departed, world);
    (scratch.any_moves, scratch.farthest_square) = (any_moves, farthest_square);
    kept
}

/// Up to so many losers are found one by one, by running through all candidates for each; more are worth a selection.
const FEW: usize = 6;

/// Gives the places to the nearest, and shows the door to members that lost theirs. Afterwards `scratch.ranked` holds the winners
/// alone.
fn award_places(places: usize, scratch: &mut Scratch) {
    let Scratch { ranked, stays, losers, .. } = scratch;
    let candidates = ranked.kept_mut();
    if candidates.len() <= places {
        return;
    }
    let surplus = candidates.len() - places;
    if surplus <= FEW {
        (0..surplus).for_each(|done| move_farthest_last(candidates, done));
    } else {
        candidates.select_nth_unstable(places);
    }
    losers.clear();
    losers.compact(candidates[places..].iter().map(|loser| (loser.number(), loser.is_member())));
    losers.kept().iter().for_each(|&at| stays[at as usize] = false);
    ranked.truncate(places);
}

/// Swaps the farthest of all but the last `done` candidates to the end of those.
fn move_farthest_last(ranked: &mut [Ranked], done: usize) {
    let last = ranked.len() - 1 - done;
    if let Some((farthest, _)) = ranked[..=last].iter().enumerate().max_by_key(|(_, ranked)| **ranked) {
        ranked.swap(farthest, last);
    }
}

/// Finds those among the winners who come into view. Returns the squared distance of the farthest winner.
fn find_entering(scratch: &mut Scratch) -> u64 {
    let Scratch { ranked, entering, .. } = scratch;
    let mut farthest = 0;
    entering.clear();
    entering.compact(ranked.kept().iter().map(|winner| {
        farthest = winner.square().max(farthest);
        (winner.number(), !winner.is_member())
    }));
    farthest
}

/// The regions in which a change or a movement can matter until the next look; `farthest` is the squared distance of whoever is
/// farthest away in view.
fn regions_of_interest(viewer: &Viewer, world: &World, settings: &Settings, eye: &Eye, farthest: u64) -> u64 {
    let mut area = eye.leave;
    if viewer.interest_set.len() >= settings.max_visible {
        area = Area::around(eye.x, eye.y, farthest.isqrt().min(REACH_MAX as u64) as i32 + 1);
    }
    let drift = settings.drift;
    world.dirty_regions().regions(
        area.left - drift,
        area.top - drift,
        area.right + drift,
        area.bottom + drift,
    )
}
