//! Replies: acks, pongs, pings and close frames, written once per batch of events, together with the deltas that are due.
//!
//! The ordering rule: a connection's bytes leave in the order in which they were produced. Replies of a batch go to a buffer that
//! all connections share. Once a connection has a queued write or a backlog, later bytes go to its outbox. Frames of a flush
//! round are written only when no replies are queued (`flush::write_slice` asserts it): a partial write would split them.
//!
//! Invariants: `is_write_queued` of a connection tells whether it is in `queue`, where it is at most once. The ranges in `queue`
//! are disjoint, and lie in `bytes`.

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Phase, Player, WriteFailed};
use super::system::System;
use super::table::Token;
use super::{Core, close};
use crate::replication::pool::Pool;

/// Capacity of the reply buffer that is kept between batches, in bytes.
const REPLY_BYTES_KEPT: usize = 256 * 1024;

/// A connection in the write queue.
#[derive(Debug, Serialize, Deserialize)]
struct PendingWrite {
    token: Token,
    /// Range of its replies in the batch's reply buffer; empty if only its outbox has bytes.
    bytes: Range<usize>,
}

/// The writes of this batch of events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Replies {
    /// Connections to write to, each at most once.
    queue: Vec<PendingWrite>,
    /// Replies of the batch, consecutively.
    bytes: Vec<u8>,
    /// Assembles a player's replies and its delta for one write.
    buffer: Vec<u8>,
    /// Players with deferred messages, in the order in which they get their turn.
    pub deferred: VecDeque<Token>,
}

impl Replies {
    /// Whether no write is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the number of queued writes and of players with deferred messages.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.deferred.len()
    }

    /// Queues a connection for a write of its outbox, once.
    pub fn queue<S>(&mut self, token: Token, connection: &mut Connection<S>) {
        if !std::mem::replace(&mut connection.is_write_queued, true) {
            self.queue.push(PendingWrite { token, bytes: 0..0 });
        }
    }

    /// Runs `act`, which appends replies for a player, by the ordering rule. Returns `None` if the connection is no player.
    pub fn reply<S, R>(
        &mut self,
        token: Token,
        connection: &mut Connection<S>,
        act: impl FnOnce(u32, &mut Player, &mut Vec<u8>) -> R,
    ) -> Option<R> {
        let Phase::Player { slot, player } = &mut connection.phase else { return None };
        let is_first = !connection.is_write_queued && connection.outbox.is_empty();
        let out = if is_first { &mut self.bytes } else { connection.outbox.bytes() };
        let start = out.len();
        let outcome = act(*slot, player, out);
        let replies = start..out.len();
        if !is_first {
            self.queue(token, connection);
        } else if !replies.is_empty() {
            connection.is_write_queued = true;
            self.queue.push(PendingWrite { token, bytes: replies });
        }
        Some(outcome)
    }
}

/// Writes the replies of this batch of events: acks first, with a piggybacked delta if one is due.
pub(super) fn write_replies<S: System>(core: &mut Core<S>, pool: &Pool) {
    let round_is_written = pool.batch_is_written();
    let mut bytes = std::mem::take(&mut core.replies.bytes);
    let mut writes = std::mem::take(&mut core.replies.queue);
    for write in writes.drain(..) {
        write_reply(core, write.token, &bytes[write.bytes], round_is_written);
    }
    bytes.clear();
    bytes.shrink_to(REPLY_BYTES_KEPT);
    core.replies.bytes = bytes;
    // Writes may have closed connections, which queues more writes; they follow in the next turn.
    writes.append(&mut core.replies.queue);
    core.replies.queue = writes;
}

/// Writes these replies and then the outbox, whose bytes are newer: later output of the batch went there.
fn write_reply<S: System>(core: &mut Core<S>, token: Token, replies: &[u8], round_is_written: bool) {
    let now_ms = core.clock.now_ms();
    let Some(connection) = core.connections.get_mut(token) else { return };
    connection.is_write_queued = false;
    let written = match connection.phase {
        Phase::Player { slot, .. } if connection.is_write_ready() => {
            let (start_ns, buffer) = (core.system.monotonic_ns(), &mut core.replies.buffer);
            buffer.clear();
            buffer.extend_from_slice(replies);
            core.engine.piggyback(slot, round_is_written, buffer, &mut core.metrics);
            core.engine.replication_ns += core.system.monotonic_ns() - start_ns;
            connection.write(buffer, now_ms, &mut core.metrics)
        }
        _ => {
            if !replies.is_empty() {
                connection.outbox.prepend(replies);
            }
            let had_backlog = connection.outbox.backlog_since_ms().is_some();
            let written = connection.flush(now_ms, &mut core.metrics);
            if let Phase::Player { slot, .. } = &connection.phase
                && had_backlog
                && connection.outbox.is_empty()
            {
                core.engine.backlog_drained(*slot);
            }
            written
        }
    };
    match written {
        Ok(()) if connection.outbox.is_empty() => after_write(core, token),
        Ok(()) => {}
        Err(WriteFailed) => close::disconnect(core, token),
    }
}

/// Continues a WebSocket connection whose output has been written completely.
fn after_write<S: System>(core: &mut Core<S>, token: Token) {
    let Some(connection) = core.connections.get_mut(token) else { return };
    if matches!(connection.phase, Phase::Closing { .. }) {
        return close::finish_close(core, token);
    }
    // Reading was paused while the connection had too many unsent replies.
    if connection.is_readable() {
        core.connections.queue_read(token);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn player() -> Connection<io::Empty> {
        let mut connection = Connection::new(io::empty(), 0, 0);
        connection.phase = Phase::Player { slot: 1, player: Box::new(Player::new(0, 0, 256, None)) };
        connection
    }

    #[test]
    fn replies_share_a_buffer_until_the_connection_has_later_output() {
        let (mut replies, mut first, mut second) = (Replies::default(), player(), player());
        replies.reply(Token(1), &mut first, |_, _, out| out.extend_from_slice(b"ack 1"));
        replies.reply(Token(2), &mut second, |_, _, _| ());
        replies.reply(Token(1), &mut first, |_, _, out| out.extend_from_slice(b"ack 2"));
        assert_eq!(replies.bytes, b"ack 1");
        assert_eq!(first.outbox.next_chunk(), b"ack 2", "it follows the queued reply");
        let queued: Vec<_> = replies.queue.iter().map(|write| (write.token, write.bytes.clone())).collect();
        assert_eq!(queued, [(Token(1), 0..5)], "once, and no connection without a reply");
        second.outbox.bytes().extend_from_slice(b"backlog");
        replies.reply(Token(2), &mut second, |_, _, out| out.extend_from_slice(b", ack"));
        assert_eq!(second.outbox.next_chunk(), b"backlog, ack");
        assert_eq!((replies.bytes.len(), replies.queue.len()), (5, 2));
    }

    #[test]
    fn only_players_get_replies() {
        let (mut replies, mut connection) = (Replies::default(), Connection::new(io::empty(), 0, 0));
        assert_eq!(replies.reply(Token(1), &mut connection, |_, _, _| ()), None);
        replies.queue(Token(1), &mut connection);
        replies.queue(Token(1), &mut connection);
        assert_eq!(replies.queue.len(), 1);
    }
}
