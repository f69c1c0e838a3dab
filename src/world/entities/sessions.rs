//! Save and restore of players for sessions.

use super::super::budget::ReconciliationBudget;
use super::super::reconciliation::Reconciliation;
use super::{Input, Position, World};

impl World {
    /// Adds a player with the position, facing and reconciliation budget of a session, and the next id. Returns its slot.
    /// A position outside the world is clamped to its edge.
    ///
    /// # Panics
    /// If no ids are left, as in [`World::join`].
    pub fn rejoin(&mut self, at: Position, faces_right: bool, budget: ReconciliationBudget) -> u32 {
        let position = Position { x: at.x.min(self.rules.width), y: at.y.min(self.rules.height) };
        let slot = self.add_player(position);
        let (rate_hz, point) = (self.rules.pace.tick_rate_hz, self.point(slot as usize));
        self.players[slot as usize].reconciliation =
            Reconciliation::with_budget(point, self.tick, rate_hz, budget);
        self.apply(slot, Input::Face { right: faces_right });
        slot
    }

    /// Returns the reconciliation budget of the player in this slot, for its session.
    pub fn reconciliation_budget(&self, slot: u32) -> ReconciliationBudget {
        self.players[slot as usize].reconciliation.budget(self.tick, self.rules.pace.tick_rate_hz)
    }
}
