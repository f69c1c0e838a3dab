//! The actions of players and their times. Pure: at each due time a behavior returns an action and its next due time.
//! Due times depend only on earlier due times, never on acks. The load is an open loop: it does not decrease when the
//! server stalls.

mod artillery;
mod player;

use fastrand::Rng;
use game_client::{Facing, Vector};
use serde::Serialize;

use crate::named::named;
use artillery::Artillery;
use player::Player;

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;

named! {
    /// A kind of player.
    pub enum Kind {
        /// A random vector at a fixed rate. The game's first load tool sent one every 100 ms.
        Seed = "seed",
        /// A browser client used by a human: walks to places all over the world, pauses, turns, attacks.
        Player = "player",
        /// The game's published load scenario: a MOVE every eight seconds, and random other actions.
        Artillery = "artillery",
        /// Sends nothing.
        Idle = "idle",
        /// A mix: 40 % `Player`, 30 % `Seed`, 10 % `Artillery`, 20 % `Idle`.
        Mixed = "mixed",
    }
}

/// The server's rules that a player knows.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Side of the world, in units.
    pub world_side: u16,
    /// Distance of a step along each axis, in units.
    pub step_units: f64,
}

/// The behavior of the players.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Their kind.
    #[serde(rename = "profile")]
    pub kind: Kind,
    /// MOVEs per second of `Seed`; `None` for kinds without it.
    pub moves_per_s: Option<f64>,
    /// Fraction of the time that `Player` spends walking; `None` for kinds without it.
    pub moving: Option<f64>,
}

impl Profile {
    /// Length of the MOVEs of the kind's original client: 14 bytes with a claimed position, 6 without. `None` for a
    /// mix.
    pub fn move_bytes(self) -> Option<u8> {
        match self.kind {
            Kind::Mixed => None,
            Kind::Player => Some(14),
            Kind::Seed | Kind::Artillery | Kind::Idle => Some(6),
        }
    }

    /// Returns the profile of one player: for a mix a random kind of the mix, otherwise the profile itself.
    pub fn pick(self, random: &mut Rng) -> Profile {
        if self.kind != Kind::Mixed {
            return self;
        }
        let kind = match random.u8(..10) {
            0..4 => Kind::Player,
            4..7 => Kind::Seed,
            7 => Kind::Artillery,
            _ => Kind::Idle,
        };
        Profile { kind, ..self }
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
    /// See [`Kind::Seed`].
    Seed {
        /// Time between two MOVEs, in nanoseconds.
        interval_ns: u64,
    },
    /// See [`Kind::Player`].
    Player(Player),
    /// See [`Kind::Artillery`].
    Artillery(Artillery),
    /// See [`Kind::Idle`].
    Idle,
}

impl Behaviour {
    /// Returns the behavior of a player that joined at `now_ns`, and the time of its first action, if any.
    /// [`Profile::pick`] must have resolved a mix.
    pub fn begin(profile: Profile, rules: Rules, now_ns: u64, random: &mut Rng) -> (Behaviour, Option<u64>) {
        match (profile.kind, profile.moves_per_s, profile.moving) {
            (Kind::Seed, Some(moves_per_s), _) => {
                let interval_ns = (SECOND_NS as f64 / moves_per_s) as u64;
                // Clients that joined together do not send together.
                (Behaviour::Seed { interval_ns }, Some(now_ns + random.u64(..=interval_ns)))
            }
            (Kind::Player, _, Some(moving)) => {
                let (player, first_ns) = Player::begin(moving, rules, now_ns, random);
                (Behaviour::Player(player), first_ns)
            }
            (Kind::Artillery, ..) => {
                (Behaviour::Artillery(Artillery::default()), Some(now_ns + artillery::THINK_NS))
            }
            _ => (Behaviour::Idle, None),
        }
    }

    /// Returns the decision due at `due_ns` for a player at `position`.
    pub fn act(&mut self, due_ns: u64, position: (f64, f64), random: &mut Rng) -> Decision {
        match self {
            Behaviour::Seed { interval_ns } => {
                let action = Action::SetVector(random_vector(random));
                Decision { facing: None, action, next_ns: due_ns + *interval_ns }
            }
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
        let mixed = Profile { kind: Kind::Mixed, moves_per_s: Some(2.0), moving: Some(0.2) };
        let mut random = Rng::with_seed(1);
        let kinds: Vec<Kind> = (0..10_000).map(|_| mixed.pick(&mut random).kind).collect();
        let parts =
            [(Kind::Player, 4_000), (Kind::Seed, 3_000), (Kind::Artillery, 1_000), (Kind::Idle, 2_000)];
        for (kind, part) in parts {
            let count = kinds.iter().filter(|picked| **picked == kind).count();
            assert!((part - 300..part + 300).contains(&count), "{count} of {kind:?}");
        }
    }
}
