//! The browser's prediction of its own position: steps that it takes before their acks, and corrections by the acks.

use std::collections::VecDeque;

use crate::codec::Vector;

/// Most inputs the client keeps for replay after a correction. The oldest is dropped.
const INPUTS_MAX: usize = 10;

/// Largest tolerated distance between the acknowledged and the predicted position, in units. A larger one causes a
/// correction.
const ACK_TOLERANCE: f64 = 4.0;

/// Largest tolerated distance between the own entry of a `GAME_STATE` and the predicted position, in units. A larger
/// one causes a correction.
const GAME_STATE_TOLERANCE: f64 = 5.0;

/// A predicted position, in world units.
#[derive(Clone, Debug)]
pub struct Prediction {
    x: f64,
    y: f64,
    world_side: f64,
    /// Distance of one step along each axis, in units.
    step_units: f64,
    last_sequence: u32,
    /// Steps without an ack: sequence number and vector.
    inputs: VecDeque<(u32, Vector)>,
    corrections: u64,
}

impl Prediction {
    /// Returns the prediction of a player that stands at its position on the server.
    pub fn new(x: u16, y: u16, world_side: u16, step_units: f64) -> Prediction {
        Prediction {
            x: f64::from(x),
            y: f64::from(y),
            world_side: f64::from(world_side),
            step_units,
            last_sequence: 0,
            inputs: VecDeque::new(),
            corrections: 0,
        }
    }

    /// The position.
    pub fn position(&self) -> (f64, f64) {
        (self.x, self.y)
    }

    /// Number of corrections by the server.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    /// Returns the sequence number of the next MOVE.
    pub fn next_sequence(&mut self) -> u32 {
        self.last_sequence = self.last_sequence.wrapping_add(1);
        self.last_sequence
    }

    /// Takes one step as the client does while a key is held. Returns the sequence number of its MOVE.
    pub fn step(&mut self, vector: Vector) -> u32 {
        let sequence = self.next_sequence();
        if self.inputs.len() == INPUTS_MAX {
            self.inputs.pop_front();
        }
        self.inputs.push_back((sequence, vector));
        self.advance(vector, self.step_units);
        sequence
    }

    /// Moves by this distance along each axis of the vector, at most to the edge of the world.
    pub fn advance(&mut self, vector: Vector, units: f64) {
        self.x = (self.x + f64::from(vector.dx()) * units).clamp(0.0, self.world_side);
        self.y = (self.y + f64::from(vector.dy()) * units).clamp(0.0, self.world_side);
    }

    /// Moves to a position on the server.
    pub fn place(&mut self, x: u16, y: u16) {
        (self.x, self.y) = (f64::from(x), f64::from(y));
    }

    /// Reconciles with an ack: a distance beyond the tolerance moves to the acknowledged position and replays all later
    /// steps.
    pub fn acknowledged(&mut self, sequence: u32, x: u16, y: u16) {
        self.inputs.retain(|&(input, _)| input != sequence);
        if self.distance_to(x, y) <= ACK_TOLERANCE {
            return;
        }
        let before = self.position();
        self.place(x, y);
        for index in 0..self.inputs.len() {
            let (input, vector) = self.inputs[index];
            if input > sequence {
                self.advance(vector, self.step_units);
            }
        }
        self.corrections += u64::from(before != self.position());
    }

    /// Moves to the own entry of a `GAME_STATE` unless it is within the tolerance.
    pub fn snap(&mut self, x: u16, y: u16) {
        if self.distance_to(x, y) > GAME_STATE_TOLERANCE {
            self.place(x, y);
            self.corrections += 1;
        }
    }

    fn distance_to(&self, x: u16, y: u16) -> f64 {
        (self.x - f64::from(x)).hypot(self.y - f64::from(y))
    }
}
