//! Messages over a player's allowance that wait until it returns: the latest of each kind that changes what others see.
//!
//! A line that stalls for seconds delivers everything at once. The surplus is dropped, but not its last word: without the
//! stop at its end the server walks a player on that stands still on its own screen. The messages wait in the order in
//! which they came, so that the player ends as if the dropped ones had been applied as well.

use std::mem::discriminant;

use mio::Token;

use super::Server;
use super::connection::Phase;
use super::engine::Engine;
use super::input::InputState;
use crate::admission::rate::Arrival;
use crate::limits::DEFERRED_PER_TICK;
use crate::ops::metrics::Metrics;
use crate::wire::message::ClientMessage;

/// What waits for one player's allowance: at most one message of each kind. It takes memory only while something waits.
#[derive(Debug, Clone, Default)]
pub struct Deferred {
    messages: Vec<ClientMessage>,
    /// The loop has this player on its list.
    is_queued: bool,
}

impl Deferred {
    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message of this kind may wait at all.
    pub(super) fn accepts(message: ClientMessage) -> bool {
        match message {
            ClientMessage::Move(_)
            | ClientMessage::Direction(_)
            | ClientMessage::Attack
            | ClientMessage::AttackEnd
            | ClientMessage::Viewport { .. } => true,
            ClientMessage::Join | ClientMessage::Leave => false,
        }
    }

    /// Lets a message wait in place of an earlier one of its kind. Returns whether there was one, so that one of the two is
    /// dropped.
    pub(super) fn replace(&mut self, message: ClientMessage) -> bool {
        let is_same_kind = |earlier: &ClientMessage| discriminant(earlier) == discriminant(&message);
        let Some(at) = self.messages.iter().position(is_same_kind) else {
            self.messages.push(message);
            return false;
        };
        // An attack ends once: its end said again, behind a MOVE, would leave that MOVE in the midst of the attack.
        let is_repeated_end =
            message == ClientMessage::AttackEnd && !self.messages[at..].contains(&ClientMessage::Attack);
        if !is_repeated_end {
            self.messages.remove(at);
            self.messages.push(message);
        }
        true
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether the player is to be put on the loop's list; true once.
    fn mark_queued(&mut self) -> bool {
        !self.is_empty() && !std::mem::replace(&mut self.is_queued, true)
    }
}

impl Engine {
    /// Acts on what waits, as far as the player's allowance has returned. Acks are appended to `out`.
    pub fn apply_deferred(
        &mut self,
        state: &mut InputState<'_>,
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) {
        let limit = self.rate_limit();
        while !state.deferred.is_empty() && state.limiter.accept_late(limit, arrival) {
            let message = state.deferred.messages.remove(0);
            let close = self.handle_message(state.slot, message, out, metrics);
            debug_assert!(close.is_none(), "LEAVE does not wait");
        }
        if state.deferred.is_empty() {
            state.deferred.messages = Vec::new();
        }
    }
}

impl Server {
    /// Puts a player with waiting messages on the list, once.
    pub(super) fn queue_deferred(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && let Phase::Player { player, .. } = &mut connection.phase
            && player.deferred.mark_queued()
        {
            self.deferred.push_back(token);
        }
    }

    /// Acts on what waits for players' allowances. The players that this tick has no time for are the first in the next
    /// tick.
    pub(super) fn apply_deferred(&mut self) {
        let arrival = Arrival::at(self.uptime_ms());
        for _ in 0..self.deferred.len().min(DEFERRED_PER_TICK) {
            let Some(token) = self.deferred.pop_front() else { return };
            let replies_max = self.config.write_buffer_bytes;
            let Some(connection) = self.table.get_mut(token) else { continue };
            let takes_replies = connection.wants_input(replies_max);
            let Phase::Player { player, .. } = &mut connection.phase else { continue };
            player.deferred.is_queued = false;
            if takes_replies {
                self.reply(token, |engine, slot, player, out, metrics| {
                    engine.apply_deferred(&mut player.input_state(slot), arrival, out, metrics);
                });
            }
            self.queue_deferred(token);
        }
    }
}

#[cfg(test)]
mod tests;
