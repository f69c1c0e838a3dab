//! The HTTP slice of a loop iteration. It runs after the game's work and within the HTTP budget
//! (`http_budget`), one visit at a time.
//!
//! Connections with work wait in a queue (`http_queue`). A visit writes a part of a response, or reads once
//! and answers one request. A connection with more work goes to the end of its listener's queue.

use std::time::Duration;

use super::table::Token;

use super::Core;
use super::connection::{Phase, ReadOutcome};
use super::displacement::Activity;
use super::http_budget::HttpSlice;
use super::system::Listener;
use super::system::System;
use crate::limits::{CLOSE_TIMEOUT_MS, HTTP_TIMEOUT_MS, HTTP_WAIT_MS, HTTP_WRITE_BYTES, READ_BUDGET_BYTES};
use crate::replication::pool::Pool;

impl<S: System> Core<S> {
    /// Queues a connection with HTTP work, once.
    pub(super) fn queue_http(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else { return };
        if connection.is_queued {
            return;
        }
        connection.is_queued = true;
        self.http_queue.push(connection.listener, token);
    }

    /// Whether there is HTTP work, including new connections.
    pub(super) fn has_http_work(&self) -> bool {
        !self.http_queue.is_empty() || self.listeners.is_any_ready(self.now_ms())
    }

    /// Returns the longest sleep of the loop while HTTP work is left.
    pub(super) fn http_wait(&self) -> Duration {
        if self.http_budget.is_exhausted() { Duration::from_millis(HTTP_WAIT_MS) } else { Duration::ZERO }
    }

    /// Does HTTP work, including new connections, until the slice of this iteration is used up.
    pub(super) fn serve_http(&mut self, pool: &Pool) {
        self.maintain_reserve_descriptors();
        if !self.has_http_work() {
            return;
        }
        let start_ns = self.system.monotonic_ns();
        self.http_budget.refill(start_ns, self.metrics.busy_ns_total + (start_ns - self.now_ns));
        let mut slice = self.http_budget.slice(start_ns);
        // Alternates between new and queued connections, so that neither kind uses up the slice.
        loop {
            let accepted = self.accept_next(&mut slice);
            let queued = self.next_queued(&mut slice);
            if let Some(token) = queued {
                self.serve_connection(token, pool);
            }
            if !accepted && queued.is_none() {
                break;
            }
        }
        self.http_budget.spend(self.system.monotonic_ns() - start_ns);
    }

    fn next_queued(&mut self, slice: &mut HttpSlice) -> Option<Token> {
        if self.http_queue.is_empty() || !slice.take(self.system.monotonic_ns()) {
            return None;
        }
        self.http_queue.pop()
    }

    fn serve_connection(&mut self, token: Token, pool: &Pool) {
        let Some(connection) = self.table.get_mut(token) else { return };
        connection.is_queued = false;
        if connection.is_websocket() {
            return self.queue_read(token);
        }
        let mut took = self.write_response(token);
        let mut answered = self.answer_next(token, pool);
        if !answered && self.read_http(token) {
            answered = self.answer_next(token, pool);
        }
        if answered {
            took |= self.write_response(token);
        }
        self.finish_half_closed(token, answered);
        self.update_activity(token, took, answered);
    }

    /// Writes a part of the pending response. Returns whether the peer took any bytes.
    fn write_response(&mut self, token: Token) -> bool {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return false };
        if connection.is_websocket() || matches!(connection.phase, Phase::Dead) {
            return false;
        }
        let was_empty = connection.outbox.is_empty();
        let Ok(taken) = connection.flush_some(HTTP_WRITE_BYTES, now_ms, &mut self.metrics) else {
            self.disconnect(token);
            return false;
        };
        if connection.outbox.is_empty() {
            match &mut connection.phase {
                Phase::Http(http) if !was_empty => {
                    http.idle_since_ms = now_ms;
                    // The start of the next head may have arrived already.
                    connection.deadline_ms = now_ms + HTTP_TIMEOUT_MS;
                }
                Phase::Closing { .. } => self.finish_close(token),
                _ => {}
            }
        }
        taken > 0
    }

    /// Reads once. Returns whether bytes arrived.
    fn read_http(&mut self, token: Token) -> bool {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return false };
        if connection.is_websocket()
            || !connection.readable
            || !connection.wants_input(self.config.write_buffer_bytes)
        {
            return false;
        }
        let outcome = connection.read(&mut self.scratch[..READ_BUDGET_BYTES], &mut self.metrics);
        match outcome {
            ReadOutcome::Bytes(count) => {
                let Phase::Http(http) = &mut connection.phase else { return false };
                if http.is_between_requests() {
                    connection.deadline_ms = now_ms + HTTP_TIMEOUT_MS;
                }
                http.head.append(&self.scratch[..count]);
                true
            }
            ReadOutcome::Empty => false,
            ReadOutcome::End => {
                self.handle_eof(token);
                false
            }
            ReadOutcome::Failed => {
                self.disconnect(token);
                false
            }
        }
    }

    /// Closes a half-closed connection once all its requests are answered.
    fn finish_half_closed(&mut self, token: Token, answered: bool) {
        let Some(connection) = self.table.get(token) else { return };
        let Phase::Http(http) = &connection.phase else { return };
        let may_hold_more = answered && !http.head.is_empty();
        if connection.input_ended && connection.outbox.is_empty() && !may_hold_more {
            self.disconnect(token);
        }
    }

    /// Updates the activity of a connection, and queues it again if it has more work.
    fn update_activity(&mut self, token: Token, took: bool, answered: bool) {
        let now_ms = self.now_ms();
        let is_reconnecting = self.reconnects.contains(token);
        let Some(connection) = self.table.get(token) else { return };
        let is_answering = !connection.outbox.is_empty();
        let (activity, since_ms) = match &connection.phase {
            Phase::Http(_) | Phase::Closing { .. } if is_answering || is_reconnecting => {
                (Activity::Answering, now_ms)
            }
            Phase::Http(http) if http.is_between_requests() => (Activity::Idle, http.idle_since_ms),
            Phase::Http(http) => (Activity::ReadingHead, http.accepted_ms),
            Phase::Closing { .. } => (Activity::Lingering, connection.deadline_ms - CLOSE_TIMEOUT_MS),
            Phase::Player { .. } | Phase::Dead => return,
        };
        let has_more = match &connection.phase {
            _ if is_answering => connection.writable,
            Phase::Http(http) => {
                let wants_input = connection.wants_input(self.config.write_buffer_bytes);
                connection.readable && wants_input || answered && !http.head.is_empty()
            }
            _ => connection.readable,
        };
        let connections = match connection.listener {
            Listener::Admin => &mut self.admin_connections,
            Listener::Public => &mut self.http_connections,
        };
        if activity != Activity::Answering || took || connections.activity(token) != Some(activity) {
            connections.set_activity(token, activity, since_ms);
        }
        if has_more {
            self.queue_http(token);
        }
    }
}
