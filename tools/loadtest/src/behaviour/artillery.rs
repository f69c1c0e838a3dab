//! The published load scenario: think for a second, then over and over MOVE, half a second, perhaps a turn, two seconds,
//! perhaps an attack, five seconds, perhaps its end, half a second.

use game_client::Facing;

use super::{Action, Decision, SECOND_NS, random_vector};
use crate::random::Random;

/// Time between joining and the first MOVE.
pub const THINK_NS: u64 = SECOND_NS;

/// How often "perhaps" is yes.
const PERHAPS: f64 = 0.5;

/// Where in the scenario a player is.
#[derive(Clone, Copy, Debug, Default)]
pub enum Artillery {
    /// About to move.
    #[default]
    Move,
    /// Perhaps about to turn.
    Turn,
    /// Perhaps about to attack.
    Attack,
    /// Perhaps about to end the attack.
    AttackEnd,
}

impl Artillery {
    /// Plays the next line of the scenario.
    pub fn act(&mut self, due_ns: u64, random: &mut Random) -> Decision {
        let perhaps = random.chance(PERHAPS);
        let action_if = |action| if perhaps { action } else { Action::Rest };
        let (action, wait_ns, next) = match self {
            Artillery::Move => (Action::SetVector(random_vector(random)), SECOND_NS / 2, Artillery::Turn),
            Artillery::Turn => (Action::Rest, 2 * SECOND_NS, Artillery::Attack),
            Artillery::Attack => (action_if(Action::Attack), 5 * SECOND_NS, Artillery::AttackEnd),
            Artillery::AttackEnd => (action_if(Action::AttackEnd), SECOND_NS / 2, Artillery::Move),
        };
        let turns = perhaps && matches!(self, Artillery::Turn);
        let side = if random.chance(0.5) { Facing::Left } else { Facing::Right };
        *self = next;
        Decision { facing: turns.then_some(side), action, next_ns: due_ns + wait_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loop_takes_eight_seconds_and_has_one_move() {
        let (mut artillery, mut random) = (Artillery::default(), Random::new(3));
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
