//! Dead reckoning: tracks the position at which viewers draw each player, and reports a jump if its error grows too large.

use super::super::extrapolation::Cadence;
use super::super::{Position, Tick, Vector};
use super::World;

impl World {
    /// Sets the flush interval and the snapshot interval of viewers, in ticks.
    pub fn set_cadence(&mut self, flush: Tick, sync: Tick) {
        self.cadence = Cadence::new(self.rules.pace, flush, sync);
    }

    /// Advances the extrapolation of this player to the current tick.
    #[inline]
    pub(super) fn extrapolate(&mut self, at: usize) {
        let (vector, position) = (self.entity_states[at].vector(), self.entity_states[at].position);
        let extrapolation = &mut self.players[at].extrapolation;
        extrapolation.advance(vector, self.odometer, &self.rules);
        extrapolation.absorb_snapshot(position, self.tick, &self.cadence);
    }

    /// Settles the extrapolation with the old vector; must be called before the vector changes. Repeated calls in a tick do
    /// nothing, since no entity moves within a tick.
    #[inline]
    pub(super) fn settle_extrapolation(&mut self, at: usize) {
        if !self.players[at].extrapolation.is_settled(self.tick, self.odometer) {
            self.settle_extrapolation_now(at);
        }
    }

    fn settle_extrapolation_now(&mut self, at: usize) {
        self.extrapolate(at);
        let (vector, position) = (self.entity_states[at].vector(), self.entity_states[at].position);
        let extrapolation = &mut self.players[at].extrapolation;
        extrapolation.advance_viewers(vector, self.tick, &self.cadence);
        if extrapolation.has_jumped(position, &self.cadence) {
            self.schedule_jump_check(at);
        }
    }

    /// Returns the vector a player gets when it requests this one. The vector is zero while viewers draw the player too far
    /// off to follow a new one; the player then stands still until it may jump.
    #[inline]
    pub(super) fn allowed_vector(&mut self, at: usize, vector: Vector) -> Vector {
        let is_change = vector != Vector::ZERO && vector != self.entity_states[at].vector();
        if !is_change {
            return vector;
        }
        self.settle_extrapolation(at);
        let has_diverged =
            self.players[at].extrapolation.has_diverged(self.entity_states[at].position, &self.cadence);
        if has_diverged { Vector::ZERO } else { vector }
    }

    /// Moves an entity to a corrected position. [`World::extrapolate`] must have been called in this tick.
    #[inline]
    pub(super) fn relocate(&mut self, at: usize, position: Position) {
        self.entity_states[at].position = position;
        self.changes.regions.mark_moved(position);
        if self.entity_states[at].vector() == Vector::ZERO {
            // No delta contains the correction, and the vector may never change; the next snapshot must contain it.
            let change_tick = self.record_change(at);
            self.entity_states[at].touch(change_tick);
        }
        if self.players[at].extrapolation.has_drifted(position) {
            self.schedule_jump_check(at);
        }
    }

    /// Schedules the jump check for the end of the tick, or later if the jump allowance is used up. Checking later is
    /// deliberate: further claims of one burst may lead back to the drawn position.
    fn schedule_jump_check(&mut self, at: usize) {
        let allowed_at = self.players[at].extrapolation.jump_allowed_at(&self.cadence);
        self.players[at].jump_check_at = allowed_at.max(self.tick + 1);
        self.reschedule(at);
    }

    /// Marks the player as jumped if the error is still too large.
    pub(super) fn check_jump(&mut self, at: usize, now: Tick) {
        self.players[at].jump_check_at = Tick::MAX;
        self.extrapolate(at);
        let position = self.entity_states[at].position;
        if self.players[at].extrapolation.has_jumped(position, &self.cadence) {
            let change_tick = self.record_change(at);
            self.entity_states[at].touch(change_tick);
            self.changes.ticks[at].jump = change_tick;
            self.players[at].extrapolation.jump(position, now, &self.cadence);
        }
        self.reschedule(at);
    }
}
