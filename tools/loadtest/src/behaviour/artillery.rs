//! The published load scenario. Wait one second, then repeat: MOVE, 0.5 s, maybe turn, 2 s, maybe attack, 5 s, maybe
//! end the attack, 0.5 s.

use fastrand::Rng;
use game_client::Facing;

use super::{Action, Decision, SECOND_NS, random_vector};

/// Time between joining and the first MOVE.
pub const THINK_NS: u64 = SECOND_NS;

/// A player's position in the scenario.
#[derive(Clone, Copy, Debug, Default)]
pub enum Artillery {
    /// The next step is a MOVE.
    #[default]
    Move,
    /// The next step is an optional turn.
    Turn,
    /// The next step is an optional attack.
    Attack,
    /// The next step optionally ends the attack.
    AttackEnd,
}

impl Artillery {
    /// Performs the next step of the scenario.
    pub fn act(&mut self, due_ns: u64, random: &mut Rng) -> Decision {
        let is_chosen = random.bool();
        let action_if = |action| if is_chosen { action } else { Action::Rest };
        let (action, wait_ns, next) = match self {
            Artillery::Move => (Action::SetVector(random_vector(random)), SECOND_NS / 2, Artillery::Turn),
            Artillery::Turn => (Action::Rest, 2 * SECOND_NS, Artillery::Attack),
            Artillery::Attack => (action_if(Action::Attack), 5 * SECOND_NS, Artillery::AttackEnd),
            Artillery::AttackEnd => (action_if(Action::AttackEnd), SECOND_NS / 2, Artillery::Move),
        };
        let turns = is_chosen && matches!(self, Artillery::Turn);
        let side = if random.bool() { Facing::Left } else { Facing::Right };
        *self = next;
        Decision { facing: turns.then_some(side), action, next_ns: due_ns + wait_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_takes_eight_seconds_and_has_one_move() {
        let (mut artillery, mut random) = (Artillery::default(), Rng::with_seed(3));
        let (mut due_ns, mut moves, mut attacks, mut ends) = (0, 0, 0, 0);
        for _ in 0..400 {
            let decision = artillery.act(due_ns, &mut random);
            moves += u32::from(matches!(decision.action, Action::SetVector(_)));
            attacks += u32::from(decision.action == Action::Attack);
            ends += u32::from(decision.action == Action::AttackEnd);
            due_ns = decision.next_ns;
        }
        assert_eq!((due_ns, moves), (800 * SECOND_NS, 100));
        assert!((30..70).contains(&attacks) && (30..70).contains(&ends), "{attacks} {ends}");
    }
}
