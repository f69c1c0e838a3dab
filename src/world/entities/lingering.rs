//! Lingering: a player that leaves stays in the world until viewers have received its join or attack. Interest updates run
//! a few times per second, and a player may join, attack and leave between two of them.
//!
//! A lingering player keeps its slot and id, stands still and takes no input. [`World::players`] no longer counts it.
//! At most [`LINGERING_MAX`] players linger; at the bound, the one due next is removed early.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::super::Tick;
use super::super::change_tick::ChangeTick;
use super::{NEVER, Vector, World};
use crate::limits::{ENTER_PRESENCE_MS, LINGERING_MAX};

/// Change ticks that determine whether a player lingers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Presence {
    pub(super) joined: ChangeTick,
    /// Start of the last attack.
    pub(super) attacked: ChangeTick,
}

impl Presence {
    pub(super) fn since(now: Tick) -> Self {
        Self { joined: ChangeTick::of(now), attacked: ChangeTick::long_before(now) }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lingering {
    /// Removal tick and slot of each entity, in order of removal.
    slots: BTreeSet<(Tick, u32)>,
    /// The ghosts among them, by id. A map, because forged bus messages can ask for many ids.
    ghosts: BTreeMap<u32, (Tick, u32)>,
    /// Shortest time a player stays in the world after its join or its last attack, in ticks.
    duration: Tick,
}

impl World {
    /// Sets the shortest time a player stays in the world after its join or its last attack, in ticks. By then every viewer
    /// that reads its frames has had an interest update.
    pub fn set_linger(&mut self, ticks: Tick) {
        self.lingering.duration = ticks;
    }

    /// Returns the number of this node's players, without lingering ones.
    pub fn players(&self) -> usize {
        self.population - self.ghosts - (self.lingering.slots.len() - self.lingering.ghosts.len())
    }

    /// Returns whether the entity in this slot has left and lingers.
    pub fn is_lingering(&self, slot: u32) -> bool {
        self.lingering.slots.iter().any(|&(_, lingering)| lingering == slot)
    }

    /// Removes the entity in this slot; lets it linger first if viewers may not have received its join or attack.
    ///
    /// # Panics
    /// If the slot is vacant.
    pub fn leave(&mut self, slot: u32) {
        let Some(until) = self.lingers_until(slot as usize) else { return self.remove(slot) };
        if self.lingering.slots.len() >= LINGERING_MAX {
            self.release_first();
        }
        let at = slot as usize;
        self.set_vector(at, Vector::ZERO);
        self.players[at].silent_at = NEVER;
        self.reschedule(at);
        self.lingering.slots.insert((until, slot));
        if self.is_ghost(slot) {
            self.lingering.ghosts.insert(self.entity_states[at].id, (until, slot));
        }
    }

    fn lingers_until(&self, at: usize) -> Option<Tick> {
        let (now, duration) = (self.tick, self.lingering.duration);
        let Presence { joined, attacked } = self.players[at].presence;
        let stayed = joined.age(now);
        let may_be_visible = stayed >= self.rules.pace.ticks(ENTER_PRESENCE_MS) && stayed < duration;
        let by_join = may_be_visible.then(|| now + duration - stayed);
        let attack_age = attacked.age(now);
        let by_attack = (attack_age < duration).then(|| now + duration - attack_age);
        by_join.max(by_attack)
    }

    /// Ends the lingering of the ghost with this id, if it lingers. Returns its slot.
    pub(super) fn cancel_lingering(&mut self, id: u32) -> Option<u32> {
        let found = self.lingering.ghosts.remove(&id)?;
        self.lingering.slots.remove(&found);
        Some(found.1)
    }

    /// Removes the lingering entities that are due.
    pub(super) fn release_lingering(&mut self) {
        while self.lingering.slots.first().is_some_and(|&(until, _)| until <= self.tick) {
            self.release_first();
        }
    }

    fn release_first(&mut self) {
        if let Some((_, slot)) = self.lingering.slots.pop_first() {
            self.lingering.ghosts.remove(&self.entity_states[slot as usize].id);
            self.remove(slot);
        }
    }

    /// Records an attack in the tick in progress. Viewers receive it after the tick has closed. Until then the change tick
    /// of the previous attack is kept, even if the attack is repeated.
    pub(super) fn record_attack(&mut self, at: usize) {
        let change_tick = ChangeTick::of(self.tick + 1);
        if self.players[at].presence.attacked != change_tick {
            self.players[at].presence.attacked = change_tick;
            self.attackers.push(at as u32);
        }
    }

    /// Publishes the attacks that began in the tick in progress, which is about to close.
    pub(super) fn close_attacks(&mut self) {
        let change_tick = ChangeTick::of(self.tick + 1);
        for slot in self.attackers.drain(..) {
            let at = slot as usize;
            // The attacker may have been removed, and its slot reused.
            if self.players[at].presence.attacked == change_tick {
                self.changes.ticks[at].attack = change_tick;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::entities::tests::world_at;
    use crate::world::{Input, State};

    const DURATION: Tick = 30;

    /// Creates a world with one player that joined in tick 0.
    fn world() -> World {
        let mut world = world_at(500, 500);
        world.set_linger(DURATION);
        world
    }

    #[test]
    fn an_attacker_lingers_until_its_attack_has_been_sent() {
        let mut world = world();
        world.step(100);
        world.apply(0, Input::Attack);
        world.leave(0);
        assert_eq!((world.players(), world.population()), (0, 1));
        world.step(DURATION as u32 - 1);
        assert!(world.is_lingering(0) && world.changes_since(100).has_begun_attack(0, Tick::MAX));
        assert_eq!(world.state(0), State::Attacking);
        world.step(2);
        assert_eq!((world.population(), world.id(0)), (0, None));
    }

    #[test]
    fn a_player_lingers_only_after_a_minimum_presence() {
        for (stayed, lingers) in [(1, false), (14, false), (15, true), (29, true), (30, false)] {
            let mut world = world();
            world.apply(0, Input::Move { vector: Vector::new(1, 0), claim: None });
            world.step(stayed);
            world.leave(0);
            assert_eq!(world.is_lingering(0), lingers, "after {stayed} ticks");
            assert!(!lingers || world.vector(0) == Vector::ZERO, "a lingering player stands still");
        }
    }

    #[test]
    fn at_the_bound_the_oldest_is_removed_early() {
        let mut world = world();
        let slots: Vec<u32> = (0..=LINGERING_MAX).map(|_| world.join()).collect();
        for &slot in &slots {
            world.apply(slot, Input::Attack);
            world.leave(slot);
        }
        assert_eq!((world.players(), world.population()), (1, 1 + LINGERING_MAX));
        assert!(world.id(slots[0]).is_none() && world.is_lingering(slots[1]));
    }

    #[test]
    fn an_attack_started_in_every_tick_is_reported_in_every_tick() {
        let mut world = world();
        for tick in 0..20 {
            // Without an end in between, the repetition would belong to the attack in progress.
            world.apply(0, Input::AttackEnd);
            world.apply(0, Input::Attack);
            assert_eq!(tick > 0, world.changes_since(tick.max(1) - 1).has_begun_attack(0, 60), "tick {tick}");
            world.step(1);
        }
    }
}
