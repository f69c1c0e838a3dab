//! One client: a connection, a player, and its unacknowledged MOVEs. Small, because there are many.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::avatar::Avatar;
use crate::behaviour::Behaviour;
use crate::connection::{Connection, Phase};
use crate::measure::Pending;

/// Number of unacknowledged MOVEs that counts as a backlog: two seconds of walking. A slow reader's connection stalls
/// at times, since a full receive buffer also drops TCP acks. MOVEs that reach the server together after a stall may
/// exceed the rate limit.
const BACKLOG_MOVES: usize = 48;

/// A player's position on the server in the last ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Sequence number of the MOVE.
    pub sequence: u32,
    /// Distance from the left edge, in units.
    pub x: u16,
    /// Distance from the top edge, in units.
    pub y: u16,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its connection.
    pub connection: Connection,
    /// State of its connection.
    pub phase: Phase,
    /// Start time of the connection, in nanoseconds of the run's clock.
    pub began_ns: u64,
    /// Its wire id, once known.
    pub id: u32,
    /// Its player, once its position is known.
    pub avatar: Option<Avatar>,
    /// Behavior of its player.
    pub behaviour: Behaviour,
    /// Its own random numbers.
    pub random: Rng,
    /// Unacknowledged MOVEs, in order.
    pub pending: VecDeque<Pending>,
    /// The last ack.
    pub acked: Option<Acked>,
    /// Sequence number of its final MOVE, after which it stands still.
    pub stop_sequence: Option<u32>,
    /// Whether its MOVEs claim positions.
    pub claims: bool,
    /// The highest id known when the connection began.
    pub highest_before: u32,
    /// Whether it disconnects right after the upgrade request.
    pub vanishes: bool,
    /// Whether it reads only rarely.
    pub is_slow: bool,
    /// Its index among the sampled viewers.
    pub viewer: Option<usize>,
}

impl Client {
    /// Returns a client that has not connected yet.
    pub fn new(random: Rng, is_slow: bool, viewer: Option<usize>) -> Client {
        Client {
            connection: Connection::default(),
            phase: Phase::Disconnected,
            began_ns: 0,
            id: 0,
            avatar: None,
            behaviour: Behaviour::Idle,
            random,
            pending: VecDeque::new(),
            acked: None,
            stop_sequence: None,
            claims: false,
            highest_before: 0,
            vanishes: false,
            is_slow,
            viewer,
        }
    }

    /// Drops the connection and all its state.
    pub fn leave(&mut self) {
        self.connection.leave();
        self.phase = Phase::Disconnected;
        self.avatar = None;
        self.behaviour = Behaviour::Idle;
        self.pending.clear();
        self.acked = None;
        self.stop_sequence = None;
    }

    /// Records a sent MOVE.
    pub fn sent(&mut self, sequence: u32, intended_ns: u64, sent_ns: u64) {
        let is_backlogged = self.pending.len() + 1 >= BACKLOG_MOVES;
        self.pending.push_back(Pending { sequence, intended_ns, sent_ns, is_backlogged });
        if self.pending.len() == BACKLOG_MOVES {
            self.pending.iter_mut().for_each(|pending| pending.is_backlogged = true);
        }
    }

    /// Removes and returns the unacknowledged MOVE of this sequence number. Earlier ones stay, and count as missing
    /// unless their acks arrive later.
    pub fn answered(&mut self, sequence: u32) -> Option<Pending> {
        // The MOVE is nearly always the first.
        let index = self.pending.iter().position(|pending| pending.sequence == sequence)?;
        self.pending.remove(index)
    }

    /// Whether its final MOVE has been acknowledged, so that its position is known.
    pub fn has_stopped(&self) -> bool {
        self.stop_sequence.is_some() && self.stop_sequence == self.acked.map(|acked| acked.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_with(sequences: &[u32]) -> Client {
        let mut client = Client::new(Rng::with_seed(1), false, None);
        for &sequence in sequences {
            client.sent(sequence, 0, 0);
        }
        client
    }

    #[test]
    fn an_ack_removes_only_its_own_move() {
        let mut client = client_with(&[1, 2, 3]);
        assert_eq!(client.answered(2).map(|pending| pending.sequence), Some(2));
        assert!(client.answered(2).is_none());
        assert!(client.answered(9).is_none());
        let missing: Vec<u32> = client.pending.iter().map(|pending| pending.sequence).collect();
        assert_eq!(missing, [1, 3]);
    }

    #[test]
    fn only_moves_of_a_backlog_are_marked() {
        let backlogged =
            |client: &Client| client.pending.iter().filter(|pending| pending.is_backlogged).count();
        let mut client = client_with(&(1..BACKLOG_MOVES as u32).collect::<Vec<_>>());
        assert_eq!(backlogged(&client), 0);
        client.sent(BACKLOG_MOVES as u32, 0, 0);
        client.sent(BACKLOG_MOVES as u32 + 1, 0, 0);
        assert_eq!(backlogged(&client), BACKLOG_MOVES + 1);
        for sequence in 1..=10 {
            assert!(client.answered(sequence).is_some());
        }
        client.sent(100, 0, 0);
        assert_eq!(backlogged(&client), BACKLOG_MOVES - 9, "the backlog has cleared");
    }
}
