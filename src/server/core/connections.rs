//! The connections: their table, the players' owners, the queue of reads, and the connections that died in this turn.
//!
//! Invariants: a token in `by_slot` is that of the slot's last player. A token is queued for a read at most once, and buried at
//! most once. A dead connection stays in the table until [`Connections::take_dead`], so that a late event finds it.

use super::connection::{Connection, Phase, Player};
use super::table::{Table, Token};
use crate::limits::SCRATCH_BYTES;

/// All connections.
#[derive(Debug)]
pub(super) struct Connections<S> {
    pub table: Table<Connection<S>>,
    /// Token of each player's connection, by slot.
    by_slot: Vec<Token>,
    /// Connections whose sockets may hold more than one read's budget.
    read_queue: Vec<Token>,
    dead: Vec<Token>,
    sweep_index: usize,
    /// The buffer of reads. A read takes it, and puts it back.
    pub scratch: Vec<u8>,
}

impl<S> Connections<S> {
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            by_slot: Vec::new(),
            read_queue: Vec::new(),
            dead: Vec::new(),
            sweep_index: 0,
            scratch: vec![0; SCRATCH_BYTES],
        }
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
