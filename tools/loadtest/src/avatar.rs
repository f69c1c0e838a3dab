//! A client's own player: its believed position, its messages, and the changes that other clients should see.
//!
//! A player that takes steps uses the browser's arithmetic. Any other player is extrapolated by its vector, as on the
//! server, so that it can also claim positions.

use std::collections::VecDeque;

use game_client::{ClientMessage, Facing, Prediction, STEPS_PER_S, Vector};

/// Most vector changes kept. Other clients see a change within a second, and no profile makes more changes in that
/// time.
const CHANGES_MAX: usize = 32;

/// A change of a player's vector that other clients should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Sequence number of the change, from 1.
    pub number: u32,
    /// Time at which it was due, in nanoseconds of the run's clock.
    pub at_ns: u64,
    /// The new vector.
    pub vector: Vector,
}

/// One client's player.
#[derive(Clone, Debug)]
pub struct Avatar {
    prediction: Prediction,
    /// Speed along each axis, in units per second.
    units_per_s: f64,
    /// Time of the predicted position, for a player extrapolated by its vector.
    position_at_ns: u64,
    /// The vector last sent.
    vector: Vector,
    /// The side last sent.
    facing: Facing,
    /// Whether the player takes steps instead of being extrapolated by its vector.
    is_stepping: bool,
    changes: VecDeque<Change>,
    changes_total: u32,
}

impl Avatar {
    /// Returns a standing player at its position on the server.
    pub fn new(x: u16, y: u16, facing: Facing, world_side: u16, step_units: f64, now_ns: u64) -> Avatar {
        Avatar {
            prediction: Prediction::new(x, y, world_side, step_units),
            units_per_s: step_units * STEPS_PER_S,
            position_at_ns: now_ns,
            vector: Vector::ZERO,
            facing,
            is_stepping: false,
            changes: VecDeque::new(),
            changes_total: 0,
        }
    }

    /// Returns the believed position, in units.
    pub fn position(&self) -> (f64, f64) {
        self.prediction.position()
    }

    /// The side last sent.
    pub fn facing(&self) -> Facing {
        self.facing
    }

    /// Number of corrections by the server.
    pub fn corrections(&self) -> u64 {
        self.prediction.corrections()
    }

    /// Returns the latest changes of the vector, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter()
    }

    /// Takes one step as the browser does, and returns its MOVE.
    pub fn step(&mut self, vector: Vector, claims: bool, at_ns: u64) -> ClientMessage {
        self.is_stepping = true;
        let sequence = self.prediction.step(vector);
        self.record_vector(vector, at_ns);
        self.message(vector, sequence, claims)
    }

    /// Sets the vector, and returns its MOVE.
    pub fn set_vector(&mut self, vector: Vector, claims: bool, at_ns: u64) -> ClientMessage {
        self.extrapolate(at_ns);
        let sequence = self.prediction.next_sequence();
        self.record_vector(vector, at_ns);
        self.message(vector, sequence, claims)
    }

    /// Stops the player for an attack, and returns its ATTACK.
    pub fn attack(&mut self, at_ns: u64) -> ClientMessage {
        self.extrapolate(at_ns);
        self.record_vector(Vector::ZERO, at_ns);
        let (x, y) = self.position();
        ClientMessage::Attack { aim: Some((x as f32, y as f32)) }
    }

    /// Turns the player to a side, and returns its DIRECTION.
    pub fn face(&mut self, facing: Facing) -> ClientMessage {
        self.facing = facing;
        ClientMessage::Direction(facing)
    }

    /// Applies an ack. A stepping player moves only if its position differs by more than the tolerance, and then
    /// replays its later steps, as the browser does.
    pub fn acknowledged(&mut self, sequence: u32, x: u16, y: u16, now_ns: u64) {
        self.position_at_ns = now_ns;
        if self.is_stepping {
            self.prediction.acknowledged(sequence, x, y);
        } else {
            self.prediction.place(x, y);
        }
    }

    fn message(&self, vector: Vector, sequence: u32, claims: bool) -> ClientMessage {
        let (x, y) = self.position();
        ClientMessage::Move { vector, sequence, claim: claims.then(|| (x.round() as u32, y.round() as u32)) }
    }

    fn extrapolate(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.position_at_ns);
        self.position_at_ns = now_ns;
        if !self.is_stepping {
            self.prediction.advance(self.vector, self.units_per_s * elapsed_ns as f64 / 1e9);
        }
    }

    fn record_vector(&mut self, vector: Vector, at_ns: u64) {
        if vector == self.vector {
            return;
        }
        self.vector = vector;
        self.changes_total += 1;
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { number: self.changes_total, at_ns, vector });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn avatar() -> Avatar {
        Avatar::new(100, 100, Facing::Right, 2_000, game_client::STEP_UNITS, 0)
    }

    fn claim(message: &ClientMessage) -> Option<(u32, u32)> {
        let ClientMessage::Move { claim, .. } = message else { panic!("{message:?} is not a MOVE") };
        *claim
    }

    #[test]
    fn claims_follow_steps() {
        let mut avatar = avatar();
        assert_eq!(claim(&avatar.step(Vector::RIGHT, true, 0)), Some((104, 100)));
        assert_eq!(claim(&avatar.step(Vector::ZERO, true, 0)), Some((104, 100)));
        avatar.attack(SECOND_NS);
        assert_eq!(avatar.position(), (104.0, 100.0), "a stepping player is not extrapolated");
        assert_eq!(claim(&avatar.step(Vector::UP, false, 0)), None);
    }

    #[test]
    fn a_player_with_a_vector_is_extrapolated() {
        let mut avatar = avatar();
        assert_eq!(claim(&avatar.set_vector(Vector::RIGHT, true, 0)), Some((100, 100)));
        assert_eq!(claim(&avatar.set_vector(Vector::DOWN, true, SECOND_NS)), Some((196, 100)));
        avatar.acknowledged(2, 190, 101, SECOND_NS);
        assert_eq!(claim(&avatar.set_vector(Vector::ZERO, true, 2 * SECOND_NS)), Some((190, 197)));
    }

    #[test]
    fn only_changes_of_the_vector_are_recorded() {
        let mut avatar = avatar();
        avatar.set_vector(Vector::ZERO, false, 1);
        avatar.set_vector(Vector::LEFT, false, 2);
        avatar.set_vector(Vector::LEFT, false, 3);
        avatar.attack(4);
        let changes: Vec<_> =
            avatar.changes().map(|change| (change.number, change.at_ns, change.vector)).collect();
        assert_eq!(changes, [(1, 2, Vector::LEFT), (2, 4, Vector::ZERO)]);
    }
}
