//! What players do, and when. Pure: a behaviour is told that the moment it asked for has come and answers with a deed
//! and the next moment. The moments depend on earlier moments alone, never on answers: the load is an open loop, and
//! a server that stalls is not spared.

mod artillery;
mod player;
mod seed;

use game_client::{Facing, Vector};

use crate::random::Random;
use artillery::Artillery;
use player::Player;
use seed::Seed;

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A kind of player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profile {
    /// A random vector at a fixed rate.
    Seed {
        /// MOVEs a second.
        moves_per_s: f64,
    },
    /// The browser client in human hands: walks to places all over the world, pauses, turns, attacks.
    Player {
        /// Part of the time spent walking.
        moving: f64,
    },
    /// The published load scenario of the game: a MOVE every eight seconds, and perhaps more.
    Artillery,
    /// Watches.
    Idle,
    /// Any of the above: four in ten as `Player`, three as `Seed`, one as `Artillery`, two as `Idle`.
    Mixed {
        /// Part of the time that those like `Player` spend walking.
        moving: f64,
        /// MOVEs a second of those like `Seed`.
        moves_per_s: f64,
    },
}

impl Profile {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Seed { .. } => "seed",
            Profile::Player { .. } => "player",
            Profile::Artillery => "artillery",
            Profile::Idle => "idle",
            Profile::Mixed { .. } => "mixed",
        }
    }

    /// Whether its own program claims positions; none where some of its players do.
    pub fn claims(self) -> Option<bool> {
        match self {
            Profile::Mixed { .. } => None,
            profile => Some(matches!(profile, Profile::Player { .. })),
        }
    }

    /// What one player does: one of the mixed, the profile itself otherwise.
    pub fn pick(self, random: &mut Random) -> Profile {
        let Profile::Mixed { moving, moves_per_s } = self else { return self };
        match random.below(10) {
            0..4 => Profile::Player { moving },
            4..7 => Profile::Seed { moves_per_s },
            7 => Profile::Artillery,
            _ => Profile::Idle,
        }
    }
}

/// What a player does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing that is sent.
    Rest,
    /// A MOVE along this vector from now on.
    SetVector(Vector),
    /// One step of the browser client along this vector, and the MOVE that tells it; zero when the key is released.
    Step(Vector),
    /// An attack begins.
    Attack,
    /// The attack animation is over.
    AttackEnd,
}

/// A deed, perhaps with a turn before it, and the moment of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The player turns to this side first.
    pub facing: Option<Facing>,
    /// What it does.
    pub action: Action,
    /// When to ask again, in nanoseconds of the clock of the moment asked about.
    pub next_ns: u64,
}

/// One player's habits and whatever it is in the midst of.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// See [`Profile::Seed`].
    Seed(Seed),
    /// See [`Profile::Player`].
    Player(Player),
    /// See [`Profile::Artillery`].
    Artillery(Artillery),
    /// See [`Profile::Idle`].
    Idle,
}

impl Behaviour {
    /// A player that joined at `now_ns`, and the first moment it wants to do something; none if it never will. What
    /// is mixed must have been told apart by [`Profile::pick`].
    pub fn begin(
        profile: Profile,
        world_side: u16,
        now_ns: u64,
        random: &mut Random,
    ) -> (Behaviour, Option<u64>) {
        match profile {
            Profile::Seed { moves_per_s } => {
                let (seed, first_ns) = Seed::begin(moves_per_s, now_ns, random);
                (Behaviour::Seed(seed), Some(first_ns))
            }
            Profile::Player { moving } => {
                let (player, first_ns) = Player::begin(moving, world_side, now_ns, random);
                (Behaviour::Player(player), first_ns)
            }
            Profile::Artillery => {
                (Behaviour::Artillery(Artillery::default()), Some(now_ns + artillery::THINK_NS))
            }
            Profile::Idle | Profile::Mixed { .. } => (Behaviour::Idle, None),
        }
    }

    /// Acts at the moment asked for, standing at `position`.
    pub fn act(&mut self, due_ns: u64, position: (f64, f64), random: &mut Random) -> Decision {
        match self {
            Behaviour::Seed(seed) => seed.act(due_ns, random),
            Behaviour::Player(player) => player.act(due_ns, position, random),
            Behaviour::Artillery(artillery) => artillery.act(due_ns, random),
            Behaviour::Idle => Decision { facing: None, action: Action::Rest, next_ns: u64::MAX },
        }
    }
}

/// Any of the nine vectors, zero included.
fn random_vector(random: &mut Random) -> Vector {
    let part = |random: &mut Random| random.below(3) as i8 - 1;
    Vector::new(part(random), part(random)).expect("parts are -1, 0 or 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixed_are_all_kinds_in_their_parts() {
        let (mixed, mut random) = (Profile::Mixed { moving: 0.2, moves_per_s: 2.0 }, Random::new(1));
        let kinds: Vec<&str> = (0..10_000).map(|_| mixed.pick(&mut random).name()).collect();
        for (kind, part) in [("player", 4_000), ("seed", 3_000), ("artillery", 1_000), ("idle", 2_000)] {
            let count = kinds.iter().filter(|name| **name == kind).count();
            assert!((part - 300..part + 300).contains(&count), "{count} of {kind}");
        }
        assert_eq!(Profile::Idle.pick(&mut random), Profile::Idle);
    }
}
