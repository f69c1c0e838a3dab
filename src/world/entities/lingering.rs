//! Players that have gone and linger, so that viewers learn what they did: a viewer looks for newcomers a few times a
//! second, and between two looks a player may join, attack and leave.
//!
//! A lingering player has its slot and its id, stands still, and obeys nobody. It is no player of [`World::players`] any more.
//! At most [`LINGERING_MAX`] linger; with one more, the player that would have gone next goes at once.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Tick;
use super::super::change_tick::ChangeTick;
use super::{NEVER, Vector, World};
use crate::limits::{ENTER_PRESENCE_MS, LINGERING_MAX};

/// What decides whether a player lingers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub(super) joined: ChangeTick,
    /// The last attack.
    pub(super) attacked: ChangeTick,
}

impl Presence {
    pub(super) fn since(now: Tick) -> Self {
        Self { joined: ChangeTick::of(now), attacked: ChangeTick::long_before(now) }
    }
}

/// Those that linger.
#[derive(Debug, Clone, Default)]
pub(super) struct Lingering {
    /// Until when each does; the first goes next.
    slots: BTreeSet<(Tick, u32)>,
    /// Those of them that are ghosts, by id: a bus that lies asks for many.
    ghosts: BTreeMap<u32, (Tick, u32)>,
    /// How long after its entrance or its attack a player stays in the world, in ticks.
    duration: Tick,
}

impl World {
    /// How long after its entrance or its attack a player is in the world at least, in ticks: by then every viewer that takes
    /// what it is sent has looked.
    pub fn set_linger(&mut self, ticks: Tick) {
        self.lingering.duration = ticks;
    }

    /// Players of this process that have not gone.
    pub fn players(&self) -> usize {
        self.population - self.ghosts - (self.lingering.slots.len() - self.lingering.ghosts.len())
    }

    /// Whether a player has gone and lingers.
    pub fn is_lingering(&self, slot: u32) -> bool {
        self.lingering.slots.iter().any(|&(_, lingering)| lingering == slot)
    }

    /// Removes the player in this slot when viewers have had the time to be told of it.
    ///
    /// # Panics
    /// When the slot is vacant.
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
        let is_seen_to_enter = stayed >= self.rules.pace.ticks(ENTER_PRESENCE_MS) && stayed < duration;
        let entrance = is_seen_to_enter.then(|| now + duration - stayed);
        let attack_age = attacked.age(now);
        let attack = (attack_age < duration).then(|| now + duration - attack_age);
        entrance.max(attack)
    }

    /// The ghost of this id, if it lingers, is back.
    pub(super) fn cancel_lingering(&mut self, id: u32) -> Option<u32> {
        let found = self.lingering.ghosts.remove(&id)?;
        self.lingering.slots.remove(&found);
        Some(found.1)
    }

    /// Removes those whose time has come.
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

    /// Notes an attack in the tick under way. Viewers learn of it when that closes; until then they learn of the one
    /// before, however often it is repeated.
    pub(super) fn note_attack(&mut self, at: usize) {
        let change_tick = ChangeTick::of(self.tick + 1);
        if self.players[at].presence.attacked != change_tick {
            self.players[at].presence.attacked = change_tick;
            self.attackers.push(at as u32);
        }
    }

    /// The tick under way closes with the attacks that began in it.
    pub(super) fn close_attacks(&mut self) {
        let change_tick = ChangeTick::of(self.tick + 1);
        for slot in self.attackers.drain(..) {
            let at = slot as usize;
            // The attacker may be gone, and another player have its slot.
            if self.players[at].presence.attacked == change_tick {
                self.change_ticks[at].attack = change_tick;
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

    /// A world with one player that joined in tick 0.
    fn world() -> World {
        let mut world = world_at(500, 500);
        world.set_linger(DURATION);
        world
    }

    #[test]
    fn an_attacker_lingers_until_its_attack_has_been_told() {
        let mut world = world();
        world.step(100);
        world.apply(0, Input::Attack);
        world.leave(0);
        assert_eq!((world.players(), world.population()), (0, 1));
        world.step(DURATION as u32 - 1);
        assert!(world.is_lingering(0) && world.has_begun_attack(0, 100, Tick::MAX));
        assert_eq!(world.state(0), State::Attacking);
        world.step(2);
        assert_eq!((world.population(), world.id(0)), (0, None));
    }

    #[test]
    fn a_player_that_stayed_lingers_and_one_that_only_passed_does_not() {
        for (stayed, lingers) in [(1, false), (14, false), (15, true), (29, true), (30, false)] {
            let mut world = world();
            world.apply(0, Input::Move { vector: Vector::new(1, 0), claim: None });
            world.step(stayed);
            world.leave(0);
            assert_eq!(world.is_lingering(0), lingers, "after {stayed} ticks");
            assert!(!lingers || world.vector(0) == Vector::ZERO, "it walks nowhere any more");
        }
    }

    #[test]
    fn with_one_too_many_the_oldest_goes_at_once() {
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
    fn an_attack_repeated_in_every_tick_is_one_in_every_tick() {
        let mut world = world();
        for tick in 0..20 {
            // One that was ended: repeated at once, it would belong to the one under way.
            world.apply(0, Input::AttackEnd);
            world.apply(0, Input::Attack);
            assert_eq!(tick > 0, world.has_begun_attack(0, tick.max(1) - 1, 60), "tick {tick}");
            world.step(1);
        }
    }
}
