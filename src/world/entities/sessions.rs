//! Players of saved sessions: what a session takes from the world, and what it brings back.

use super::super::budget::ReconciliationBudget;
use super::super::reconciliation::Reconciliation;
use super::{Input, Position, World};

impl World {
    /// A new player where an earlier one stood, or as near to that as the world reaches, looking the same way; with the
    /// next id and the earlier one's reconciliation budget. Returns its slot.
    ///
    /// # Panics
    /// As [`World::join`].
    pub fn rejoin(&mut self, at: Position, faces_right: bool, budget: ReconciliationBudget) -> u32 {
        let position = Position { x: at.x.min(self.rules.width), y: at.y.min(self.rules.height) };
        let slot = self.enter(position);
        let (rate_hz, point) = (self.rules.pace.tick_rate_hz, self.point(slot as usize));
        self.players[slot as usize].reconciliation =
            Reconciliation::with_budget(point, self.tick, rate_hz, budget);
        self.apply(slot, Input::Face { right: faces_right });
        slot
    }

    /// The reconciliation budget of the player in this slot, for its session.
    pub fn reconciliation_budget(&self, slot: u32) -> ReconciliationBudget {
        self.players[slot as usize].reconciliation.budget(self.tick, self.rules.pace.tick_rate_hz)
    }
}
