//! Whom a viewer sees: everybody in its rectangle, at most the nearest `max_visible`, with hysteresis on both.
//!
//! The margins. Somebody comes into view inside the rectangle and goes out of view more than [`VIEW_LEAVE_MARGIN`]
//! outside it. When there are more candidates than places, those in view count as nearer than they are, by the factor
//! [`MEMBER_DISTANCE_FACTOR`]: a newcomer takes a member's place only when it is clearly nearer. And who came into view
//! stays for the dwell time, wherever it goes, since a client can't remove a sprite it is still loading.
//!
//! A look costs what reading everybody in view costs, so each pass reads once and decides without branches.
//!
//! [`VIEW_LEAVE_MARGIN`]: crate::limits::VIEW_LEAVE_MARGIN

use std::ops::Range;

use super::grid::Area;
use super::marks::Marks;
use super::search::{Eye, REACH_MAX, Ranked, Search};
use super::sieve::Sieve;
use super::viewer::{Member, Viewer};
use super::{Scene, Settings};
use crate::game::{Tick, World};
use crate::wire::message::MovementFrame;

/// A member's distance counts as this part of itself when places are given away.
pub const MEMBER_DISTANCE_FACTOR: f64 = 0.7;

/// The same for squared distances, in hundredths.
const MEMBER_SQUARE_PERCENT: u64 = 49;

/// Memory that looks share, one per worker.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Who is in view.
    marks: Marks,
    /// Who competes for places; after a look, who won one.
    ranked: Sieve<Ranked>,
    /// Ids of those that went out of view in the last look.
    pub(super) left: Vec<u32>,
    /// The members about whom there is something new, as the bits say and, where these know too little, the stamps; in a
    /// turn without a look, where there may be.
    pub(super) news: Sieve<Member>,
    /// What is written of those whose news are just a vector.
    pub(super) movements: Sieve<MovementFrame>,
    /// Who of `viewer.visible`, by index, is to have its vector repeated.
    pub(super) repeats: Range<usize>,
    /// Somebody in view moves.
    pub(super) any_moves: bool,
    /// The squared distance of the farthest member.
    farthest_square: u64,
}

/// Recomputes the viewer's set. Those who left are in `scratch.left`; those who entered stand at the end of
/// `viewer.visible`, from the returned index on. Only ids below `ids_below` may enter.
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
    (scratch.any_moves, scratch.farthest_square) = (false, 0);
    scratch.marks.begin(world.slots());
    scratch.marks.mark(viewer.slot);

    // Members stand in the order of their entrances: first those whose places are up for discussion. They are far from the
    // cache, where going through them from the start is faster than a binary search.
    let old = viewer.visible.iter().take_while(|member| member.age(now) >= settings.dwell).count();
    keep_young(viewer, old, world, settings, &eye, scratch);
    rank_old(&viewer.visible[..old], world, &eye, scratch);
    let places = settings.max_visible.saturating_sub(viewer.visible.len() - old);
    Search { scene, eye: &eye, places, ids_below, marks: &scratch.marks }
        .run(viewer.reach, &mut scratch.ranked);
    award_places(places, scratch);
    keep_old(viewer, old, world, &eye, scratch);

    let first_entered = viewer.visible.len();
    scratch.repeats = who_came_of_age(&viewer.visible, settings.keyframe_after, viewer.looked, now);
    let mut farthest_won = 0;
    for winner in scratch.ranked.kept() {
        farthest_won = farthest_won.max(winner.square());
        if !winner.is_member() {
            let id = world.id(winner.slot()).expect("newcomers are present");
            viewer.visible.push(Member { slot: winner.slot(), id, entered: now as u32 });
        }
    }
    // The next search begins a little farther out than this one had to go: everywhere, when places remained.
    let reach = farthest_won.isqrt() as i32;
    viewer.reach = if scratch.ranked.kept().len() < places { REACH_MAX } else { reach + reach / 4 };
    if viewer.visible.len() > first_entered {
        viewer.look_until = now + settings.dwell + 1;
    } else if viewer.look_until == Tick::MAX {
        viewer.look_until = now + settings.dwell;
    }
    viewer.looked = now;
    viewer.regions = regions_of_interest(viewer, world, settings, &eye, scratch);
    first_entered
}

/// The members whose age reached a mark after tick `since`, by index: each member once, however far apart the looks are.
fn who_came_of_age(members: &[Member], age: Tick, since: Tick, now: Tick) -> Range<usize> {
    let first = members.partition_point(|member| member.age(now) >= age + (now - since));
    first..members.partition_point(|member| member.age(now) >= age)
}

/// Goes through the members too young to lose their places, from index `old` on: they stay, unless they are gone from the
/// world; then their LEFT may have to wait for a while.
fn keep_young(
    viewer: &mut Viewer,
    old: usize,
    world: &World,
    settings: &Settings,
    eye: &Eye,
    scratch: &mut Scratch,
) {
    let Scratch { marks, news, left, .. } = scratch;
    let (now, served, changed) = (world.tick(), viewer.served, world.changed_since(viewer.served));
    let (mut any_moves, mut farthest_square, mut departed) = (false, 0, false);
    news.clear();
    news.sift(viewer.visible[old..].iter().map(|member| {
        let outline = world.outline(member.slot);
        if !outline.is(member.id) {
            departed = true;
            return (*member, false);
        }
        marks.mark(member.slot);
        farthest_square = eye.square_to(outline.position).max(farthest_square);
        any_moves |= outline.moves();
        (*member, changed.has(member.slot) & outline.has_changed_since(served))
    }));
    (scratch.any_moves, scratch.farthest_square) = (any_moves, farthest_square);
    viewer.departed = departed;
    if departed {
        viewer.visible.retain(|member| {
            let age = member.age(now);
            // The old ones get their turn later.
            let stays = age >= settings.dwell
                || age < settings.departure_dwell
                || world.is_present(member.slot, member.id);
            if !stays {
                left.push(member.id);
            }
            stays
        });
    }
}

/// Ranks the old members that are still in range. All are marked, even who goes out of view in this look: it does not
/// come back in it.
fn rank_old(old: &[Member], world: &World, eye: &Eye, scratch: &mut Scratch) {
    let Scratch { marks, ranked, .. } = scratch;
    ranked.clear();
    ranked.sift(old.iter().map(|member| {
        let outline = world.outline(member.slot);
        if !outline.is(member.id) {
            return (Ranked::default(), false);
        }
        marks.mark(member.slot);
        let square = eye.square_to(outline.position) * MEMBER_SQUARE_PERCENT / 100;
        (Ranked::new(square, member.slot, true), eye.is_in_range(outline.position))
    }));
}

/// Up to so many losers are found one by one, by running through all candidates for each; more are worth a selection.
const FEW: usize = 6;

/// Gives the places to the nearest, and takes the mark off the members that lost theirs. Afterwards `scratch.ranked` holds
/// the winners alone.
fn award_places(places: usize, scratch: &mut Scratch) {
    let Scratch { marks, ranked, .. } = scratch;
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
    for loser in candidates[places..].iter().filter(|loser| loser.is_member()) {
        marks.unmark(loser.slot());
    }
    ranked.truncate(places);
}

/// Swaps the farthest of all but the last `done` candidates to the end of those.
fn move_farthest_last(ranked: &mut [Ranked], done: usize) {
    let last = ranked.len() - 1 - done;
    if let Some((farthest, _)) = ranked[..=last].iter().enumerate().max_by_key(|(_, ranked)| **ranked) {
        ranked.swap(farthest, last);
    }
}

/// Drops the old members, those before index `old`, that are gone, out of range, or lost their places.
fn keep_old(viewer: &mut Viewer, old: usize, world: &World, eye: &Eye, scratch: &mut Scratch) {
    let Scratch { marks, news, left, .. } = scratch;
    let (mut any_moves, mut farthest_square, mut kept) = (scratch.any_moves, scratch.farthest_square, 0);
    let (served, changed) = (viewer.served, world.changed_since(viewer.served));
    let members = &mut viewer.visible;
    news.sift((0..old).map(|at| {
        let member = members[at];
        let outline = world.outline(member.slot);
        let stays = outline.is(member.id) & marks.is_marked(member.slot) & eye.is_in_range(outline.position);
        if !stays {
            left.push(member.id);
            return (member, false);
        }
        members[kept] = member;
        kept += 1;
        farthest_square = eye.square_to(outline.position).max(farthest_square);
        any_moves |= outline.moves();
        (member, changed.has(member.slot) & outline.has_changed_since(served))
    }));
    (scratch.any_moves, scratch.farthest_square) = (any_moves, farthest_square);
    viewer.visible.drain(kept..old);
}

/// The regions in which a change or a movement can matter until the next look.
fn regions_of_interest(
    viewer: &Viewer,
    world: &World,
    settings: &Settings,
    eye: &Eye,
    scratch: &Scratch,
) -> u64 {
    let mut area = eye.leave;
    if viewer.visible.len() >= settings.max_visible {
        let entered = scratch.ranked.kept().iter().filter(|winner| !winner.is_member());
        let farthest = entered.map(|winner| winner.square()).fold(scratch.farthest_square, u64::max);
        area = Area::around(eye.x, eye.y, farthest.isqrt() as i32 + 1);
    }
    let drift = settings.drift;
    world.activity().regions(area.left - drift, area.top - drift, area.right + drift, area.bottom + drift)
}
