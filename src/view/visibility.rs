//! Whom a viewer sees: everybody in its rectangle, at most the nearest `max_visible`, with hysteresis on both.
//!
//! The margins. Somebody comes into view inside the rectangle and goes out of view more than [`VIEW_LEAVE_MARGIN`]
//! outside it. When there are more candidates than places, those in view count as nearer than they are, by the factor
//! [`MEMBER_DISTANCE_FACTOR`]: a newcomer takes a member's place only when it is clearly nearer. And who came into view
//! stays for the dwell time, wherever it goes, since a client can't remove a sprite it is still loading.
//!
//! [`VIEW_LEAVE_MARGIN`]: crate::limits::VIEW_LEAVE_MARGIN

use super::grid::{Area, Occupant};
use super::viewer::{Member, Viewer};
use super::{Scene, Settings};
use crate::game::{Tick, World};

/// A member's distance counts as this part of itself when places are given away.
pub const MEMBER_DISTANCE_FACTOR: f64 = 0.7;

/// The same for squared distances, in hundredths.
const MEMBER_SQUARE_PERCENT: u64 = 49;

/// Populations up to this size are looked through one by one; walking the grid's cells would cost more.
const LINEAR_SEARCH_MAX: usize = 256;

/// Memory that looks share, one per worker.
#[derive(Debug, Default)]
pub struct Scratch {
    /// By slot, the number of the look that found a member (or evicted it) there.
    marks: Vec<u32>,
    mark: u32,
    ranked: Vec<Ranked>,
    newcomers: Vec<Ranked>,
    /// Ids of those that went out of view in the last look.
    pub(crate) left: Vec<u32>,
    /// Members about whom the last look found something new; some may have been evicted after it.
    pub(crate) news: Vec<Member>,
    /// Members whose vector is due to be repeated; some may have been evicted after it.
    pub(crate) repeats: Vec<Member>,
    /// Somebody in view moves.
    pub(crate) any_moves: bool,
    farthest_square: u64,
}

/// A candidate for a place, packed into one word so that ranking is comparing integers: 34 bits of squared distance (the
/// diagonal of the largest world), 29 of slot, one that says whether it is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u64);

const SLOT_BITS: u32 = 29;

impl Ranked {
    fn new(square: u64, slot: u32, is_member: bool) -> Self {
        debug_assert!(square < 1 << (63 - SLOT_BITS) && slot < 1 << SLOT_BITS);
        Self(square << (SLOT_BITS + 1) | u64::from(slot) << 1 | u64::from(is_member))
    }

    fn square(self) -> u64 {
        self.0 >> (SLOT_BITS + 1)
    }

    fn slot(self) -> u32 {
        (self.0 >> 1) as u32 & ((1 << SLOT_BITS) - 1)
    }

    fn is_member(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Scratch {
    fn begin(&mut self, slots: usize) {
        if self.mark >= u32::MAX - 2 {
            self.marks.clear();
            self.mark = 0;
        }
        self.marks.resize(slots.max(self.marks.len()), 0);
        self.mark += 2;
        self.ranked.clear();
        self.newcomers.clear();
        self.left.clear();
        self.news.clear();
        self.repeats.clear();
        (self.any_moves, self.farthest_square) = (false, 0);
    }

    fn evicted_mark(&self) -> u32 {
        self.mark + 1
    }

    /// Whether the last look took this member's place from it.
    pub(crate) fn was_evicted(&self, member: &Member) -> bool {
        self.marks[member.slot as usize] == self.evicted_mark()
    }
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
    scratch.begin(world.slots());
    scratch.marks[viewer.slot as usize] = scratch.mark;

    let pinned = keep_members(viewer, world, settings, &eye, scratch);
    let capacity = settings.max_visible.saturating_sub(pinned);
    find_newcomers(scene, &eye, capacity, ids_below, scratch);
    award_places(viewer, world, capacity, scratch);

    let first_entered = viewer.visible.len();
    for ranked in scratch.ranked.iter().filter(|ranked| !ranked.is_member()) {
        let id = world.id(ranked.slot()).expect("newcomers are present");
        viewer.visible.push(Member { slot: ranked.slot(), id, entered: now as u32 });
    }
    if viewer.visible.len() > first_entered {
        viewer.look_until = now + settings.dwell + 1;
    } else if viewer.look_until == Tick::MAX {
        viewer.look_until = now + settings.dwell;
    }
    viewer.looked = now;
    viewer.regions = regions_of_interest(viewer, world, settings, &eye, scratch);
    first_entered
}

/// Where a viewer looks from, and how far.
struct Eye {
    x: i32,
    y: i32,
    enter: Area,
    leave: Area,
}

impl Eye {
    fn of(viewer: &Viewer, world: &World) -> Self {
        let position = world.position(viewer.slot);
        let (enter, leave) = viewer.areas(world);
        Self { x: i32::from(position.x), y: i32::from(position.y), enter, leave }
    }

    fn square_to(&self, x: u16, y: u16) -> u64 {
        let (dx, dy) = (i64::from(self.x) - i64::from(x), i64::from(self.y) - i64::from(y));
        (dx * dx + dy * dy) as u64
    }
}

/// Drops members that are gone or out of range, ranks the others, notes what is to be told of them, and returns how many
/// places are not up for discussion: young members', and those of departed players whose LEFT must wait. One pass, since
/// reading everybody in view is what a look costs.
fn keep_members(
    viewer: &mut Viewer,
    world: &World,
    settings: &Settings,
    eye: &Eye,
    scratch: &mut Scratch,
) -> usize {
    let (now, served) = (world.tick(), viewer.served);
    let since_look = now - viewer.looked;
    let mut pinned = 0;
    viewer.visible.retain(|member| {
        let age = member.age(now);
        let outline = world.outline(member.slot);
        if !outline.is(member.id) {
            let waits = age < settings.departure_dwell;
            pinned += usize::from(waits);
            if !waits {
                scratch.left.push(member.id);
            }
            return waits;
        }
        // Marked even if it goes out of view in this look: it does not come back in it.
        scratch.marks[member.slot as usize] = scratch.mark;
        let square = eye.square_to(outline.position.x, outline.position.y);
        if age < settings.dwell {
            pinned += 1;
            // The look in which its age passes the mark, once.
            if age >= settings.keyframe_after && age - since_look.min(age) < settings.keyframe_after {
                scratch.repeats.push(*member);
            }
        } else if eye.leave.contains(i32::from(outline.position.x), i32::from(outline.position.y)) {
            // A stalled viewer's first look after a while may find it grown old.
            if age - since_look.min(age) < settings.keyframe_after {
                scratch.repeats.push(*member);
            }
            scratch.ranked.push(Ranked::new(square * MEMBER_SQUARE_PERCENT / 100, member.slot, true));
        } else {
            scratch.left.push(member.id);
            return false;
        }
        scratch.farthest_square = scratch.farthest_square.max(square);
        scratch.any_moves |= outline.moves();
        if outline.has_changed_since(served) {
            scratch.news.push(*member);
        }
        true
    });
    pinned
}

/// Collects everybody who could get a place: enough of the nearest to fill the free ones, and all who are nearer than
/// the farthest ranked member counts.
fn find_newcomers(scene: &Scene, eye: &Eye, capacity: usize, ids_below: u32, scratch: &mut Scratch) {
    let has_free_places = capacity > scratch.ranked.len();
    let farthest = scratch.ranked.iter().map(|ranked| ranked.square()).max().unwrap_or(0);
    // With no place free only who is nearer than the farthest member counts can get one.
    let worth = if has_free_places { u64::MAX } else { farthest };
    let mut search = Search { ids_below, grid_is_fresh: ids_below == u32::MAX, square_below: worth };
    if scene.grid.occupants().len() <= LINEAR_SEARCH_MAX {
        collect(scene.grid.occupants(), scene, eye, &search, scratch);
        return;
    }
    // Circles of growing reach. Once one holds as many candidates as there are places, nobody outside it can win one;
    // so a member that has walked far away does not make its viewer search that far.
    let mut half_side = scene.grid.half_side_for(capacity);
    loop {
        let area = Area::around(eye.x, eye.y, half_side);
        let is_everywhere = area.covers(&eye.enter);
        let reach = if is_everywhere { u64::MAX } else { u64::from(half_side.unsigned_abs()).pow(2) };
        search.square_below = worth.min(reach);
        scratch.newcomers.clear();
        for run in scene.grid.runs(area.intersect(&eye.enter)) {
            collect(run, scene, eye, &search, scratch);
        }
        let members = scratch.ranked.iter().filter(|ranked| ranked.square() < reach).count();
        if members + scratch.newcomers.len() >= capacity || reach >= worth || is_everywhere {
            return;
        }
        half_side = half_side.saturating_mul(2);
    }
}

/// Who among those in reach is worth ranking.
struct Search {
    ids_below: u32,
    grid_is_fresh: bool,
    square_below: u64,
}

fn collect(run: &[Occupant], scene: &Scene, eye: &Eye, search: &Search, scratch: &mut Scratch) {
    for occupant in run {
        let Occupant { slot, id, x, y } = *occupant;
        let square = eye.square_to(x, y);
        if square >= search.square_below
            || scratch.marks[slot as usize] == scratch.mark
            || !eye.enter.contains(i32::from(x), i32::from(y))
        {
            continue;
        }
        // When a player joins, the grid may be a tick old: some of those in it may have left since.
        if id < search.ids_below && (search.grid_is_fresh || scene.world.is_present(slot, id)) {
            scratch.newcomers.push(Ranked::new(square, slot, false));
        }
    }
}

/// Up to so many losers are found one by one, by running through all candidates for each; more are worth a selection.
const FEW: usize = 6;

/// Swaps the farthest of all but the last `done` candidates to the end of those.
fn move_farthest_last(ranked: &mut [Ranked], done: usize) {
    let last = ranked.len() - 1 - done;
    if let Some((farthest, _)) = ranked[..=last].iter().enumerate().max_by_key(|(_, ranked)| **ranked) {
        ranked.swap(farthest, last);
    }
}

/// Gives the places to the nearest and evicts the members that lost theirs. Afterwards `scratch.ranked` holds the
/// winners alone.
fn award_places(viewer: &mut Viewer, world: &World, capacity: usize, scratch: &mut Scratch) {
    let evicted_mark = scratch.evicted_mark();
    scratch.ranked.append(&mut scratch.newcomers);
    if scratch.ranked.len() <= capacity {
        return;
    }
    let surplus = scratch.ranked.len() - capacity;
    if surplus <= FEW {
        (0..surplus).for_each(|round| move_farthest_last(&mut scratch.ranked, round));
    } else {
        scratch.ranked.select_nth_unstable(capacity);
    }
    let mut evictions = 0;
    for loser in &scratch.ranked[capacity..] {
        if loser.is_member() {
            scratch.marks[loser.slot() as usize] = evicted_mark;
            evictions += 1;
        }
    }
    scratch.ranked.truncate(capacity);
    if evictions > 0 {
        let (marks, left) = (&scratch.marks, &mut scratch.left);
        viewer.visible.retain(|member| {
            // A departed player whose LEFT must wait keeps its place, whoever holds its slot now.
            let stays =
                marks[member.slot as usize] != evicted_mark || !world.is_present(member.slot, member.id);
            if !stays {
                left.push(member.id);
            }
            stays
        });
    }
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
        let entered = scratch.ranked.iter().filter(|ranked| !ranked.is_member());
        let farthest = entered.map(|ranked| ranked.square()).fold(scratch.farthest_square, u64::max);
        area = Area::around(eye.x, eye.y, farthest.isqrt() as i32 + 1);
    }
    let drift = settings.drift;
    world.activity().regions(area.left - drift, area.top - drift, area.right + drift, area.bottom + drift)
}
