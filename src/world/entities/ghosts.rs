//! Ghosts: copies of other nodes' entities, in the same arrays as players, so replication treats both alike.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

use super::super::change_tick::{ChangeTick, ChangeTicks};
use super::super::entity_state::EntityState;
use super::super::extrapolation::Extrapolation;
use super::super::{Position, Tick, Vector};
use super::lingering::Presence;
use super::{NEVER, World};
use crate::limits::{GHOST_SLOT_HOLD_MS, GHOST_SLOTS_MAX};

/// The state of an entity that its owner publishes to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostUpdate {
    /// Its id.
    pub id: u32,
    /// Its position.
    pub position: Position,
    /// Its vector.
    pub vector: Vector,
    /// Whether it faces right.
    pub faces_right: bool,
    /// Whether it is attacking.
    pub attacks: bool,
    /// Whether an attack began since the last update.
    pub begins_attack: bool,
}

/// Slots held for removed ghosts, so that a ghost that returns gets the same slot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct HeldSlots {
    /// Slot and removal tick, by id.
    slots: BTreeMap<u32, (u32, Tick)>,
    /// Removal ticks and ids in order. Entries of ghosts that have returned are stale.
    order: VecDeque<(Tick, u32)>,
}

impl HeldSlots {
    /// Holds a slot. If the queue of removals is too long, returns the oldest held slot, which becomes vacant.
    pub(super) fn reserve(&mut self, id: u32, slot: u32, now: Tick) -> Option<u32> {
        self.slots.insert(id, (slot, now));
        self.order.push_back((now, id));
        if self.order.len() > 2 * GHOST_SLOTS_MAX { self.release(Tick::MAX) } else { None }
    }

    fn len(&self) -> usize {
        self.slots.len()
    }

    fn take(&mut self, id: u32) -> Option<u32> {
        self.slots.remove(&id).map(|(slot, _)| slot)
    }

    /// Releases the oldest slot of a ghost that was removed before tick `before` and has not returned.
    fn release(&mut self, before: Tick) -> Option<u32> {
        while let Some(&(went, id)) = self.order.front().filter(|(went, _)| *went < before) {
            self.order.pop_front();
            if self.slots.get(&id).is_some_and(|&(_, at)| at == went) {
                return self.take(id);
            }
        }
        None
    }
}

impl World {
    /// Adds a ghost and returns its slot, or `None` if there are [`GHOST_SLOTS_MAX`] ghosts. A recently removed ghost gets
    /// its old slot back, so that viewers that have not received its LEFT see it continue.
    pub fn add_ghost(&mut self, update: &GhostUpdate) -> Option<u32> {
        if let Some(slot) = self.cancel_lingering(update.id) {
            self.update_ghost(slot, update);
            return Some(slot);
        }
        if self.ghosts >= GHOST_SLOTS_MAX {
            return None;
        }
        let mut entity = EntityState::new(update.id, update.position, self.tick);
        entity.set_ghost();
        let slot = if let Some(slot) = self.held_slots.take(update.id) {
            self.restore_ghost(slot, entity, update)
        } else {
            if self.ghosts + self.held_slots.len() >= GHOST_SLOTS_MAX {
                // Reuses the slot held longest.
                self.vacant.extend(self.held_slots.release(Tick::MAX));
            }
            self.insert(entity)
        };
        self.ghosts += 1;
        self.update_ghost(slot, update);
        Some(slot)
    }

    /// Restores a ghost in the slot held for it. All its fields count as changed, for viewers that still see it.
    fn restore_ghost(&mut self, slot: u32, entity: EntityState, update: &GhostUpdate) -> u32 {
        let at = slot as usize;
        self.entity_states[at] = entity;
        self.population += 1;
        self.changes.regions.mark_moved(update.position);
        let change_tick = self.record_change(at);
        self.entity_states[at].set_vector(update.vector, change_tick);
        self.entity_states[at].touch(change_tick);
        let unknown = ChangeTick::long_before(self.tick);
        self.players[at].presence = Presence::since(self.tick);
        self.changes.ticks[at] =
            ChangeTicks { vector: change_tick, facing: change_tick, attack: unknown, jump: change_tick };
        let extrapolation = Extrapolation::new(update.position, self.odometer, self.tick, &self.cadence);
        (self.players[at].jump_check_at, self.players[at].attack_until) = (NEVER, NEVER);
        self.players[at].extrapolation = extrapolation;
        slot
    }

    /// Releases the slots that were held for [`GHOST_SLOT_HOLD_MS`].
    pub(super) fn release_held_slots(&mut self) {
        let kept = self.rules.pace.ticks(GHOST_SLOT_HOLD_MS);
        while let Some(slot) = self.held_slots.release(self.tick.saturating_sub(kept)) {
            self.vacant.push(slot);
        }
    }

    /// Applies an update to the ghost in this slot.
    ///
    /// # Panics
    /// If the slot does not hold this ghost.
    pub fn update_ghost(&mut self, slot: u32, update: &GhostUpdate) {
        let at = slot as usize;
        assert!(
            self.entity_states[at].has_id(update.id) && self.entity_states[at].is_ghost(),
            "slot {slot} holds no such ghost"
        );
        if self.entity_states[at].position != update.position {
            self.extrapolate(at);
            self.relocate(at, update.position);
        }
        self.face(at, update.faces_right);
        if update.begins_attack || (update.attacks && !self.is_attacking(at)) {
            self.attack(at);
        }
        if !update.attacks {
            self.end_attack(at);
            self.set_vector(at, update.vector);
        }
    }

    /// Returns the update of the entity in this slot for nodes that received the previous one as of tick `since`.
    pub fn ghost_update(&self, slot: u32, since: Tick) -> GhostUpdate {
        let entity = self.entity_state(slot);
        GhostUpdate {
            id: entity.id,
            position: entity.position,
            vector: entity.vector(),
            faces_right: entity.is_facing_right(),
            attacks: entity.is_attacking(),
            begins_attack: self.changes_since(since).has_begun_attack(slot, Tick::MAX),
        }
    }

    /// Returns whether the entity in this slot is a ghost.
    pub fn is_ghost(&self, slot: u32) -> bool {
        self.entity_states[slot as usize].is_ghost()
    }

    /// Returns the number of ghosts.
    pub fn ghosts(&self) -> usize {
        self.ghosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::entities::tests::world_at;
    use crate::world::{Input, State};

    fn update(id: u32) -> GhostUpdate {
        GhostUpdate {
            id,
            position: Position { x: 10, y: 10 },
            vector: Vector::new(1, 0),
            faces_right: false,
            attacks: false,
            begins_attack: false,
        }
    }

    #[test]
    fn a_ghost_keeps_moving_and_applies_its_owners_updates() {
        let mut world = world_at(0, 0);
        let slot = world.add_ghost(&update(5_000)).unwrap();
        assert_eq!((world.population(), world.ghosts(), world.id(slot)), (2, 1, Some(5_000)));
        assert!(world.is_ghost(slot) && !world.is_ghost(0));
        world.step(60);
        assert_eq!(world.position(slot), Position { x: 106, y: 10 });
        let stands =
            GhostUpdate { vector: Vector::ZERO, position: Position { x: 104, y: 10 }, ..update(5_000) };
        world.update_ghost(slot, &stands);
        assert_eq!((world.ghost_update(slot, 0), world.state(slot)), (stands, State::Idle));
        world.remove(slot);
        assert_eq!((world.population(), world.ghosts()), (1, 0));
    }

    #[test]
    fn a_ghost_has_the_state_of_the_published_player() {
        let (mut here, mut there) = (world_at(0, 0), world_at(9, 9));
        here.apply(0, Input::Face { right: false });
        here.apply(0, Input::Attack);
        let ghost = there.add_ghost(&here.ghost_update(0, 0)).unwrap();
        assert_eq!((there.state(ghost), there.is_facing_right(ghost)), (State::Attacking, false));
        here.step(1);
        assert!(here.ghost_update(0, 0).begins_attack && !here.ghost_update(0, 1).begins_attack);
        here.apply(0, Input::AttackEnd);
        here.apply(0, Input::Move { vector: Vector::new(0, 1), claim: None });
        there.update_ghost(ghost, &here.ghost_update(0, 1));
        assert_eq!((there.state(ghost), there.vector(ghost)), (State::Moving, Vector::new(0, 1)));
    }

    #[test]
    fn a_returning_ghost_gets_its_slot_until_the_hold_ends() {
        let mut world = world_at(0, 0);
        let slot = world.add_ghost(&update(5_000)).unwrap();
        world.remove(slot);
        world.step(60);
        let other = world.add_ghost(&update(6_000)).unwrap();
        assert_ne!(other, slot, "the slot is held for its ghost");
        let since = world.tick();
        assert_eq!(world.add_ghost(&update(5_000)), Some(slot));
        assert!(world.changes_since(since).has_changed(slot), "all its fields count as changed");
        world.remove(slot);
        world.step(GHOST_SLOT_HOLD_MS * 60 / 1000 + 2);
        assert_eq!(world.add_ghost(&update(7_000)), Some(slot));
    }

    #[test]
    fn slots_are_bounded_over_present_and_removed_ghosts() {
        let mut world = world_at(0, 0);
        let bound = GHOST_SLOTS_MAX as u32;
        // Twice as many ghosts as the bound are added and removed: each reuses the slot held longest.
        for id in 0..2 * bound {
            let slot = world.add_ghost(&update(10_000 + id)).unwrap();
            world.remove(slot);
        }
        assert_eq!(world.slots(), 1 + GHOST_SLOTS_MAX);
        // A single ghost that is added and removed repeatedly uses one slot, and the queue stays bounded.
        for _ in 0..3 * bound {
            let slot = world.add_ghost(&update(10_000 + 2 * bound)).unwrap();
            world.remove(slot);
        }
        assert!(world.held_slots.order.len() <= 2 * GHOST_SLOTS_MAX && world.slots() <= 1 + GHOST_SLOTS_MAX);
        for id in 0..bound {
            assert!(world.add_ghost(&update(1_000_000 + id)).is_some());
        }
        assert_eq!((world.add_ghost(&update(5)), world.slots()), (None, 1 + GHOST_SLOTS_MAX));
        world.join();
        assert_eq!(world.slots(), 2 + GHOST_SLOTS_MAX, "the bound does not apply to players of this node");
    }

    #[test]
    fn an_attack_that_ended_before_its_update_is_still_reported() {
        let (mut here, mut there) = (world_at(0, 0), world_at(9, 9));
        there.set_linger(30);
        here.apply(0, Input::Attack);
        here.apply(0, Input::AttackEnd);
        here.step(1);
        let ghost = there.add_ghost(&here.ghost_update(0, 0)).unwrap();
        assert_eq!(there.state(ghost), State::Idle);
        there.leave(ghost);
        there.step(1);
        assert!(there.is_lingering(ghost) && there.changes_since(0).has_begun_attack(ghost, 60));
        assert_eq!((there.ghosts(), there.players()), (1, 1));
    }

    #[test]
    fn a_ghost_that_returns_while_lingering_keeps_its_slot() {
        let mut world = world_at(0, 0);
        world.set_linger(30);
        let attacker = GhostUpdate { attacks: true, begins_attack: true, ..update(5_000) };
        let slot = world.add_ghost(&attacker).unwrap();
        world.leave(slot);
        assert!(world.is_lingering(slot));
        assert_eq!(world.add_ghost(&attacker), Some(slot));
        world.step(60);
        assert_eq!((world.id(slot), world.ghosts(), world.population()), (Some(5_000), 1, 2));
    }

    #[test]
    fn a_restored_ghost_has_no_earlier_deadline() {
        let mut world = world_at(0, 0);
        let slot =
            world.add_ghost(&GhostUpdate { attacks: true, begins_attack: true, ..update(5_000) }).unwrap();
        world.remove(slot);
        world.step(120);
        assert_eq!(world.add_ghost(&update(5_000)), Some(slot));
        world.update_ghost(slot, &GhostUpdate { position: Position { x: 60, y: 10 }, ..update(5_000) });
        world.step(1);
        assert!(world.earliest_deadline > world.tick(), "a stale deadline would be due in every tick");
    }

    #[test]
    fn players_take_granted_ids() {
        let mut world = world_at(0, 0);
        world.require_granted_ids();
        assert_eq!(world.ids_left(), 0);
        world.grant_ids(70..72);
        let slots = [world.join(), world.join()];
        assert_eq!(slots.map(|slot| world.id(slot)), [Some(70), Some(71)]);
        assert_eq!(world.ids_left(), 0);
    }
}
