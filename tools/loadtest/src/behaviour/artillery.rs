//! The published load scenario: think for a second, then over and over MOVE, half a second, perhaps a turn, two seconds,
//! perhaps an attack, five seconds, perhaps its end, half a second.

use game_client::Facing;

use super::{Deed, SECOND_NS, Turn, any_vector};
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
    pub fn act(&mut self, due_ns: u64, random: &mut Random) -> Turn {
        let perhaps = random.chance(PERHAPS);
        let deed_if = |deed| if perhaps { deed } else { Deed::Rest };
        let (deed, wait_ns, next) = match self {
            Artillery::Move => (Deed::Head(any_vector(random)), SECOND_NS / 2, Artillery::Turn),
            Artillery::Turn => (Deed::Rest, 2 * SECOND_NS, Artillery::Attack),
            Artillery::Attack => (deed_if(Deed::Attack), 5 * SECOND_NS, Artillery::AttackEnd),
            Artillery::AttackEnd => (deed_if(Deed::AttackEnd), SECOND_NS / 2, Artillery::Move),
        };
        let turns = perhaps && matches!(self, Artillery::Turn);
        let side = if random.chance(0.5) { Facing::Left } else { Facing::Right };
        *self = next;
        Turn { facing: turns.then_some(side), deed, next_ns: due_ns + wait_ns }
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
            let turn = artillery.act(due_ns, &mut random);
            moves += u32::from(matches!(turn.deed, Deed::Head(_)));
            attacks += u32::from(turn.deed == Deed::Attack);
            ends += u32::from(turn.deed == Deed::AttackEnd);
            due_ns = turn.next_ns;
        }
        assert_eq!((due_ns, moves), (800 * SECOND_NS, 100));
        assert!((30..70).contains(&attacks) && (30..70).contains(&ends), "{attacks} {ends}");
    }
}
