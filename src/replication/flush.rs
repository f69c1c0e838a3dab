//! One viewer's turn: the frames that make its client's picture right again.
//!
//! Everything here depends on the scene and the viewer alone, so that a viewer gets the same bytes from whichever
//! worker serves it.

use super::frames::Frames;
use super::interest::{Scratch, look};
use super::interest_set::InterestEntry;
use super::viewer::{Turn, Viewer};
use super::{Scene, Settings};
use crate::world::{State, Tick, World};

/// The first frames of a new player: a full state of whom it sees, itself included and nobody with a higher id, and
/// the vectors of those who move.
pub(super) fn welcome(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let world = &scene.world;
    let first_entered = look(viewer, scene, settings, viewer.id, scratch);
    debug_assert_eq!(first_entered, 0, "a new viewer sees nobody yet");
    if !viewer.interest_set.is_empty() {
        viewer.sync_allowed = Some(world.tick() + settings.first_sprite_load);
    }
    let everybody = [&[viewer.slot], viewer.interest_set.slots()].concat();
    frames.game_state(everybody.into_iter());
    for &slot in viewer.interest_set.slots() {
        if world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
    // Those who joined since the grid was made are not seen yet.
    viewer.look_until = viewer.look_until.max(world.tick() + 1);
}

/// Serves one turn. Appends nothing when there is nothing to tell.
pub(super) fn serve(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    turn: Turn,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    #[cfg(test)]
    assert!(!viewer.poisoned, "poisoned for a test");
    let now = scene.world.tick();
    let before = frames.out.len();
    match turn {
        Turn::Changes => changes(viewer, settings, scratch, frames),
        Turn::Look => {
            let looked = viewer.looked;
            let first_entered = look(viewer, scene, settings, u32::MAX, scratch);
            let set_changed = first_entered < viewer.interest_set.len() || !scratch.left.kept().is_empty();
            viewer.altered |= set_changed || scratch.any_moves;
            find_news(viewer, first_entered, &scene.world, scratch);
            if viewer.is_sync_due(now) {
                viewer.sync_due = now + settings.sync_interval;
                if viewer.altered || has_news(viewer, &scene.world, scratch) {
                    full_state(viewer, settings, looked, frames);
                }
            } else {
                what_the_look_found(viewer, settings, scratch, frames);
                entrances(viewer, settings, looked, first_entered, frames);
            }
        }
    }
    viewer.served = now;
    if frames.out.len() > before {
        viewer.flushed = now;
    }
}

/// What changed since the viewer was served about those it sees; those who left the world are told as LEFT and dropped.
fn changes(viewer: &mut Viewer, settings: &Settings, scratch: &mut Scratch, frames: &mut Frames<'_>) {
    let world = frames.world;
    let now = world.tick();
    find_news(viewer, viewer.interest_set.len(), world, scratch);
    tell_news(viewer, settings, scratch, frames);
    if viewer.departed {
        viewer.departed = false;
        let departed = &mut viewer.departed;
        viewer.interest_set.retain(|member| {
            let is_gone = !world.is_present(member.slot, member.id);
            let is_told = is_gone && member.age(now) >= settings.removed_dwell;
            if is_told {
                frames.left(member.id);
                viewer.altered = true;
            }
            *departed |= is_gone && !is_told;
            !is_told
        });
    }
}

/// Who went out of view, what is repeated, what is new: of a look without a full state.
fn what_the_look_found(
    viewer: &mut Viewer,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    for &id in scratch.left.kept() {
        frames.left(id);
    }
    for at in scratch.repeats.clone() {
        let member = viewer.interest_set.at(at);
        if frames.world.is_present(member.slot, member.id) {
            repeat(viewer, member, frames);
        }
    }
    tell_news(viewer, settings, scratch, frames);
}

/// Finds the members, of the first so many, about whom there may be something new: as the bits say, which after a long time say
/// it of all.
fn find_news(viewer: &Viewer, members: usize, world: &World, scratch: &mut Scratch) {
    let changed = world.dirty_slots(viewer.served);
    let slots = viewer.interest_set.slots()[..members].iter().enumerate();
    scratch.news.clear();
    scratch.news.compact(slots.map(|(at, &slot)| (at as u32, changed.has(slot))));
}

/// Whether there is something new about any of those in `scratch.news`.
fn has_news(viewer: &Viewer, world: &World, scratch: &Scratch) -> bool {
    let mut slots = scratch.news.kept().iter().map(|&at| viewer.interest_set.slots()[at as usize]);
    slots.any(|slot| world.entity_state(slot).has_changed_since(viewer.served))
}

/// The latest state of what changed about those in `scratch.news`. Nearly always it is the vector alone.
fn tell_news(viewer: &mut Viewer, settings: &Settings, scratch: &mut Scratch, frames: &mut Frames<'_>) {
    let Scratch { news, movements, .. } = scratch;
    let world = frames.world;
    // While nobody left the world, whoever is in a member's slot is the member.
    let may_be_gone = viewer.may_show_departed(world);
    let found =
        frames.new_movements(&viewer.interest_set, news.kept(), viewer.served, may_be_gone, movements);
    viewer.altered |= found.any;
    viewer.departed |= found.any_departed;
    if found.any_others {
        for &at in news.kept() {
            let InterestEntry { slot, id, .. } = viewer.interest_set.at(at as usize);
            let entity = world.entity_state(slot);
            if entity.has_id(id) && entity.may_have_rare_change_since(viewer.served) {
                tell_rare_news(viewer, settings, slot, frames);
            }
        }
    }
}

/// The latest state of what changed about one member, when it is more than the vector.
fn tell_rare_news(viewer: &mut Viewer, settings: &Settings, slot: u32, frames: &mut Frames<'_>) {
    let (now, since) = (frames.world.tick(), viewer.served);
    let world = frames.world;
    if world.has_new_facing(slot, since) {
        frames.direction(slot);
    }
    // The client's animation of an attack is cut off by a vector that comes later: whatever is the latest comes last.
    let attacking = world.state(slot) == State::Attacking;
    let vector_is_news = world.has_new_vector(slot, since);
    if vector_is_news && attacking {
        frames.movement(slot);
    }
    attack_news(settings, slot, since, frames);
    if vector_is_news && !attacking {
        frames.movement(slot);
    }
    if world.has_jumped(slot, since) {
        // Everybody around sees the same jump; their full states need not fall into the same tick.
        let stagger = Tick::from(viewer.id) % (settings.jump_sync / 2).max(1);
        let earliest = (now + stagger).max(viewer.synced + settings.jump_sync_pause);
        viewer.sync_due = viewer.sync_due.min(earliest);
    }
}

/// Tells of an attack that began since, unless it is over anyway.
fn attack_news(settings: &Settings, slot: u32, since: Tick, frames: &mut Frames<'_>) {
    if frames.world.has_begun_attack(slot, since, settings.attack) {
        frames.attack(slot);
    }
}

/// Tells of an attack that a player began between the look before and the one in which it enters. However late that look comes,
/// the viewer has not been told.
fn attack_of_newcomer(slot: u32, looked: Tick, frames: &mut Frames<'_>) {
    if frames.world.has_begun_attack(slot, looked, Tick::MAX) {
        frames.attack(slot);
    }
}

/// Everybody in view anew: heals positions, facings, and whatever else went wrong. Stands in for the JOINED and LEFT of
/// this turn. Stops go before it, or a client that gets the rest of this write a little later would walk on from the
/// positions it has just got; the vectors of those who move go behind it, since the client ignores those in it.
fn full_state(viewer: &mut Viewer, settings: &Settings, looked: Tick, frames: &mut Frames<'_>) {
    let world = frames.world;
    let (now, members) = (world.tick(), viewer.interest_set.len());
    viewer.interest_set.retain(|member| world.is_present(member.slot, member.id));
    // A departed player whose sprite is still loading outlives this state as a ghost; the next one removes it.
    viewer.altered = viewer.interest_set.len() < members;
    for member in viewer.interest_set.iter() {
        let has_stopped =
            !world.entity_state(member.slot).is_moving() && world.has_new_vector(member.slot, viewer.synced);
        // Told again, since the client may have missed it. Whoever enters with this state stands anyway.
        if has_stopped && member.age(now) > 0 {
            frames.movement(member.slot);
        }
    }
    frames.game_state(viewer.interest_set.slots().iter().copied());
    for member in viewer.interest_set.iter() {
        let slot = member.slot;
        if world.entity_state(slot).is_moving() {
            frames.movement(slot);
            // It moves on, so its place in the client's picture will be wrong by the next state.
            viewer.altered = true;
        }
        if member.age(now) == 0 {
            attack_of_newcomer(slot, looked, frames);
        } else {
            attack_news(settings, slot, viewer.served, frames);
        }
    }
    viewer.synced = now;
}

/// Repeats what a client may have missed of somebody because the sprite was still loading: once, a second after its
/// entrance. What changed since the viewer was served comes as a change in this same turn.
fn repeat(viewer: &Viewer, member: InterestEntry, frames: &mut Frames<'_>) {
    let (world, slot) = (frames.world, member.slot);
    let entered = world.tick() - member.age(world.tick());
    let is_vector_wanted = world.entity_state(slot).is_moving() || world.has_new_vector(slot, entered);
    if is_vector_wanted && !world.has_new_vector(slot, viewer.served) {
        frames.movement(slot);
    }
    if world.has_new_facing(slot, entered) && !world.has_new_facing(slot, viewer.served) {
        frames.direction(slot);
    }
}

/// Players that came into view: JOINED, an attack since the look before, and the vector of those that move.
fn entrances(viewer: &mut Viewer, settings: &Settings, looked: Tick, first: usize, frames: &mut Frames<'_>) {
    for &slot in &viewer.interest_set.slots()[first..] {
        frames.joined(slot);
        attack_of_newcomer(slot, looked, frames);
        if frames.world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
    if first < viewer.interest_set.len() {
        let now = frames.world.tick();
        viewer.sync_allowed.get_or_insert(now + settings.first_sprite_load);
    }
}
