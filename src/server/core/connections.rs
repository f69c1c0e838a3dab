//! The connections: their table, the players' owners, the queue of reads, and the connections that died in this turn.
//!
//! Invariants: a token in `by_slot` is that of the slot's last player. A token is queued for a read at most once, and buried at
//! most once. A dead connection stays in the table until [`Connections::take_dead`], so that a late event finds it.

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Phase, Player};
use super::table::{Table, Token};
use crate::limits::SCRATCH_BYTES;

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = "S: Default"))]
pub(super) struct Connections<S> {
    pub table: Table<Connection<S>>,
    /// Token of each player's connection, by slot.
    by_slot: Vec<Token>,
    /// Connections whose sockets may hold more than one read's budget.
    read_queue: Vec<Token>,
    dead: Vec<Token>,
    sweep_index: usize,
    /// The buffer of reads. A read takes it, and puts it back.
    #[serde(skip, default = "scratch")]
    pub scratch: Vec<u8>,
}

fn scratch() -> Vec<u8> {
    vec![0; SCRATCH_BYTES]
}

impl<S> Connections<S> {
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            by_slot: Vec::new(),
            read_queue: Vec::new(),
            dead: Vec::new(),
            sweep_index: 0,
            scratch: scratch(),
        }
    }

    /// Converts every socket; the tokens stay.
    pub fn map_sockets<T>(self, mut convert: impl FnMut(S) -> T) -> Connections<T> {
        let Self { table, by_slot, read_queue, dead, sweep_index, scratch } = self;
        let table = table.map(|connection| connection.map_socket(&mut convert));
        Connections { table, by_slot, read_queue, dead, sweep_index, scratch }
    }

    /// Returns a connection.
    pub fn get(&self, token: Token) -> Option<&Connection<S>> {
        self.table.get(token)
    }

    /// Returns a connection.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Connection<S>> {
        self.table.get_mut(token)
    }

    /// Returns a player's slot and state; `None` if the connection is no player.
    pub fn player(&self, token: Token) -> Option<(u32, &Player)> {
        match &self.table.get(token)?.phase {
            Phase::Player { slot, player } => Some((*slot, player)),
            _ => None,
        }
    }

    /// Returns a player's slot and state; `None` if the connection is no player.
    pub fn player_mut(&mut self, token: Token) -> Option<(u32, &mut Player)> {
        match &mut self.table.get_mut(token)?.phase {
            Phase::Player { slot, player } => Some((*slot, player)),
            _ => None,
        }
    }

    /// Records the connection of a new player.
    pub fn set_player(&mut self, slot: u32, token: Token) {
        let slot = slot as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, token);
        }
        self.by_slot[slot] = token;
    }

    /// Returns the connection of the slot's player, or of its last one.
    pub fn of_slot(&self, slot: u32) -> Token {
        self.by_slot[slot as usize]
    }

    /// Returns the connection of the slot's player, or of its last one; `None` if it never had one, such as a player of another
    /// node.
    pub fn of_slot_checked(&self, slot: u32) -> Option<Token> {
        self.by_slot.get(slot as usize).copied()
    }

    /// Prefetches the connection of a slot's player.
    pub fn prefetch_slot(&self, slot: u32) {
        self.table.prefetch(self.of_slot(slot));
    }

    /// Queues a connection for another read, once.
    pub fn queue_read(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.read_queue.push(token);
        }
    }

    /// Returns the number of queued reads and of dead connections.
    pub fn queued(&self) -> usize {
        self.read_queue.len() + self.dead.len()
    }

    /// Whether connections are queued for another read.
    pub fn has_reads(&self) -> bool {
        !self.read_queue.is_empty()
    }

    /// Takes the queue of reads. The caller reads each connection once.
    pub fn take_reads(&mut self) -> Vec<Token> {
        let reads = std::mem::take(&mut self.read_queue);
        for &token in &reads {
            if let Some(connection) = self.table.get_mut(token) {
                connection.is_queued = false;
            }
        }
        reads
    }

    /// Marks a connection as dead. It is freed at the end of the turn.
    pub fn bury(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else { return };
        if !matches!(connection.phase, Phase::Dead) {
            connection.phase = Phase::Dead;
            self.dead.push(token);
        }
    }

    /// Removes the dead connections from the table and returns them.
    pub fn take_dead(&mut self) -> Vec<(Token, Connection<S>)> {
        let dead = std::mem::take(&mut self.dead);
        dead.into_iter().filter_map(|token| Some((token, self.table.remove(token)?))).collect()
    }

    /// Returns the next connection of the sweep, which visits every index of the table in turn; `None` for a vacant index.
    pub fn next_swept(&mut self) -> Option<Token> {
        self.sweep_index =
            if self.sweep_index + 1 < self.table.capacity() { self.sweep_index + 1 } else { 0 };
        self.table.token_at(self.sweep_index)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Empty};

    use super::*;

    /// A table with this many connections.
    fn connections(count: usize) -> (Connections<Empty>, Vec<Token>) {
        let mut connections = Connections::new();
        let insert = |_| {
            connections.table.insert_with(|_| Ok::<_, ()>(Connection::new(io::empty(), 0, 0))).expect("room")
        };
        let tokens = (0..count).map(insert).collect();
        (connections, tokens)
    }

    #[test]
    fn a_connection_is_queued_and_buried_once() {
        let (mut connections, tokens) = connections(2);
        for token in [tokens[1], tokens[0], tokens[1]] {
            connections.queue_read(token);
            connections.bury(token);
        }
        assert_eq!(connections.take_reads(), [tokens[1], tokens[0]]);
        assert!(!connections.has_reads() && connections.get(tokens[0]).is_some(), "late events find it");
        let dead: Vec<Token> = connections.take_dead().into_iter().map(|(token, _)| token).collect();
        assert_eq!(dead, [tokens[1], tokens[0]]);
        assert!(connections.take_dead().is_empty() && connections.get(tokens[0]).is_none());
        connections.queue_read(tokens[0]);
        assert!(!connections.has_reads(), "a freed connection is not queued");
    }

    #[test]
    fn a_sweep_visits_every_connection_once_a_round() {
        let (mut connections, tokens) = connections(5);
        connections.bury(tokens[3]);
        connections.take_dead();
        for _ in 0..3 {
            let mut swept: Vec<Token> =
                (0..connections.table.capacity()).filter_map(|_| connections.next_swept()).collect();
            swept.sort_unstable();
            assert_eq!(swept, [tokens[0], tokens[1], tokens[2], tokens[4]]);
        }
    }
}
