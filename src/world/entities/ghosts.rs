//! Players that other processes have: in the same arrays as everybody else, so that nobody who looks knows the difference.

use std::collections::{BTreeMap, VecDeque};

use super::super::change_tick::{ChangeTick, ChangeTicks};
use super::super::entity_state::EntityState;
use super::super::extrapolation::Extrapolation;
use super::super::{Position, Tick, Vector};
use super::lingering::Presence;
use super::{NEVER, World};
use crate::limits::{GHOST_SLOT_HOLD_MS, GHOST_SLOTS_MAX};

/// All that one process tells another of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostUpdate {
    /// Its id.
    pub id: u32,
    /// Where it is.
    pub position: Position,
    /// Where it walks.
    pub vector: Vector,
    /// Whether it looks right.
    pub faces_right: bool,
    /// Whether it attacks.
    pub attacks: bool,
    /// Whether the attack is one that has not been told of.
    pub begins_attack: bool,
}

/// The slots of ghosts that have gone.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldSlots {
    slots: BTreeMap<u32, (u32, Tick)>,
    /// Who went when, the first one first; some have returned since.
    order: VecDeque<(Tick, u32)>,
}

impl HeldSlots {
    /// Keeps a slot. Returns another one that is not kept any longer, when too many ghosts went and came back.
    pub(super) fn reserve(&mut self, id: u32, slot: u32, now: Tick) -> Option<u32> {
        self.slots.insert(id, (slot, now));
        self.order.push_back((now, id));
        if self.order.len() > 2 * GHOST_SLOTS_MAX { self.release(Tick::MAX) } else { None }
    }

    /// How many slots are kept.
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn take(&mut self, id: u32) -> Option<u32> {
        self.slots.remove(&id).map(|(slot, _)| slot)
    }

    /// The slot of somebody who went in tick `before` or earlier, and is not back.
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
    /// A player that another process has, as that tells of it; returns its slot. One that was here lately gets the slot that
    /// it had, so that a viewer that missed its absence sees it go on. None when there are too many ghosts.
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
                // The oldest of those that are kept.
                self.vacant.extend(self.held_slots.release(Tick::MAX));
            }
            self.occupy(entity)
        };
        self.ghosts += 1;
        self.update_ghost(slot, update);
        Some(slot)
    }

    /// Whatever it did meanwhile is news to those who see it still.
    fn restore_ghost(&mut self, slot: u32, entity: EntityState, update: &GhostUpdate) -> u32 {
        let at = slot as usize;
        self.entity_states[at] = entity;
        self.population += 1;
        self.dirty_regions.mark_moved(update.position);
        let change_tick = self.record_change(at);
        self.entity_states[at].set_vector(update.vector, change_tick);
        self.entity_states[at].touch(change_tick);
        let unknown = ChangeTick::long_before(self.tick);
        self.players[at].presence = Presence::since(self.tick);
        self.change_ticks[at] =
            ChangeTicks { vector: change_tick, facing: change_tick, attack: unknown, jump: change_tick };
        let drawn = Extrapolation::new(update.position, self.odometer, self.tick, &self.cadence);
        (self.players[at].jump_at, self.players[at].attack_until) = (NEVER, NEVER);
        self.players[at].drawn = drawn;
        slot
    }

    /// Gives the slots of those who have not returned for long to others.
    pub(super) fn release_held_slots(&mut self) {
        let kept = self.rules.pace.ticks(GHOST_SLOT_HOLD_MS);
        while let Some(slot) = self.held_slots.release(self.tick.saturating_sub(kept)) {
            self.vacant.push(slot);
        }
    }

    /// Takes over what is told of the ghost in this slot.
    ///
    /// # Panics
    /// When there is none.
    pub fn update_ghost(&mut self, slot: u32, update: &GhostUpdate) {
        let at = slot as usize;
        assert!(
            self.entity_states[at].has_id(update.id) && self.entity_states[at].is_ghost(),
            "slot {slot} holds no such ghost"
        );
        if self.entity_states[at].position != update.position {
            self.extrapolate(at);
            self.put(at, update.position);
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

    /// What is to be told of the player in this slot to whoever knows everything up to tick `since`.
    pub fn ghost_update(&self, slot: u32, since: Tick) -> GhostUpdate {
        let entity = self.entity_state(slot);
        GhostUpdate {
            id: entity.id,
            position: entity.position,
            vector: entity.vector(),
            faces_right: entity.is_facing_right(),
            attacks: entity.is_attacking(),
            begins_attack: self.has_begun_attack(slot, since, Tick::MAX),
        }
    }

    /// Whether there is anything to be told of it.
    pub fn has_changed_since(&self, slot: u32, since: Tick) -> bool {
        self.entity_state(slot).has_changed_since(since)
    }

    /// Whether whoever is in this slot is another process's player.
    pub fn is_ghost(&self, slot: u32) -> bool {
        self.entity_states[slot as usize].is_ghost()
    }

    /// Players present that other processes have.
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
    fn a_ghost_walks_on_by_itself_and_is_as_its_process_says() {
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
    fn what_is_told_of_a_player_makes_its_ghost_the_same() {
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
    fn who_returns_has_its_slot_until_it_is_given_away() {
        let mut world = world_at(0, 0);
        let slot = world.add_ghost(&update(5_000)).unwrap();
        world.remove(slot);
        world.step(60);
        let other = world.add_ghost(&update(6_000)).unwrap();
        assert_ne!(other, slot, "it may come back");
        let since = world.tick();
        assert_eq!(world.add_ghost(&update(5_000)), Some(slot));
        assert!(world.has_changed_since(slot, since), "who saw it go is told anew");
        world.remove(slot);
        world.step(GHOST_SLOT_HOLD_MS * 60 / 1000 + 2);
        assert_eq!(world.add_ghost(&update(7_000)), Some(slot));
    }

    #[test]
    fn slots_are_bounded_over_ghosts_that_are_there_and_gone() {
        let mut world = world_at(0, 0);
        let bound = GHOST_SLOTS_MAX as u32;
        // Twice as many come and go as there may be: each takes the slot that has been kept longest.
        for id in 0..2 * bound {
            let slot = world.add_ghost(&update(10_000 + id)).unwrap();
            world.remove(slot);
        }
        assert_eq!(world.slots(), 1 + GHOST_SLOTS_MAX);
        // One that comes and goes keeps its one slot, and leaves no trace of each time.
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
        assert_eq!(world.slots(), 2 + GHOST_SLOTS_MAX, "own players have slots of their own");
    }

    #[test]
    fn an_attack_that_is_over_when_it_is_told_is_told_all_the_same() {
        let (mut here, mut there) = (world_at(0, 0), world_at(9, 9));
        there.set_linger(30);
        here.apply(0, Input::Attack);
        here.apply(0, Input::AttackEnd);
        here.step(1);
        let ghost = there.add_ghost(&here.ghost_update(0, 0)).unwrap();
        assert_eq!(there.state(ghost), State::Idle);
        there.leave(ghost);
        there.step(1);
        assert!(there.is_lingering(ghost) && there.has_begun_attack(ghost, 0, 60));
        assert_eq!((there.ghosts(), there.players()), (1, 1));
    }

    #[test]
    fn a_ghost_that_returns_while_it_lingers_is_the_same() {
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
    fn a_ghost_that_returns_has_no_deadline_of_its_earlier_stay() {
        let mut world = world_at(0, 0);
        let slot =
            world.add_ghost(&GhostUpdate { attacks: true, begins_attack: true, ..update(5_000) }).unwrap();
        world.remove(slot);
        world.step(120);
        assert_eq!(world.add_ghost(&update(5_000)), Some(slot));
        world.update_ghost(slot, &GhostUpdate { position: Position { x: 60, y: 10 }, ..update(5_000) });
        world.step(1);
        assert!(world.earliest_deadline > world.tick(), "nothing is due over and over");
    }

    #[test]
    fn nobody_comes_in_without_an_id() {
        let mut world = world_at(0, 0);
        world.require_granted_ids();
        assert_eq!(world.ids_left(), 0);
        world.grant_ids(70..72);
        let slots = [world.join(), world.join()];
        assert_eq!(slots.map(|slot| world.id(slot)), [Some(70), Some(71)]);
        assert_eq!(world.ids_left(), 0);
    }
}
