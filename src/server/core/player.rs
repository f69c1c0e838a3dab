//! Player input in the event loop: applied when it is read; its acks follow at the end of the batch.

use super::connection::Player;
use super::engine::Engine;
use super::history::Counted;
use super::system::System;
use super::table::Token;
use super::{Core, close, deferred};
use crate::ops::metrics::Metrics;

/// Processes the bytes of one read from a player, and closes its connection if they require it.
pub(super) fn receive_from_player<S: System>(core: &mut Core<S>, token: Token, bytes: &[u8]) {
    let (now_ms, uptime_ms, not_ready_ms) =
        (core.clock.now_ms(), core.clock.uptime_ms(), core.clock.not_ready_ms());
    let Some(connection) = core.connections.get(token) else { return };
    let is_read_to_the_end = !connection.is_readable();
    let mut trace = core.trace.take_if(|trace| trace.token == token);
    if let Some(trace) = &mut trace {
        trace.now_ms = uptime_ms;
    }
    let outcome = reply(core, token, |engine, slot, player, out, metrics| {
        let arrival = player.limiter.arrival(not_ready_ms, uptime_ms);
        player.limiter.note_read(arrival, is_read_to_the_end);
        let mut input = player.input_state(slot);
        let outcome = input.receive_traced(engine, bytes, arrival, out, metrics, trace.as_deref_mut());
        if outcome.received_frame {
            player.last_frame_ms = now_ms;
        }
        if outcome.received_pong && std::mem::take(&mut player.is_pong_due) {
            player.history.round_trip_ms = Some((now_ms - player.last_ping_ms) as u32);
        }
        player.history.bytes_in += bytes.len() as u64;
        outcome
    });
    if trace.is_some() {
        core.trace = trace;
    }
    let Some(outcome) = outcome else { return };
    if outcome.has_deferred {
        deferred::queue_deferred(core, token);
    }
    if let Some(reason) = outcome.closed {
        close::remove_player(core, token, reason);
    }
}

/// Runs `act`, which appends replies for a player; see [`Replies`](super::replies::Replies).
pub(super) fn reply<S: System, R>(
    core: &mut Core<S>,
    token: Token,
    act: impl FnOnce(&mut Engine, u32, &mut Player, &mut Vec<u8>, &mut Metrics) -> R,
) -> Option<R> {
    let Core { connections, replies, engine, metrics, .. } = core;
    let connection = connections.get_mut(token)?;
    let before = Counted::of(metrics);
    replies.reply(token, connection, |slot, player, out| {
        let outcome = act(engine, slot, player, out, metrics);
        player.history.add(&before, &Counted::of(metrics));
        outcome
    })
}

/// Queues a connection for a write of its outbox, once.
pub(super) fn queue_write<S: System>(core: &mut Core<S>, token: Token) {
    if let Some(connection) = core.connections.get_mut(token) {
        core.replies.queue(token, connection);
    }
}
