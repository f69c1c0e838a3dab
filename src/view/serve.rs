//! One viewer's turn: the frames that make its client's picture right again.
//!
//! Everything here depends on the scene and the viewer alone, so that a viewer gets the same bytes from whichever
//! worker serves it.

use super::viewer::{Member, Turn, Viewer};
use super::visibility::{Scratch, look};
use super::{Scene, Settings};
use crate::game::{Stamp, State, Tick, Vector, World};
use crate::wire::message::{self, Entry, Facing};

/// Frames written, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// `GAME_STATE`.
    pub game_state: u64,
    /// `PLAYER_JOINED`.
    pub joined: u64,
    /// `PLAYER_LEFT`.
    pub left: u64,
    /// `PLAYER_ATTACK`.
    pub attack: u64,
    /// `PLAYER_DIRECTION`.
    pub direction: u64,
    /// `PLAYER_MOVEMENT`.
    pub movement: u64,
}

impl Tally {
    /// Adds another tally's counts to this one.
    pub fn add(&mut self, other: &Self) {
        self.game_state += other.game_state;
        self.joined += other.joined;
        self.left += other.left;
        self.attack += other.attack;
        self.direction += other.direction;
        self.movement += other.movement;
    }
}

/// Where a turn's frames go, and how they are counted.
pub(crate) struct Frames<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) tally: &'a mut Tally,
}

/// The first frames of a new player: a full state of whom it sees, itself included and nobody with a higher id, and
/// the vectors of those who move.
pub(crate) fn welcome(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let world = &scene.world;
    let first_entered = look(viewer, scene, settings, viewer.id, scratch);
    debug_assert_eq!(first_entered, 0, "a new viewer sees nobody yet");
    if !viewer.visible.is_empty() {
        viewer.sync_allowed = Some(world.tick() + settings.first_sprite_load);
    }
    let own = Member { slot: viewer.slot, id: viewer.id, entered: 0 };
    let entries: Vec<Entry> =
        std::iter::once(&own).chain(&viewer.visible).map(|member| entry(world, member)).collect();
    message::game_state(frames.out, entries.into_iter());
    frames.tally.game_state += 1;
    movements(viewer, world, frames);
    // Those who joined since the grid was made are not seen yet.
    viewer.look_until = viewer.look_until.max(world.tick() + 1);
}

/// Serves one turn. Appends nothing when there is nothing to tell.
pub(crate) fn serve(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    turn: Turn,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    #[cfg(test)]
    assert!(!viewer.poisoned, "poisoned for a test");
    let world = &scene.world;
    let now = world.tick();
    let before = frames.out.len();
    match turn {
        Turn::Changes => {
            changes(viewer, world, settings, frames);
        }
        Turn::Look => {
            let first_entered = look(viewer, scene, settings, u32::MAX, scratch);
            let set_changed = first_entered < viewer.visible.len() || !scratch.left.is_empty();
            viewer.altered |= set_changed || scratch.any_moves || !scratch.news.is_empty();
            if viewer.is_sync_due(now) {
                viewer.sync_due = now + settings.sync_interval;
                if viewer.altered {
                    full_state(viewer, world, settings, frames);
                }
            } else {
                what_the_look_found(viewer, world, settings, scratch, frames);
                entrances(viewer, world, settings, first_entered, frames);
            }
        }
    }
    viewer.served = now;
    if frames.out.len() > before {
        viewer.flushed = now;
    }
}

fn entry(world: &World, member: &Member) -> Entry {
    let outline = world.outline(member.slot);
    Entry {
        id: member.id,
        x: outline.position.x,
        y: outline.position.y,
        dx: outline.vector.dx(),
        dy: outline.vector.dy(),
        state: match outline.state() {
            State::Idle => message::State::Idle,
            State::Moving => message::State::Moving,
            State::Attacking => message::State::Attacking,
        },
        facing: facing(world, member.slot),
    }
}

fn facing(world: &World, slot: u32) -> Facing {
    if world.outline(slot).facing_right { Facing::Right } else { Facing::Left }
}

fn movement(world: &World, member: &Member, frames: &mut Frames<'_>) {
    let vector = world.vector(member.slot);
    message::movement(frames.out, member.id, vector.dx(), vector.dy());
    frames.tally.movement += 1;
}

/// The vectors of all visible movers.
fn movements(viewer: &Viewer, world: &World, frames: &mut Frames<'_>) {
    for member in &viewer.visible {
        if world.is_present(member.slot, member.id) && world.vector(member.slot) != Vector::ZERO {
            movement(world, member, frames);
        }
    }
}

/// What changed since the viewer was served about those it sees; those who left the world are told as LEFT and dropped.
fn changes(viewer: &mut Viewer, world: &World, settings: &Settings, frames: &mut Frames<'_>) {
    let now = world.tick();
    let mut someone_departed = false;
    for index in 0..viewer.visible.len() {
        let member = viewer.visible[index];
        let outline = world.outline(member.slot);
        if !outline.is(member.id) {
            someone_departed = true;
        } else if outline.has_changed_since(viewer.served) {
            change(viewer, world, settings, &member, frames);
        }
    }
    if !someone_departed {
        return;
    }
    let before = viewer.visible.len();
    viewer.visible.retain(|member| {
        let gone = !world.is_present(member.slot, member.id) && member.age(now) >= settings.departure_dwell;
        if gone {
            message::left(frames.out, member.id);
        }
        !gone
    });
    let departed = before - viewer.visible.len();
    frames.tally.left += departed as u64;
    viewer.altered |= departed > 0;
}

/// Who went out of view, what is repeated, what is new: of a look without a full state.
fn what_the_look_found(
    viewer: &mut Viewer,
    world: &World,
    settings: &Settings,
    scratch: &Scratch,
    frames: &mut Frames<'_>,
) {
    for &id in &scratch.left {
        message::left(frames.out, id);
    }
    frames.tally.left += scratch.left.len() as u64;
    for member in scratch.repeats.iter().filter(|member| !scratch.was_evicted(member)) {
        repeat(viewer, world, member, frames);
    }
    for member in scratch.news.iter().filter(|member| !scratch.was_evicted(member)) {
        change(viewer, world, settings, member, frames);
    }
}

/// The latest state of what changed about one member.
fn change(viewer: &mut Viewer, world: &World, settings: &Settings, member: &Member, frames: &mut Frames<'_>) {
    let since = viewer.served;
    let stamps = world.stamps(member.slot);
    viewer.altered = true;
    if stamps.is_more_than_vector(since) {
        return rare_change(viewer, world, settings, member, frames);
    }
    if stamps.vector.is_after(since) {
        movement(world, member, frames);
    }
}

/// The same when more may have changed than the vector.
#[cold]
fn rare_change(
    viewer: &mut Viewer,
    world: &World,
    settings: &Settings,
    member: &Member,
    frames: &mut Frames<'_>,
) {
    let (now, since) = (world.tick(), viewer.served);
    let stamps = world.stamps(member.slot);
    if stamps.facing.is_after(since) {
        message::direction(frames.out, member.id, facing(world, member.slot));
        frames.tally.direction += 1;
    }
    // The client's animation of an attack is cut off by a vector that comes later: whatever is the latest comes last.
    let attacking = world.state(member.slot) == State::Attacking;
    let vector_is_news = stamps.vector.is_after(since);
    if vector_is_news && attacking {
        movement(world, member, frames);
    }
    attack_news(world, settings, member, since, frames);
    if vector_is_news && !attacking {
        movement(world, member, frames);
    }
    if stamps.jump.is_after(since) {
        // Everybody around sees the same jump; their full states need not fall into the same tick.
        let stagger = Tick::from(viewer.id) % (settings.jump_sync / 2).max(1);
        viewer.sync_due = viewer.sync_due.min(now + stagger);
    }
}

/// Tells of an attack that began since, unless it is over anyway.
fn attack_news(world: &World, settings: &Settings, member: &Member, since: Tick, frames: &mut Frames<'_>) {
    let began = world.stamps(member.slot).attack;
    if began.is_after(since) && began.age(world.tick()) < settings.attack {
        let position = world.position(member.slot);
        message::attack(frames.out, member.id, position.x, position.y);
        frames.tally.attack += 1;
    }
}

/// Everybody in view anew: heals positions, facings, and whatever else went wrong; then the vectors, which the client
/// ignores in a full state. Stands in for the JOINED and LEFT of this turn.
fn full_state(viewer: &mut Viewer, world: &World, settings: &Settings, frames: &mut Frames<'_>) {
    let members = viewer.visible.len();
    viewer.visible.retain(|member| world.is_present(member.slot, member.id));
    // A departed player whose sprite is still loading outlives this state as a ghost; the next one removes it.
    viewer.altered = viewer.visible.len() < members;
    let entries = viewer.visible.iter().map(|member| entry(world, member));
    message::game_state(frames.out, entries);
    frames.tally.game_state += 1;
    for member in &viewer.visible {
        let moves = world.vector(member.slot) != Vector::ZERO;
        // A stop is a vector too, and the client may have missed it as well.
        if moves || world.stamps(member.slot).vector.is_after(viewer.synced) {
            movement(world, member, frames);
        }
        // It moves on, so its place in the client's picture will be wrong by the next state.
        viewer.altered |= moves;
        attack_news(world, settings, member, viewer.served, frames);
    }
    viewer.synced = world.tick();
}

/// Repeats what a client may have missed of somebody because the sprite was still loading: once, a second after its
/// entrance.
fn repeat(viewer: &Viewer, world: &World, member: &Member, frames: &mut Frames<'_>) {
    let entered = world.tick() - member.age(world.tick());
    let stamps = world.stamps(member.slot);
    // What changed since the viewer was served comes as a change in this same turn.
    let is_old_news = |stamp: Stamp| !stamp.is_after(viewer.served);
    if (world.outline(member.slot).moves() || stamps.vector.is_after(entered)) && is_old_news(stamps.vector) {
        movement(world, member, frames);
    }
    if stamps.facing.is_after(entered) && is_old_news(stamps.facing) {
        message::direction(frames.out, member.id, facing(world, member.slot));
        frames.tally.direction += 1;
    }
}

/// Those who came into view: JOINED, and the vector of whoever moves.
fn entrances(viewer: &mut Viewer, world: &World, settings: &Settings, first: usize, frames: &mut Frames<'_>) {
    for member in &viewer.visible[first..] {
        message::joined(frames.out, &entry(world, member));
        frames.tally.joined += 1;
        if world.vector(member.slot) != Vector::ZERO {
            movement(world, member, frames);
        }
    }
    if first < viewer.visible.len() {
        let now = world.tick();
        viewer.sync_allowed.get_or_insert(now + settings.first_sprite_load);
    }
}
