//! When an attack begins and ends.

use super::super::Vector;
use super::{NEVER, World};
use crate::limits::ATTACK_REPEAT_MS;

impl World {
    /// An attack that its client begins again and again is one: others see its animation in any case.
    pub(super) fn begin_attack(&mut self, at: usize) {
        let age = self.players[at].presence.attacked.age(self.tick + 1);
        if !self.is_attacking(at) || age >= self.rules.pace.ticks(ATTACK_REPEAT_MS) {
            self.attack(at);
        }
    }

    pub(super) fn attack(&mut self, at: usize) {
        self.set_vector(at, Vector::ZERO);
        self.players[at].attack_until = self.tick + self.rules.attack_ticks;
        let change_tick = self.record_change(at);
        self.entity_states[at].set_attacking(true, change_tick);
        self.note_attack(at);
        self.reschedule(at);
    }

    pub(super) fn end_attack(&mut self, at: usize) {
        if self.is_attacking(at) {
            self.players[at].attack_until = NEVER;
            // No message goes out at once, since every client ends the animation by itself; the next snapshot has it.
            let change_tick = self.record_change(at);
            self.entity_states[at].set_attacking(false, change_tick);
            self.reschedule(at);
        }
    }

    pub(super) fn is_attacking(&self, at: usize) -> bool {
        self.entity_states[at].is_attacking()
    }
}
