//! What viewers make of a player's movements: corrections add up, and what is too far off is a jump.

use super::super::extrapolation::Cadence;
use super::super::{Position, Tick, Vector};
use super::World;

impl World {
    /// Viewers get changes every `flush` ticks, and a snapshot every `sync` ticks.
    pub fn set_cadence(&mut self, flush: Tick, sync: Tick) {
        self.cadence = Cadence::new(self.rules.pace, flush, sync);
    }

    /// Brings up to now where this player is drawn.
    #[inline]
    pub(super) fn extrapolate(&mut self, at: usize) {
        let (vector, position) = (self.entity_states[at].vector(), self.entity_states[at].position);
        let drawn = &mut self.players[at].drawn;
        drawn.advance(vector, self.odometer, &self.rules);
        drawn.heal(position, self.tick, &self.cadence);
    }

    /// To be called before the vector changes. Once in a tick is enough: nobody walks within it.
    #[inline]
    pub(super) fn settle(&mut self, at: usize) {
        if !self.players[at].drawn.is_settled(self.tick, self.odometer) {
            self.settle_now(at);
        }
    }

    fn settle_now(&mut self, at: usize) {
        self.extrapolate(at);
        let (vector, position) = (self.entity_states[at].vector(), self.entity_states[at].position);
        let drawn = &mut self.players[at].drawn;
        drawn.settle(vector, self.tick, &self.cadence);
        if drawn.is_off(position, &self.cadence) {
            self.expect_jump(at);
        }
    }

    /// The vector that a player gets when it asks for this one: one whose vectors no viewer could follow stands still until it
    /// may jump.
    #[inline]
    pub(super) fn granted(&mut self, at: usize, vector: Vector) -> Vector {
        let is_change = vector != Vector::ZERO && vector != self.entity_states[at].vector();
        if !is_change {
            return vector;
        }
        self.settle(at);
        let is_lost = self.players[at].drawn.is_lost(self.entity_states[at].position, &self.cadence);
        if is_lost { Vector::ZERO } else { vector }
    }

    /// Puts a player somewhere else than it walked to; [`World::extrapolate`] has been called in this tick.
    #[inline]
    pub(super) fn put(&mut self, at: usize, position: Position) {
        self.entity_states[at].position = position;
        self.dirty_regions.mark_moved(position);
        if self.entity_states[at].vector() == Vector::ZERO {
            // No message goes out at once, and no vector need change; but the next snapshot must have it.
            let change_tick = self.record_change(at);
            self.entity_states[at].touch(change_tick);
        }
        if self.players[at].drawn.has_drifted(position) {
            self.expect_jump(at);
        }
    }

    /// Whether this player has jumped is decided when the tick ends, or later when it has to wait for its allowance: claims
    /// that come in one burst may lead back to where it is drawn.
    fn expect_jump(&mut self, at: usize) {
        let allowed_at = self.players[at].drawn.jump_allowed_at(&self.cadence);
        self.players[at].jump_at = allowed_at.max(self.tick + 1);
        self.reschedule(at);
    }

    /// The time has come that was waited for.
    pub(super) fn decide_jump(&mut self, at: usize, now: Tick) {
        self.players[at].jump_at = Tick::MAX;
        self.extrapolate(at);
        let position = self.entity_states[at].position;
        if self.players[at].drawn.is_off(position, &self.cadence) {
            let change_tick = self.record_change(at);
            self.entity_states[at].touch(change_tick);
            self.change_ticks[at].jump = change_tick;
            self.players[at].drawn.jump(position, now, &self.cadence);
        }
        self.reschedule(at);
    }
}
