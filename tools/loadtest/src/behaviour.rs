//! The actions of players and their times. Pure: at each due time a behavior returns an action and its next due time.
//! Due times depend only on earlier due times, never on acks. The load is an open loop: it does not decrease when the
//! server stalls.

mod artillery;
mod player;
mod seed;

use game_client::{Facing, Vector};
use serde::Serialize;

use artillery::Artillery;
use fastrand::Rng;
use player::Player;
use seed::Seed;

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A kind of player.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "NamedProfile")]
pub enum Profile {
    /// A random vector at a fixed rate.
    Seed {
        /// MOVEs per second.
        moves_per_s: f64,
    },
    /// A browser client used by a human: walks to places all over the world, pauses, turns, attacks.
    Player {
        /// Fraction of the time spent walking.
        moving: f64,
    },
    /// The game's published load scenario: a MOVE every eight seconds, and random other actions.
    Artillery,
    /// Sends nothing.
    Idle,
    /// A mix: 40 % `Player`, 30 % `Seed`, 10 % `Artillery`, 20 % `Idle`.
    Mixed {
        /// Fraction of the time that the `Player` part spends walking.
        moving: f64,
        /// MOVEs per second of the `Seed` part.
        moves_per_s: f64,
    },
}

/// A profile in the report, with the parameters of all profiles.
#[derive(Serialize)]
struct NamedProfile {
    profile: &'static str,
    moves_per_s: Option<f64>,
    moving: Option<f64>,
}

impl From<Profile> for NamedProfile {
    fn from(profile: Profile) -> NamedProfile {
        let (moves_per_s, moving) = match profile {
            Profile::Seed { moves_per_s } => (Some(moves_per_s), None),
            Profile::Player { moving } => (None, Some(moving)),
            Profile::Mixed { moving, moves_per_s } => (Some(moves_per_s), Some(moving)),
            Profile::Artillery | Profile::Idle => (None, None),
        };
        NamedProfile { profile: profile.name(), moves_per_s, moving }
    }
}

impl Profile {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Seed { .. } => "seed",
            Profile::Player { .. } => "player",
            Profile::Artillery => "artillery",
            Profile::Idle => "idle",
            Profile::Mixed { .. } => "mixed",
        }
    }

    /// Length of the MOVEs of the profile's original client: 14 bytes with a claimed position, 6 without. `None` for a
    /// mix.
    pub fn move_bytes(self) -> Option<u8> {
        match self {
            Profile::Mixed { .. } => None,
            Profile::Player { .. } => Some(14),
            Profile::Seed { .. } | Profile::Artillery | Profile::Idle => Some(6),
        }
    }

    /// Returns the profile of one player: for a mix a random profile of the mix, otherwise the profile itself.
    pub fn pick(self, random: &mut Rng) -> Profile {
        let Profile::Mixed { moving, moves_per_s } = self else { return self };
        match random.u8(..10) {
            0..4 => Profile::Player { moving },
            4..7 => Profile::Seed { moves_per_s },
            7 => Profile::Artillery,
            _ => Profile::Idle,
        }
    }
}

/// An action of a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends nothing.
    Rest,
    /// A MOVE that sets this vector.
    SetVector(Vector),
    /// One step of the browser client along this vector, with its MOVE. Zero when the key is released.
    Step(Vector),
    /// An attack begins.
    Attack,
    /// The attack animation ends.
    AttackEnd,
}

/// An action, an optional turn before it, and the time of the next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The side to which the player turns first.
    pub facing: Option<Facing>,
    /// The action.
    pub action: Action,
    /// Time of the next action, in nanoseconds of the run's clock.
    pub next_ns: u64,
}

/// One player's behavior and its state.
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
    /// Returns the behavior of a player that joined at `now_ns`, and the time of its first action, if any.
    /// [`Profile::pick`] must have resolved a mix.
    pub fn begin(
        profile: Profile,
        world_side: u16,
        now_ns: u64,
        random: &mut Rng,
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

    /// Returns the decision due at `due_ns` for a player at `position`.
    pub fn act(&mut self, due_ns: u64, position: (f64, f64), random: &mut Rng) -> Decision {
        match self {
            Behaviour::Seed(seed) => seed.act(due_ns, random),
            Behaviour::Player(player) => player.act(due_ns, position, random),
            Behaviour::Artillery(artillery) => artillery.act(due_ns, random),
            Behaviour::Idle => Decision { facing: None, action: Action::Rest, next_ns: u64::MAX },
        }
    }
}

/// Returns one of the nine vectors, zero included.
pub fn random_vector(random: &mut Rng) -> Vector {
    Vector::new(random.i8(-1..=1), random.i8(-1..=1)).expect("components are -1, 0 or 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_every_kind_in_its_proportion() {
        let (mixed, mut random) = (Profile::Mixed { moving: 0.2, moves_per_s: 2.0 }, Rng::with_seed(1));
        let kinds: Vec<&str> = (0..10_000).map(|_| mixed.pick(&mut random).name()).collect();
        for (kind, part) in [("player", 4_000), ("seed", 3_000), ("artillery", 1_000), ("idle", 2_000)] {
            let count = kinds.iter().filter(|name| **name == kind).count();
            assert!((part - 300..part + 300).contains(&count), "{count} of {kind}");
        }
        assert_eq!(Profile::Idle.pick(&mut random), Profile::Idle);
    }
}
