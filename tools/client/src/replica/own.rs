//! The viewer's own player: its predicted position, and its MOVEs that await an ack.

use std::collections::VecDeque;

use super::{ReplicaOptions, UNITS_PER_STEP, Violation};
use crate::codec::{ClientMessage, PlayerId, Vector};

/// Most inputs the client keeps for replay after a correction. The oldest is dropped.
const INPUTS_MAX: usize = 10;

/// Largest tolerated distance between the acknowledged and the predicted position, in units. A larger one causes a
/// correction.
const ACK_TOLERANCE: f64 = 4.0;

/// Largest tolerated distance between the own entry of a `GAME_STATE` and the predicted position, in units. A larger
/// one causes a correction.
const GAME_STATE_TOLERANCE: f64 = 5.0;

/// One step taken and predicted by the client.
#[derive(Clone, Copy, Debug)]
struct Input {
    sequence: u32,
    vector: Vector,
}

/// The viewer's own player.
#[derive(Clone, Debug)]
pub struct OwnPlayer {
    id: Option<PlayerId>,
    x: i32,
    y: i32,
    world_side: i32,
    exceeds_rate: bool,
    corrections: u64,
    last_sequence: u32,
    inputs: VecDeque<Input>,
    unanswered: VecDeque<u32>,
    answered: u64,
    highest_sent: Option<u32>,
    last_answer: Option<(u32, u16, u16)>,
}

impl OwnPlayer {
    pub(super) fn new(options: &ReplicaOptions) -> OwnPlayer {
        OwnPlayer {
            id: None,
            x: 0,
            y: 0,
            world_side: i32::from(options.world_side),
            exceeds_rate: options.exceeds_rate,
            corrections: 0,
            last_sequence: 0,
            inputs: VecDeque::with_capacity(INPUTS_MAX),
            unanswered: VecDeque::new(),
            answered: 0,
            highest_sent: None,
            last_answer: None,
        }
    }

    /// The viewer's id, once the first `GAME_STATE` has arrived.
    pub fn id(&self) -> Option<PlayerId> {
        self.id
    }

    /// The predicted position, in world units.
    pub fn position(&self) -> (i32, i32) {
        (self.x, self.y)
    }

    /// Number of corrections of the predicted position by the server.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    /// Sequence numbers of the MOVEs without an ack, in the order they were sent.
    pub fn missing_acks(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.unanswered.iter().copied()
    }

    /// Number of MOVEs that the server has acknowledged.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// The last ack: its sequence number and the player's position on the server, in world units.
    pub fn last_answer(&self) -> Option<(u32, u16, u16)> {
        self.last_answer
    }

    pub(super) fn identify(&mut self, id: PlayerId, x: u16, y: u16) {
        self.id = Some(id);
        (self.x, self.y) = (i32::from(x), i32::from(y));
    }

    /// Takes one step as the client does while a key is held, and returns the MOVE for it.
    pub(super) fn step(&mut self, vector: Vector) -> ClientMessage {
        let sequence = self.last_sequence.wrapping_add(1);
        self.last_sequence = sequence;
        if self.inputs.len() == INPUTS_MAX {
            self.inputs.pop_front();
        }
        self.inputs.push_back(Input { sequence, vector });
        self.apply(vector);
        ClientMessage::Move { vector, sequence, claim: Some((self.x as u32, self.y as u32)) }
    }

    /// Records a MOVE that expects an ack.
    pub(super) fn sent(&mut self, sequence: u32) {
        self.unanswered.push_back(sequence);
        self.highest_sent = self.highest_sent.max(Some(sequence));
    }

    /// Reconciles the prediction with an ack.
    pub(super) fn acknowledged(&mut self, sequence: u32, x: u16, y: u16) -> Option<Violation> {
        self.last_answer = Some((sequence, x, y));
        self.inputs.retain(|input| input.sequence != sequence);
        if self.is_beyond(x, y, ACK_TOLERANCE) {
            let (before_x, before_y) = (self.x, self.y);
            (self.x, self.y) = (i32::from(x), i32::from(y));
            for index in 0..self.inputs.len() {
                let input = self.inputs[index];
                if input.sequence > sequence {
                    self.apply(input.vector);
                }
            }
            self.corrections += u64::from((before_x, before_y) != (self.x, self.y));
        }
        self.settle(sequence)
    }

    /// Moves the viewer to its position in a `GAME_STATE` unless the predicted position is within the tolerance.
    pub(super) fn snap(&mut self, x: u16, y: u16) {
        if self.is_beyond(x, y, GAME_STATE_TOLERANCE) {
            (self.x, self.y) = (i32::from(x), i32::from(y));
            self.corrections += 1;
        }
    }

    /// Removes a sequence number from those without an ack.
    fn settle(&mut self, sequence: u32) -> Option<Violation> {
        let Some(index) = self.unanswered.iter().position(|&sent| sent == sequence) else {
            let was_sent = self.highest_sent.is_some_and(|highest| sequence <= highest);
            return Some(if was_sent {
                Violation::DuplicateAck(sequence)
            } else {
                Violation::AckForUnknownSequence(sequence)
            });
        };
        if self.exceeds_rate && index > 0 {
            self.unanswered.drain(..index);
            return self.settle(sequence);
        }
        let expected = self.unanswered[0];
        self.unanswered.remove(index);
        self.answered += 1;
        (index > 0).then_some(Violation::AckOutOfOrder { sequence, expected })
    }

    fn is_beyond(&self, x: u16, y: u16, tolerance: f64) -> bool {
        let (dx, dy) = (self.x - i32::from(x), self.y - i32::from(y));
        f64::from(dx).hypot(f64::from(dy)) > tolerance
    }

    fn apply(&mut self, vector: Vector) {
        self.x = (self.x + i32::from(vector.dx()) * UNITS_PER_STEP).clamp(0, self.world_side);
        self.y = (self.y + i32::from(vector.dy()) * UNITS_PER_STEP).clamp(0, self.world_side);
    }
}
