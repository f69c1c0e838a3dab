//! Player input in the event loop. Input is applied when it is read, and its acks are written at the end of the same batch of
//! events.

use super::table::Token;

use super::Core;
use super::connection::{Phase, Player};
use super::engine::Engine;
use super::flush::PendingWrite;
use super::input::InputState;
use super::system::System;
use crate::ops::metrics::Metrics;

impl Player {
    /// Borrows the parts that input processing needs.
    pub fn input_state(&mut self, slot: u32) -> InputState<'_> {
        InputState {
            slot,
            websocket: &mut self.websocket,
            limiter: &mut self.limiter,
            deferred: &mut self.deferred,
        }
    }
}

impl<S: System> Core<S> {
    /// Processes the bytes of one read from a player, and closes its connection if they require it.
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let (now_ms, uptime_ms, not_ready_ms) = (self.now_ms(), self.uptime_ms(), self.not_ready_ms());
        let Some(connection) = self.table.get(token) else { return };
        let is_read_to_the_end = !connection.readable;
        let outcome = self.reply(token, |engine, slot, player, out, metrics| {
            let arrival = player.limiter.arrival(not_ready_ms, uptime_ms);
            player.limiter.note_read(arrival, is_read_to_the_end);
            let outcome = engine.receive(player.input_state(slot), bytes, arrival, out, metrics);
            if outcome.received_frame {
                player.last_frame_ms = now_ms;
            }
            outcome
        });
        let Some(outcome) = outcome else { return };
        if outcome.has_deferred {
            self.queue_deferred(token);
        }
        if let Some(reason) = outcome.closed {
            self.remove_player(token, reason);
        }
    }

    /// Runs `act`, which appends replies for a player. The replies go to the buffer shared by this batch, ahead of any later
    /// output of the connection. If the connection has a backlog or a queued write, they go to its outbox instead.
    pub(super) fn reply<R>(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Engine, u32, &mut Player, &mut Vec<u8>, &mut Metrics) -> R,
    ) -> Option<R> {
        let connection = self.table.get_mut(token)?;
        let Phase::Player { slot, player } = &mut connection.phase else { return None };
        let (shared, own) = (&mut self.reply_bytes, &mut connection.outbox);
        let is_first = !connection.is_write_queued && own.is_empty();
        let out = if is_first { shared } else { own.bytes() };
        let start = out.len();
        let outcome = act(&mut self.engine, *slot, player, out, &mut self.metrics);
        let replies = start..out.len();
        if is_first && !replies.is_empty() {
            connection.is_write_queued = true;
            self.write_queue.push(PendingWrite { token, bytes: replies });
        } else if !is_first {
            self.queue_write(token);
        }
        Some(outcome)
    }
}
