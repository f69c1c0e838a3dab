//! The viewer's own player: its predicted position, and its MOVEs that await an ack.

use std::collections::VecDeque;

use super::{Prediction, ReplicaOptions, Violation};
use crate::codec::{ClientMessage, PlayerId, Vector};

/// The viewer's own player.
#[derive(Clone, Debug)]
pub struct OwnPlayer {
    /// The viewer's id, once the first `GAME_STATE` has arrived.
    pub id: Option<PlayerId>,
    /// Number of MOVEs that the server has acknowledged.
    pub answered: u64,
    /// The last ack: its sequence number and the player's position on the server, in world units.
    pub last_answer: Option<(u32, u16, u16)>,
    prediction: Prediction,
    exceeds_rate: bool,
    unanswered: VecDeque<u32>,
    highest_sent: Option<u32>,
}

impl OwnPlayer {
    pub(super) fn new(options: &ReplicaOptions) -> OwnPlayer {
        OwnPlayer {
            id: None,
            prediction: Prediction::new(0, 0, options.world_side, options.step_units),
            exceeds_rate: options.exceeds_rate,
            unanswered: VecDeque::new(),
            answered: 0,
            highest_sent: None,
            last_answer: None,
        }
    }

    /// The predicted position, in world units.
    pub fn position(&self) -> (i32, i32) {
        let (x, y) = self.prediction.position();
        (x as i32, y as i32)
    }

    /// Number of corrections of the predicted position by the server.
    pub fn corrections(&self) -> u64 {
        self.prediction.corrections()
    }

    /// Sequence numbers of the MOVEs without an ack, in the order they were sent.
    pub fn missing_acks(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.unanswered.iter().copied()
    }

    pub(super) fn identify(&mut self, id: PlayerId, x: u16, y: u16) {
        self.id = Some(id);
        self.prediction.place(x, y);
    }

    /// Takes one step as the client does while a key is held, and returns the MOVE for it.
    pub(super) fn step(&mut self, vector: Vector) -> ClientMessage {
        let sequence = self.prediction.step(vector);
        let (x, y) = self.prediction.position();
        ClientMessage::Move { vector, sequence, claim: Some((x as u32, y as u32)) }
    }

    /// Records a MOVE that expects an ack.
    pub(super) fn sent(&mut self, sequence: u32) {
        self.unanswered.push_back(sequence);
        self.highest_sent = self.highest_sent.max(Some(sequence));
    }

    /// Reconciles the prediction with an ack.
    pub(super) fn acknowledged(&mut self, sequence: u32, x: u16, y: u16) -> Option<Violation> {
        self.last_answer = Some((sequence, x, y));
        self.prediction.acknowledged(sequence, x, y);
        self.settle(sequence)
    }

    /// Moves the viewer to its position in a `GAME_STATE` unless the predicted position is within the tolerance.
    pub(super) fn snap(&mut self, x: u16, y: u16) {
        self.prediction.snap(x, y);
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
}
