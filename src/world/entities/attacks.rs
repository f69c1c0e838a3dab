//! Start and end of attacks.

use super::super::Vector;
use super::{NEVER, World};
use crate::limits::ATTACK_REPEAT_MS;

impl World {
    /// Starts an attack. Ignores a repetition shortly after the start, since viewers play one animation either way.
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
        self.record_attack(at);
        self.reschedule(at);
    }

    pub(super) fn end_attack(&mut self, at: usize) {
        if self.is_attacking(at) {
            self.players[at].attack_until = NEVER;
            // No delta contains the end: every client ends the animation itself. The next snapshot shows it.
            let change_tick = self.record_change(at);
            self.entity_states[at].set_attacking(false, change_tick);
            self.reschedule(at);
        }
    }

    pub(super) fn is_attacking(&self, at: usize) -> bool {
        self.entity_states[at].is_attacking()
    }
}
