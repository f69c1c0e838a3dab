//! The HTTP slice of an iteration: after the game's work, within `http_budget`, one visit at a time.
//!
//! Connections with work wait in a queue (`http_queue`). A visit writes a part of a response, or reads once
//! and answers one request. A connection with more work goes to the end of its listener's queue.

use std::time::Duration;

use super::connection::{Phase, ReadOutcome};
use super::displacement::Activity;
use super::http_budget::HttpSlice;
use super::system::Listener;
use super::system::System;
use super::table::Token;
use super::{Core, accept, close, http};
use crate::limits::{HTTP_TIMEOUT_MS, HTTP_WAIT_MS, HTTP_WRITE_BYTES, READ_BUDGET_BYTES};
use crate::replication::pool::Pool;

/// Queues a connection with HTTP work, once.
pub(super) fn queue_http<S: System>(core: &mut Core<S>, token: Token) {
    let Some(connection) = core.connections.get_mut(token) else { return };
    if connection.is_queued {
        return;
    }
    connection.is_queued = true;
    core.site.queue.push(connection.listener, token);
}

/// Whether there is HTTP work, including new connections.
pub(super) fn has_http_work<S: System>(core: &Core<S>) -> bool {
    !core.site.queue.is_empty() || core.gate.listeners.is_any_ready(core.clock.now_ms())
}

/// Returns the longest sleep of the loop while HTTP work is left.
pub(super) fn http_wait<S: System>(core: &Core<S>) -> Duration {
    if core.site.budget.is_exhausted() { Duration::from_millis(HTTP_WAIT_MS) } else { Duration::ZERO }
}

/// Does HTTP work, including new connections, until the slice of this iteration is used up.
pub(super) fn serve_http<S: System>(core: &mut Core<S>, pool: &Pool) {
    accept::maintain_reserve_descriptors(core);
    if !has_http_work(core) {
        return;
    }
    let start_ns = core.system.monotonic_ns();
    core.site.budget.refill(start_ns, core.metrics.busy_ns_total + (start_ns - core.clock.now_ns()));
    let mut slice = core.site.budget.slice(start_ns);
    // Alternates between new and queued connections, so that neither kind uses up the slice.
    loop {
        let accepted = accept::accept_next(core, &mut slice);
        let queued = next_queued(core, &mut slice);
        if let Some(token) = queued {
            serve_connection(core, token, pool);
        }
        if !accepted && queued.is_none() {
            break;
        }
    }
    core.site.budget.spend(core.system.monotonic_ns() - start_ns);
}

fn next_queued<S: System>(core: &mut Core<S>, slice: &mut HttpSlice) -> Option<Token> {
    if core.site.queue.is_empty() || !slice.take(core.system.monotonic_ns()) {
        return None;
    }
    core.site.queue.pop()
}

fn serve_connection<S: System>(core: &mut Core<S>, token: Token, pool: &Pool) {
    let Some(connection) = core.connections.get_mut(token) else { return };
    connection.is_queued = false;
    if connection.is_websocket() {
        return core.connections.queue_read(token);
    }
    let mut took = write_response(core, token);
    let mut answered = http::answer_next(core, token, pool);
    if !answered && read_http(core, token) {
        answered = http::answer_next(core, token, pool);
    }
    if answered {
        took |= write_response(core, token);
    }
    update_activity(core, token, took, answered);
}

/// Writes a part of the pending response. Returns whether the peer took any bytes.
fn write_response<S: System>(core: &mut Core<S>, token: Token) -> bool {
    let now_ms = core.clock.now_ms();
    let Some(connection) = core.connections.get_mut(token) else { return false };
    if connection.is_websocket() || matches!(connection.phase, Phase::Dead) {
        return false;
    }
    let was_empty = connection.outbox.is_empty();
    let Ok(taken) = connection.flush_some(HTTP_WRITE_BYTES, now_ms, &mut core.metrics) else {
        close::disconnect(core, token);
        return false;
    };
    if connection.outbox.is_empty() {
        match &mut connection.phase {
            Phase::Http(http) if !was_empty => {
                http.idle_since_ms = now_ms;
                // The start of the next head may have arrived already.
                http.deadline_ms = now_ms + HTTP_TIMEOUT_MS;
            }
            Phase::Closing { .. } => close::finish_close(core, token),
            _ => {}
        }
    }
    taken > 0
}

/// Reads once. Returns whether bytes arrived.
fn read_http<S: System>(core: &mut Core<S>, token: Token) -> bool {
    let now_ms = core.clock.now_ms();
    let Some(connection) = core.connections.table.get_mut(token) else { return false };
    if connection.is_websocket()
        || !connection.is_readable()
        || !connection.wants_input(core.config.write_buffer_bytes)
    {
        return false;
    }
    let outcome = connection.read(&mut core.connections.scratch[..READ_BUDGET_BYTES], &mut core.metrics);
    match outcome {
        ReadOutcome::Bytes(count) => {
            let Phase::Http(http) = &mut connection.phase else { return false };
            if http.is_between_requests() {
                http.deadline_ms = now_ms + HTTP_TIMEOUT_MS;
            }
            http.head.append(&core.connections.scratch[..count]);
            true
        }
        ReadOutcome::Empty => false,
        ReadOutcome::End => {
            close::handle_eof(core, token);
            false
        }
        ReadOutcome::Failed => {
            close::disconnect(core, token);
            false
        }
    }
}

/// Updates the activity of a connection, and queues it again if it has more work.
fn update_activity<S: System>(core: &mut Core<S>, token: Token, took: bool, answered: bool) {
    let now_ms = core.clock.now_ms();
    let is_reconnecting = core.sessions.pending.contains(token);
    let Some(connection) = core.connections.get(token) else { return };
    let Some((activity, since_ms)) = connection.activity(is_reconnecting, now_ms) else { return };
    let has_more = connection.has_http_work(answered, core.config.write_buffer_bytes);
    let connections = match connection.listener {
        Listener::Admin => &mut core.gate.admin_connections,
        Listener::Public => &mut core.gate.http_connections,
    };
    if activity != Activity::Answering || took || connections.activity(token) != Some(activity) {
        connections.set_activity(token, activity, since_ms);
    }
    if has_more {
        queue_http(core, token);
    }
}
