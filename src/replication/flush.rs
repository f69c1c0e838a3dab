//! Encodes one viewer's flush: delta, interest changes and snapshots.
//!
//! The output depends on the scene and the viewer only, so a viewer gets the same bytes from any worker.

use super::frames::Frames;
use super::interest::{Scratch, update_interest};
use super::interest_set::InterestEntry;
use super::schedule::FlushKind;
use super::{Scene, Settings, Viewer};
use crate::world::changes::ChangesSince;
use crate::world::{State, Tick, World};

/// Writes the first frames of a new player: a snapshot of itself and its interest set, and the vectors of
/// moving entities. Entities with a higher id are not included.
pub(super) fn write_initial_snapshot(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let world = &scene.world;
    let first_entered = update_interest(viewer, scene, settings, viewer.id, scratch);
    debug_assert_eq!(first_entered, 0, "a new viewer has an empty interest set");
    let slots = [&[viewer.slot], viewer.interest_set.slots()].concat();
    frames.game_state(slots.into_iter());
    for &slot in viewer.interest_set.slots() {
        if world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
}

/// Writes one flush. Appends nothing if the client is up to date.
pub(super) fn write_flush(
    viewer: &mut Viewer,
    scene: &Scene,
    settings: &Settings,
    kind: FlushKind,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    #[cfg(test)]
    assert!(!viewer.schedule.poisoned, "poisoned for a test");
    let now = scene.world.tick();
    let before = frames.out.len();
    match kind {
        FlushKind::Delta => write_delta(viewer, settings, scratch, frames),
        FlushKind::InterestUpdate | FlushKind::Snapshot => {
            let updated_before = viewer.schedule.interest_updated_at();
            let first_entered = update_interest(viewer, scene, settings, u32::MAX, scratch);
            let set_changed = first_entered < viewer.interest_set.len() || !scratch.left.ids().is_empty();
            viewer.schedule.changed_since_snapshot |= set_changed || scratch.any_moves;
            if kind == FlushKind::Snapshot {
                let is_needed = viewer.schedule.changed_since_snapshot
                    || has_changed_members(viewer, first_entered, &scene.world);
                if is_needed {
                    write_snapshot(viewer, settings, updated_before, frames);
                }
                viewer.schedule.snapshot_handled(is_needed, now, settings);
            } else {
                write_left_and_keyframes(viewer, scratch, frames);
                write_changed(viewer, first_entered, settings, scratch, frames);
                write_entered(viewer, updated_before, first_entered, frames);
            }
        }
    }
    viewer.schedule.flushed(frames.out.len() > before, now);
}

/// Writes the changes of the members since the last flush. Members gone from the world leave, with a LEFT.
fn write_delta(viewer: &mut Viewer, settings: &Settings, scratch: &mut Scratch, frames: &mut Frames<'_>) {
    let world = frames.world;
    let now = world.tick();
    write_changed(viewer, viewer.interest_set.len(), settings, scratch, frames);
    if viewer.schedule.left_pending {
        viewer.schedule.left_pending = false;
        let left_pending = &mut viewer.schedule.left_pending;
        viewer.interest_set.retain(|member| {
            let is_gone = !world.is_present(member.slot, member.id);
            let is_told = is_gone && member.age(now) >= settings.removed_dwell;
            if is_told {
                frames.left(member.id);
                viewer.schedule.changed_since_snapshot = true;
            }
            *left_pending |= is_gone && !is_told;
            !is_told
        });
        viewer.rebuild_mask(world);
    }
}

/// Writes the members that left in an interest update that needs no snapshot, and keyframes.
fn write_left_and_keyframes(viewer: &Viewer, scratch: &Scratch, frames: &mut Frames<'_>) {
    for &id in scratch.left.ids() {
        frames.left(id);
    }
    for at in scratch.keyframes.clone().chain(scratch.early_keyframes.clone()) {
        let member = viewer.interest_set.at(at);
        if frames.world.is_present(member.slot, member.id) {
            write_keyframe(viewer, member, frames);
        }
    }
}

/// Finds the members before position `members` that may have changed.
fn find_changed(viewer: &Viewer, members: usize, world: &World, scratch: &mut Scratch) {
    let changed = viewer.schedule.unsent(world).slots();
    let slots = viewer.interest_set.slots()[..members].iter().enumerate();
    scratch.changed.clear();
    scratch.changed.compact(slots.map(|(at, &slot)| (at as u32, changed.has(slot))));
}

/// Returns whether any of the first `members` members has changed since the last flush.
fn has_changed_members(viewer: &Viewer, members: usize, world: &World) -> bool {
    let changes = viewer.schedule.unsent(world);
    viewer.interest_set.slots()[..members].iter().any(|&slot| changes.has_changed(slot))
}

/// Writes the latest state of those of the first `members` members that have changed since the last flush.
fn write_changed(
    viewer: &mut Viewer,
    members: usize,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let Some(mask) = viewer.mask(frames.world) else {
        find_changed(viewer, members, frames.world, scratch);
        return write_changed_members(viewer, settings, scratch, frames);
    };
    mask.intersect(viewer.schedule.unsent(frames.world).slots().words(), &mut scratch.changed_slots);
    let others = &viewer.interest_set.slots()[members..];
    if !others.is_empty() {
        scratch.changed_slots.retain(|slot| !others.contains(slot));
    }
    write_changed_slots(viewer, settings, scratch, frames);
}

/// Writes the latest state of the members in `scratch.changed`. Nearly always only the vector changed.
fn write_changed_members(
    viewer: &mut Viewer,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let Scratch { changed, movements, .. } = scratch;
    let world = frames.world;
    // As long as no entity left the world, the slot of a member still holds that member.
    let may_be_gone = viewer.schedule.may_have_left_pending(world);
    let changes = viewer.schedule.unsent(world);
    let (slots, ids) = (viewer.interest_set.slots(), viewer.interest_set.ids());
    let members = changed.kept().iter().map(|&at| {
        let slot = slots[at as usize];
        (slot, !may_be_gone || world.is_present(slot, ids[at as usize]))
    });
    let found = frames.changed_movements(members, changes, movements);
    viewer.schedule.changed_since_snapshot |= found.any;
    viewer.schedule.left_pending |= found.any_removed;
    if found.any_others {
        for &at in changed.kept() {
            let InterestEntry { slot, id, .. } = viewer.interest_set.at(at as usize);
            if world.is_present(slot, id) && changes.may_have_rare_change(slot) {
                write_rare_changes(viewer, settings, slot, frames);
            }
        }
    }
}

/// Writes the latest state of the members in `scratch.changed_slots`, all of which are in the world.
fn write_changed_slots(
    viewer: &mut Viewer,
    settings: &Settings,
    scratch: &mut Scratch,
    frames: &mut Frames<'_>,
) {
    let Scratch { changed_slots, movements, .. } = scratch;
    let changes = viewer.schedule.unsent(frames.world);
    let members = changed_slots.iter().map(|&slot| (slot, true));
    let found = frames.changed_movements(members, changes, movements);
    viewer.schedule.changed_since_snapshot |= found.any;
    if found.any_others {
        for &slot in changed_slots.iter().filter(|slot| changes.may_have_rare_change(**slot)) {
            write_rare_changes(viewer, settings, slot, frames);
        }
    }
}

/// Writes the latest state of a member with changes besides the vector.
fn write_rare_changes(viewer: &mut Viewer, settings: &Settings, slot: u32, frames: &mut Frames<'_>) {
    let world = frames.world;
    let changes = viewer.schedule.unsent(world);
    if changes.has_new_facing(slot) {
        frames.direction(slot);
    }
    // A later vector cancels the client's attack animation, so the latest of the two is written last.
    let attacking = world.state(slot) == State::Attacking;
    let has_new_vector = changes.has_new_vector(slot);
    if has_new_vector && attacking {
        frames.movement(slot);
    }
    write_recent_attack(settings, slot, changes, frames);
    if has_new_vector && !attacking {
        frames.movement(slot);
    }
    if changes.has_jumped(slot) {
        viewer.schedule.jumped(viewer.id, world.tick(), settings);
    }
}

/// Writes an attack that has begun, unless it is over.
fn write_recent_attack(settings: &Settings, slot: u32, changes: ChangesSince<'_>, frames: &mut Frames<'_>) {
    if changes.has_begun_attack(slot, settings.attack) {
        frames.attack(slot);
    }
}

/// Writes an attack that an entering entity began since the previous interest update. The age is not limited,
/// since the viewer has not received the attack yet.
fn write_attack_of_entered(slot: u32, updated_before: Tick, frames: &mut Frames<'_>) {
    if frames.world.changes_since(updated_before).has_begun_attack(slot, Tick::MAX) {
        frames.attack(slot);
    }
}

/// Writes a snapshot of the interest set, which corrects positions, facings and any other divergence. It
/// replaces the JOINED and LEFT frames of this flush.
///
/// Stops precede it: if the rest of the write arrives later, the client would otherwise extrapolate from the new positions
/// with the old vectors. Vectors of moving entities follow it, since the client ignores the vectors in a snapshot.
fn write_snapshot(viewer: &mut Viewer, settings: &Settings, updated_before: Tick, frames: &mut Frames<'_>) {
    let world = frames.world;
    let (now, members) = (world.tick(), viewer.interest_set.len());
    let changes = viewer.schedule.unsent(world);
    viewer.interest_set.retain(|member| world.is_present(member.slot, member.id));
    let any_gone = viewer.interest_set.len() < members;
    if any_gone {
        viewer.rebuild_mask(world);
    }
    // The client keeps a removed entity whose sprite is still loading; the next snapshot removes it.
    viewer.schedule.changed_since_snapshot = any_gone;
    for member in viewer.interest_set.iter() {
        let has_stopped = !world.entity_state(member.slot).is_moving()
            && viewer.schedule.since_snapshot(world).has_new_vector(member.slot);
        // Repeated because the client may have missed it. It draws entities that enter now as standing anyway.
        if has_stopped && member.age(now) > 0 {
            frames.movement(member.slot);
        }
    }
    frames.game_state(viewer.interest_set.slots().iter().copied());
    for member in viewer.interest_set.iter() {
        let slot = member.slot;
        if world.entity_state(slot).is_moving() {
            frames.movement(slot);
            // The entity keeps moving, so its position at the client drifts until the next snapshot.
            viewer.schedule.changed_since_snapshot = true;
        }
        if member.age(now) == 0 {
            write_attack_of_entered(slot, updated_before, frames);
        } else {
            write_recent_attack(settings, slot, changes, frames);
        }
    }
}

/// Writes a keyframe of a member: repeats the changes that the client ignored while it was loading the sprite. This happens one
/// second after the member entered. While the first sprite may be loading, it happens earlier as well, and every two seconds
/// afterwards. Changes since the last flush are part of the delta in this flush.
fn write_keyframe(viewer: &Viewer, member: InterestEntry, frames: &mut Frames<'_>) {
    let (world, slot) = (frames.world, member.slot);
    let missed = world.changes_since(world.tick() - member.age(world.tick()));
    let unsent = viewer.schedule.unsent(world);
    let is_vector_wanted = world.entity_state(slot).is_moving() || missed.has_new_vector(slot);
    if is_vector_wanted && !unsent.has_new_vector(slot) {
        frames.movement(slot);
    }
    if missed.has_new_facing(slot) && !unsent.has_new_facing(slot) {
        frames.direction(slot);
    }
}

/// Writes a stop for each member that the client extrapolates: it moves, its stop is unsent, or its LEFT is.
pub(super) fn write_stops(viewer: &Viewer, frames: &mut Frames<'_>) {
    let world = frames.world;
    for member in viewer.interest_set.iter() {
        let has_stopped = || {
            !world.entity_state(member.slot).is_moving()
                && !viewer.schedule.unsent(world).has_new_vector(member.slot)
        };
        if !world.is_present(member.slot, member.id) || !has_stopped() {
            frames.stop(member.id);
        }
    }
}

/// Writes the entities that entered: JOINED, an attack since the previous update, and the vector if it moves.
fn write_entered(viewer: &Viewer, updated_before: Tick, first: usize, frames: &mut Frames<'_>) {
    for &slot in &viewer.interest_set.slots()[first..] {
        frames.joined(slot);
        write_attack_of_entered(slot, updated_before, frames);
        if frames.world.entity_state(slot).is_moving() {
            frames.movement(slot);
        }
    }
}
