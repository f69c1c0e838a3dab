//! One client: a socket, a player, and its unacknowledged MOVEs. Small, because there are many.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::avatar::Avatar;
use crate::behaviour::Behaviour;
use crate::frame::Inbox;
use crate::measure::Pending;
use crate::random::Random;

/// Number of unacknowledged MOVEs that counts as a backlog: two seconds of walking. A slow reader's connection stalls
/// at times, since a full receive buffer also drops TCP acks. MOVEs that reach the server together after a stall may
/// exceed the rate limit.
const BACKLOG_MOVES: usize = 48;

/// State of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected yet, or disconnected.
    Disconnected,
    /// The TCP connection is being established.
    Connecting,
    /// The upgrade request has been sent.
    Upgrading,
    /// Upgraded; waiting for the first snapshot.
    Joining,
    /// Playing.
    Playing,
    /// A close frame has been sent; waiting for the server's.
    Closing,
}

impl Phase {
    /// Whether the client is connecting but not playing yet.
    pub fn is_arriving(self) -> bool {
        matches!(self, Phase::Connecting | Phase::Upgrading | Phase::Joining)
    }
}

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

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Number of bytes read.
    Bytes(usize),
    /// The read would block.
    Empty,
    /// The server has closed its side.
    End,
    /// The socket failed.
    Failed(String),
}

/// One client.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
pub struct Client {
    /// Its socket while connected.
    pub stream: Option<TcpStream>,
    /// State of its connection.
    pub phase: Phase,
    /// Number of its connections. Invalidates tasks of earlier connections.
    pub generation: u32,
    /// Start time of the connection, in nanoseconds of the run's clock.
    pub began_ns: u64,
    /// The part of the response head received so far.
    pub head: Vec<u8>,
    /// Incoming frames.
    pub inbox: Inbox,
    /// Bytes not yet accepted by the kernel.
    pub outbox: Vec<u8>,
    /// Whether the socket may accept more bytes.
    pub writable: bool,
    /// Its wire id, once known.
    pub id: u32,
    /// Its player, once its position is known.
    pub avatar: Option<Avatar>,
    /// Behavior of its player.
    pub behaviour: Behaviour,
    /// Its own random numbers.
    pub random: Random,
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
    pub fn new(random: Random, is_slow: bool, viewer: Option<usize>) -> Client {
        Client {
            stream: None,
            phase: Phase::Disconnected,
            generation: 0,
            began_ns: 0,
            head: Vec::new(),
            inbox: Inbox::default(),
            outbox: Vec::new(),
            writable: false,
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

    /// Starts a new connection with this socket.
    pub fn begin(&mut self, stream: TcpStream, now_ns: u64) {
        self.leave();
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        self.generation += 1;
        self.began_ns = now_ns;
    }

    /// Drops the socket and all state of the connection.
    pub fn leave(&mut self) {
        self.stream = None;
        self.phase = Phase::Disconnected;
        self.head = Vec::new();
        self.inbox = Inbox::default();
        self.outbox = Vec::new();
        self.writable = false;
        self.avatar = None;
        self.behaviour = Behaviour::Idle;
        self.pending.clear();
        self.acked = None;
        self.stop_sequence = None;
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        let Some(stream) = &mut self.stream else { return ReadOutcome::Empty };
        loop {
            return match stream.read(buffer) {
                Ok(0) => ReadOutcome::End,
                Ok(count) => ReadOutcome::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => ReadOutcome::Empty,
                Err(error) => ReadOutcome::Failed(error.to_string()),
            };
        }
    }

    /// Writes bytes, or queues the part that the kernel does not accept. Returns the number of bytes written.
    ///
    /// # Errors
    /// The socket failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.writable || !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            return Ok(0);
        }
        let taken = self.write_once(bytes)?;
        self.outbox.extend_from_slice(&bytes[taken..]);
        Ok(taken)
    }

    /// Writes queued bytes. Returns the number of bytes written.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush(&mut self) -> io::Result<usize> {
        if self.outbox.is_empty() {
            return Ok(0);
        }
        let waiting = std::mem::take(&mut self.outbox);
        let taken = self.write_once(&waiting)?;
        self.outbox.extend_from_slice(&waiting[taken..]);
        Ok(taken)
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(bytes.len()) };
        loop {
            let taken = match stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                result => result?,
            };
            self.writable = taken == bytes.len();
            return Ok(taken);
        }
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
        let mut client = Client::new(Random::new(1), false, None);
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

    #[test]
    fn bytes_queue_in_order_while_the_socket_is_blocked() {
        let mut client = client_with(&[]);
        assert_eq!(client.write(b"ab").unwrap(), 0);
        client.writable = true;
        assert_eq!(client.write(b"cd").unwrap(), 0);
        assert_eq!(client.outbox, b"abcd");
    }
}
