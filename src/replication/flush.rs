//! One viewer's turn: the frames that make its client's picture right again.
//!
//! Everything here depends on the scene and the viewer alone, so that a viewer gets the same bytes from whichever
//! worker serves it.

use super::frames::Frames;
use super::interest::{Scratch, update_interest};
use super::interest_set::InterestEntry;
use super::viewer::{FlushKind, Viewer};
use super::{Scene, Settings};
use crate::world::{State, Tick, World};

/// The first frames of a new player: a full state of whom it sees, itself included and nobody with a higher id, and
/// the vectors of those who move.
pub(super) fn write_initial_snapshot(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let world = &scene.world;
    let first_entered = update_interest(viewer, scene, settings, viewer.id, scratch);
    debug_assert_eq!(first_entered, 0, "a new viewer sees nobody yet");
    if !viewer.interest_set.is_empty() {
        viewer.snapshot_allowed = Some(world.tick() + settings.first_sprite_load);
    }
    let slots = [&[viewer.slot], viewer.interest_set.slots()].concat();
    frames.game_state(slots.into_iter());
    for &slot in viewer.interest_set.slots() {
        if world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
    // Those who joined since the grid was made are not seen yet.
    viewer.update_interest_until = viewer.update_interest_until.max(world.tick() + 1);
}

/// Serves one turn. Appends nothing when there is nothing to tell.
pub(super) fn write_flush(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    kind: FlushKind,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    #[cfg(test)]
    assert!(!viewer.poisoned, "poisoned for a test");
    let now = scene.world.tick();
    let before = frames.out.len();
    match kind {
        FlushKind::Delta => write_delta(viewer, settings, scratch, frames),
        FlushKind::InterestUpdate => {
            let updated_before = viewer.interest_updated_at;
            let first_entered = update_interest(viewer, scene, settings, u32::MAX, scratch);
            let set_changed = first_entered < viewer.interest_set.len() || !scratch.left.kept().is_empty();
            viewer.changed_since_snapshot |= set_changed || scratch.any_moves;
            find_changed(viewer, first_entered, &scene.world, scratch);
            if viewer.is_snapshot_due(now) {
                viewer.snapshot_due = now + settings.sync_interval;
                if viewer.changed_since_snapshot || has_changed_members(viewer, &scene.world, scratch) {
                    write_snapshot(viewer, settings, updated_before, frames);
                }
            } else {
                write_left_and_delta(viewer, settings, scratch, frames);
                write_entered(viewer, settings, updated_before, first_entered, frames);
            }
        }
    }
    viewer.sent_until = now;
    if frames.out.len() > before {
        viewer.flushed_at = now;
    }
}

/// What changed since the viewer was served about those it sees; those who left the world are told as LEFT and dropped.
fn write_delta(viewer: &mut Viewer, settings: &Settings, scratch: &mut Scratch, frames: &mut Frames<'_>) {
    let world = frames.world;
    let now = world.tick();
    find_changed(viewer, viewer.interest_set.len(), world, scratch);
    write_changed(viewer, settings, scratch, frames);
    if viewer.left_pending {
        viewer.left_pending = false;
        let left_pending = &mut viewer.left_pending;
        viewer.interest_set.retain(|member| {
            let is_gone = !world.is_present(member.slot, member.id);
            let is_told = is_gone && member.age(now) >= settings.removed_dwell;
            if is_told {
                frames.left(member.id);
                viewer.changed_since_snapshot = true;
            }
            *left_pending |= is_gone && !is_told;
            !is_told
        });
    }
}

/// Who went out of view, what is repeated, what is new: of a look without a full state.
fn write_left_and_delta(
    viewer: &mut Viewer,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    for &id in scratch.left.kept() {
        frames.left(id);
    }
    for at in scratch.keyframes.clone() {
        let member = viewer.interest_set.at(at);
        if frames.world.is_present(member.slot, member.id) {
            write_keyframe(viewer, member, frames);
        }
    }
    write_changed(viewer, settings, scratch, frames);
}

/// Finds the members, of the first so many, about whom there may be something new: as the bits say, which after a long time say
/// it of all.
fn find_changed(viewer: &Viewer, members: usize, world: &World, scratch: &mut Scratch) {
    let changed = world.dirty_slots(viewer.sent_until);
    let slots = viewer.interest_set.slots()[..members].iter().enumerate();
    scratch.changed.clear();
    scratch.changed.compact(slots.map(|(at, &slot)| (at as u32, changed.has(slot))));
}

/// Whether there is something new about any of those in `scratch.changed`.
fn has_changed_members(viewer: &Viewer, world: &World, scratch: &Scratch) -> bool {
    let mut slots = scratch.changed.kept().iter().map(|&at| viewer.interest_set.slots()[at as usize]);
    slots.any(|slot| world.entity_state(slot).has_changed_since(viewer.sent_until))
}

/// The latest state of what changed about those in `scratch.changed`. Nearly always it is the vector alone.
fn write_changed(viewer: &mut Viewer, settings: &Settings, scratch: &mut Scratch, frames: &mut Frames<'_>) {
    let Scratch { changed, movements, .. } = scratch;
    let world = frames.world;
    // While nobody left the world, whoever is in a member's slot is the member.
    let may_be_gone = viewer.may_have_left_pending(world);
    let found = frames.changed_movements(
        &viewer.interest_set,
        changed.kept(),
        viewer.sent_until,
        may_be_gone,
        movements,
    );
    viewer.changed_since_snapshot |= found.any;
    viewer.left_pending |= found.any_removed;
    if found.any_others {
        for &at in changed.kept() {
            let InterestEntry { slot, id, .. } = viewer.interest_set.at(at as usize);
            let entity = world.entity_state(slot);
            if entity.has_id(id) && entity.may_have_rare_change_since(viewer.sent_until) {
                write_rare_changes(viewer, settings, slot, frames);
            }
        }
    }
}

/// The latest state of what changed about one member, when it is more than the vector.
fn write_rare_changes(viewer: &mut Viewer, settings: &Settings, slot: u32, frames: &mut Frames<'_>) {
    let (now, since) = (frames.world.tick(), viewer.sent_until);
    let world = frames.world;
    if world.has_new_facing(slot, since) {
        frames.direction(slot);
    }
    // The client's animation of an attack is cut off by a vector that comes later: whatever is the latest comes last.
    let attacking = world.state(slot) == State::Attacking;
    let has_new_vector = world.has_new_vector(slot, since);
    if has_new_vector && attacking {
        frames.movement(slot);
    }
    write_recent_attack(settings, slot, since, frames);
    if has_new_vector && !attacking {
        frames.movement(slot);
    }
    if world.has_jumped(slot, since) {
        // Everybody around sees the same jump; their full states need not fall into the same tick.
        let stagger = Tick::from(viewer.id) % (settings.jump_sync / 2).max(1);
        let earliest = (now + stagger).max(viewer.snapshot_sent_at + settings.jump_sync_pause);
        viewer.snapshot_due = viewer.snapshot_due.min(earliest);
    }
}

/// Tells of an attack that began since, unless it is over anyway.
fn write_recent_attack(settings: &Settings, slot: u32, since: Tick, frames: &mut Frames<'_>) {
    if frames.world.has_begun_attack(slot, since, settings.attack) {
        frames.attack(slot);
    }
}

/// Tells of an attack that a player began between the look before and the one in which it enters. However late that look comes,
/// the viewer has not been told.
fn write_attack_of_entered(slot: u32, updated_before: Tick, frames: &mut Frames<'_>) {
    if frames.world.has_begun_attack(slot, updated_before, Tick::MAX) {
        frames.attack(slot);
    }
}

/// Everybody in view anew: heals positions, facings, and whatever else went wrong. Stands in for the JOINED and LEFT of
/// this turn. Stops go before it, or a client that gets the rest of this write a little later would walk on from the
/// positions it has just got; the vectors of those who move go behind it, since the client ignores those in it.
fn write_snapshot(viewer: &mut Viewer, settings: &Settings, updated_before: Tick, frames: &mut Frames<'_>) {
    let world = frames.world;
    let (now, members) = (world.tick(), viewer.interest_set.len());
    viewer.interest_set.retain(|member| world.is_present(member.slot, member.id));
    // A departed player whose sprite is still loading outlives this state as a ghost; the next one removes it.
    viewer.changed_since_snapshot = viewer.interest_set.len() < members;
    for member in viewer.interest_set.iter() {
        let has_stopped = !world.entity_state(member.slot).is_moving()
            && world.has_new_vector(member.slot, viewer.snapshot_sent_at);
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
            viewer.changed_since_snapshot = true;
        }
        if member.age(now) == 0 {
            write_attack_of_entered(slot, updated_before, frames);
        } else {
            write_recent_attack(settings, slot, viewer.sent_until, frames);
        }
    }
    viewer.snapshot_sent_at = now;
}

/// Repeats what a client may have missed of somebody because the sprite was still loading: once, a second after its
/// entrance. What changed since the viewer was served comes as a change in this same turn.
fn write_keyframe(viewer: &Viewer, member: InterestEntry, frames: &mut Frames<'_>) {
    let (world, slot) = (frames.world, member.slot);
    let entered = world.tick() - member.age(world.tick());
    let is_vector_wanted = world.entity_state(slot).is_moving() || world.has_new_vector(slot, entered);
    if is_vector_wanted && !world.has_new_vector(slot, viewer.sent_until) {
        frames.movement(slot);
    }
    if world.has_new_facing(slot, entered) && !world.has_new_facing(slot, viewer.sent_until) {
        frames.direction(slot);
    }
}

/// Players that came into view: JOINED, an attack since the look before, and the vector of those that move.
fn write_entered(
    viewer: &mut Viewer,
    settings: &Settings,
    updated_before: Tick,
    first: usize,
    frames: &mut Frames<'_>,
) {
    for &slot in &viewer.interest_set.slots()[first..] {
        frames.joined(slot);
        write_attack_of_entered(slot, updated_before, frames);
        if frames.world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
    if first < viewer.interest_set.len() {
        let now = frames.world.tick();
        viewer.snapshot_allowed.get_or_insert(now + settings.first_sprite_load);
    }
}
