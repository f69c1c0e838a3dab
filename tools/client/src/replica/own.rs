//! The viewer's own player: what it predicts, and which of its MOVEs the server has answered.

use std::collections::VecDeque;

use super::{ReplicaOptions, UNITS_PER_STEP, Violation};
use crate::codec::{ClientMessage, PlayerId, Vector};

/// Inputs the client keeps to replay after a correction; the oldest falls out.
const INPUTS_MAX: usize = 10;

/// An acknowledged position farther than this from the predicted one corrects it, in units.
const ACK_TOLERANCE: f64 = 4.0;

/// Its own entry in a `GAME_STATE` farther than this from the predicted position corrects it, in units.
const GAME_STATE_TOLERANCE: f64 = 5.0;

/// One step the client took and predicted.
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

    /// Who the viewer is, once the first `GAME_STATE` said it.
    pub fn id(&self) -> Option<PlayerId> {
        self.id
    }

    /// The predicted position, in world units.
    pub fn position(&self) -> (i32, i32) {
        (self.x, self.y)
    }

    /// How often the server moved the player away from its prediction.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    /// The sequences of the MOVEs the server has not answered yet, in the order they were sent.
    pub fn missing_acks(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.unanswered.iter().copied()
    }

    /// How many MOVEs the server has answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// The last answer: its sequence and the position the server has the player at, in world units.
    pub fn last_answer(&self) -> Option<(u32, u16, u16)> {
        self.last_answer
    }

    pub(super) fn identify(&mut self, id: PlayerId, x: u16, y: u16) {
        self.id = Some(id);
        (self.x, self.y) = (i32::from(x), i32::from(y));
    }

    /// Takes one step as the client does while a key is held, and writes the MOVE that tells it.
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

    /// Notes that an answer to this MOVE is due.
    pub(super) fn sent(&mut self, sequence: u32) {
        self.unanswered.push_back(sequence);
        self.highest_sent = self.highest_sent.max(Some(sequence));
    }

    /// Takes the server's answer and reconciles the prediction with it.
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

    /// Goes where a `GAME_STATE` lists the viewer, if that is not about where it is.
    pub(super) fn snap(&mut self, x: u16, y: u16) {
        if self.is_beyond(x, y, GAME_STATE_TOLERANCE) {
            (self.x, self.y) = (i32::from(x), i32::from(y));
            self.corrections += 1;
        }
    }

    /// Takes a sequence off the unanswered ones.
    fn settle(&mut self, sequence: u32) -> Option<Violation> {
        let Some(index) = self.unanswered.iter().position(|&sent| sent == sequence) else {
            let was_sent = self.highest_sent.is_some_and(|highest| sequence <= highest);
            return Some(if was_sent {
                Violation::DuplicateAck { sequence }
            } else {
                Violation::AckForUnknownSequence { sequence }
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
