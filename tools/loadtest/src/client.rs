//! One client: a socket, a player, and what was sent and not yet answered. Kept small, for there are many.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::avatar::Avatar;
use crate::behaviour::Behaviour;
use crate::frame::Inbox;
use crate::measure::Pending;
use crate::random::Random;

/// MOVEs unanswered at a time that make a pile: two seconds of walking. The line of a slow reader stands still now and
/// then, since a full receive buffer drops acknowledgements as well, and what reaches the server in one piece afterwards
/// may be over the rate limit.
const BACKLOG_MOVES: usize = 48;

/// What a client is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Has not begun to connect, or has ended.
    Disconnected,
    /// The kernel connects.
    Connecting,
    /// Has asked for the upgrade.
    Upgrading,
    /// Is upgraded and does not know yet who it is.
    Joining,
    /// Plays.
    Playing,
    /// Has said goodbye and waits for the server's.
    Closing,
}

impl Phase {
    /// Whether it is on its way in.
    pub fn is_arriving(self) -> bool {
        matches!(self, Phase::Connecting | Phase::Upgrading | Phase::Joining)
    }
}

/// Where the server had a player in its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// The MOVE answered.
    pub sequence: u32,
    /// Units from the left edge.
    pub x: u16,
    /// Units from the top edge.
    pub y: u16,
}

/// What came of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Empty,
    /// The server has ended its side.
    End,
    /// The socket failed.
    Failed(String),
}

/// One client.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct Client {
    /// Its socket, while it has one.
    pub stream: Option<TcpStream>,
    /// What it is at present.
    pub phase: Phase,
    /// Counts its connections, so that plans of an earlier one are void.
    pub generation: u32,
    /// When it began to connect, in nanoseconds of the run's clock.
    pub began_ns: u64,
    /// The response head so far.
    pub head: Vec<u8>,
    /// Incoming frames.
    pub inbox: Inbox,
    /// What the kernel did not take.
    pub outbox: Vec<u8>,
    /// The kernel may take more.
    pub writable: bool,
    /// Its id in the world, once it knows.
    pub id: u32,
    /// Its player, once it knows where it is.
    pub avatar: Option<Avatar>,
    /// What its player does.
    pub behaviour: Behaviour,
    /// Its own chance.
    pub random: Random,
    /// MOVEs not answered yet, in order.
    pub pending: VecDeque<Pending>,
    /// The last answer.
    pub acked: Option<Acked>,
    /// Sequence of its last MOVE of all, after which it stands still.
    pub stop_sequence: Option<u32>,
    /// Its MOVEs claim positions.
    pub claims: bool,
    /// The highest id known when it began to connect.
    pub highest_before: u32,
    /// Goes right after it has asked for the upgrade.
    pub vanishes: bool,
    /// Reads only now and then.
    pub is_slow: bool,
    /// Its place among the sampled viewers.
    pub viewer: Option<usize>,
}

impl Client {
    /// A client that has not begun.
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

    /// Starts a new life with this socket.
    pub fn begin(&mut self, stream: TcpStream, now_ns: u64) {
        self.leave();
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        self.generation += 1;
        self.began_ns = now_ns;
    }

    /// Drops the socket and everything that belonged to the connection.
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

    /// Writes these bytes behind whatever waits; what the kernel does not take, waits. Returns the bytes taken.
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

    /// Writes what waits. Returns the bytes taken.
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

    /// Notes a MOVE sent.
    pub fn sent(&mut self, sequence: u32, intended_ns: u64, sent_ns: u64) {
        let is_backlogged = self.pending.len() + 1 >= BACKLOG_MOVES;
        self.pending.push_back(Pending { sequence, intended_ns, sent_ns, is_backlogged });
        if self.pending.len() == BACKLOG_MOVES {
            self.pending.iter_mut().for_each(|pending| pending.is_backlogged = true);
        }
    }

    /// Takes the MOVE of this sequence off the unanswered ones; none if it is not among them. Earlier ones that were
    /// passed over stay, and are missing in the end unless their answers come late.
    pub fn answered(&mut self, sequence: u32) -> Option<Pending> {
        // Nearly always the first.
        let place = self.pending.iter().position(|pending| pending.sequence == sequence)?;
        self.pending.remove(place)
    }

    /// Whether its last MOVE of all has been answered, so that it is known where it stands.
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
    fn answers_take_their_own_move_and_no_other() {
        let mut client = client_with(&[1, 2, 3]);
        assert_eq!(client.answered(2).map(|pending| pending.sequence), Some(2));
        assert!(client.answered(2).is_none());
        assert!(client.answered(9).is_none());
        let missing: Vec<u32> = client.pending.iter().map(|pending| pending.sequence).collect();
        assert_eq!(missing, [1, 3]);
    }

    #[test]
    fn all_of_a_pile_may_be_over_the_rate_and_nothing_else() {
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
        assert_eq!(backlogged(&client), BACKLOG_MOVES - 9, "the pile has gone");
    }

    #[test]
    fn bytes_wait_in_order_while_the_socket_takes_none() {
        let mut client = client_with(&[]);
        assert_eq!(client.write(b"ab").unwrap(), 0);
        client.writable = true;
        assert_eq!(client.write(b"cd").unwrap(), 0);
        assert_eq!(client.outbox, b"abcd");
    }
}
