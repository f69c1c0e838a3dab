//! Deferred messages: a player's latest message of each kind that exceeded the rate and affects the world.
//!
//! After a stall of seconds, a connection delivers everything in one burst, and the rate limiter drops the surplus. Without the
//! MOVE that stops at the end of the burst, the server would keep moving a player that has stopped on its own screen. Therefore
//! the latest message of each kind is applied later, in order of arrival, within the same rate. The final state is as if the
//! dropped messages had been applied as well.

use serde::{Deserialize, Serialize};
use std::mem::discriminant;

use super::connection::Phase;
use super::system::System;
use super::table::Token;
use super::{Core, player};
use crate::admission::rate::Arrival;
use crate::limits::DEFERRED_PER_TICK;
use crate::wire::message::ClientMessage;

/// Messages of one player that wait for its rate limiter: at most one of each kind. Allocates only while a message waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Deferred {
    messages: Vec<ClientMessage>,
    /// The player is in the event loop's queue.
    is_queued: bool,
}

impl Deferred {
    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message of this kind can be deferred.
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

    /// Removes and returns the first message.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn take_first(&mut self) -> ClientMessage {
        let message = self.messages.remove(0);
        if self.messages.is_empty() {
            self.messages = Vec::new();
        }
        message
    }

    /// Defers a message in place of an earlier one of its kind. Returns whether there was one, which is dropped.
    pub(super) fn replace(&mut self, message: ClientMessage) -> bool {
        let is_same_kind = |earlier: &ClientMessage| discriminant(earlier) == discriminant(&message);
        let Some(at) = self.messages.iter().position(is_same_kind) else {
            self.messages.push(message);
            return false;
        };
        // An attack ends once. Moving a repeated ATTACK_END behind a MOVE would put that MOVE inside the attack.
        let is_repeated_end =
            message == ClientMessage::AttackEnd && !self.messages[at..].contains(&ClientMessage::Attack);
        if !is_repeated_end {
            self.messages.remove(at);
            self.messages.push(message);
        }
        true
    }

    /// Number of deferred messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Marks the player as queued if messages wait. Returns true if it was not queued before.
    fn mark_queued(&mut self) -> bool {
        !self.is_empty() && !std::mem::replace(&mut self.is_queued, true)
    }
}

/// Queues a player with deferred messages, once.
pub(super) fn queue_deferred<S: System>(core: &mut Core<S>, token: Token) {
    if let Some((_, player)) = core.connections.player_mut(token)
        && player.deferred.mark_queued()
    {
        core.replies.deferred.push_back(token);
    }
}

/// Applies deferred messages of up to `DEFERRED_PER_TICK` players. The others follow in the next tick, in queue order.
pub(super) fn apply_deferred<S: System>(core: &mut Core<S>) {
    let arrival = Arrival::at(core.clock.uptime_ms());
    for _ in 0..core.replies.deferred.len().min(DEFERRED_PER_TICK) {
        let Some(token) = core.replies.deferred.pop_front() else { return };
        let replies_max = core.config.write_buffer_bytes;
        let Some(connection) = core.connections.get_mut(token) else { continue };
        let takes_replies = connection.wants_input(replies_max);
        let Phase::Player { player, .. } = &mut connection.phase else { continue };
        player.deferred.is_queued = false;
        if takes_replies {
            player::reply(core, token, |engine, slot, player, out, metrics| {
                player.input_state(slot).apply_deferred(engine, arrival, out, metrics);
            });
        }
        queue_deferred(core, token);
    }
}

#[cfg(test)]
mod tests;
