//! Closes connections: close handshakes, deadlines, the shutdown drain, and the reaper.

use super::table::Token;

use super::Core;
use super::connection::{ConnectionClass, Phase};
use super::system::{Socket as _, System};
use crate::limits::{CLOSE_TIMEOUT_MS, HTTP_SLACK_BYTES};
use crate::ops::metrics::{Closed, FrameOut, Refused, Truncation};
use crate::wire::websocket::Code;

/// A shutdown in progress.
#[derive(Debug)]
pub(super) struct Drain {
    /// Time at which the server stops waiting for clients to take their last bytes, in milliseconds of the loop's clock.
    deadline_ms: u64,
}

/// The action that a connection's deadlines require.
enum Overdue {
    Nothing,
    Ping,
    CloseIdle,
    DropStalled,
    DropHandshake,
    Truncated(Truncation),
    Drop,
}

impl<S: System> Core<S> {
    /// Removes a player from the world. The connection closes after its last bytes are written.
    pub(super) fn remove_player(&mut self, token: Token, reason: Closed) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { slot, ref player } = connection.phase else { return };
        // Deferred messages of a leaving player are dropped: they exceeded its rate.
        self.metrics.rate_limited_total += player.deferred.len() as u64;
        self.end_session(token);
        self.metrics.closed[reason] += 1;
        log::debug!("player {} closed: {reason:?}", self.engine.world().id(slot).unwrap_or(0));
        self.engine.leave(slot);
        self.start_close(token, true);
    }

    /// Sends a close frame to a player and removes it.
    pub(super) fn close_player(&mut self, token: Token, code: Code, why: &'static str, reason: Closed) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        player.websocket.close(code, why, connection.outbox.bytes());
        self.metrics.frames_out[FrameOut::Close] += 1;
        self.queue_write(token);
        self.remove_player(token, reason);
    }

    /// Starts closing a connection: its outbox is written, then the write side is shut down.
    pub(super) fn start_close(&mut self, token: Token, was_player: bool) {
        let deadline_ms = self.now_ms() + CLOSE_TIMEOUT_MS;
        let Some(connection) = self.table.get_mut(token) else { return };
        connection.phase = Phase::Closing { half_closed: false, was_player };
        connection.deadline_ms = deadline_ms;
        if was_player { self.queue_write(token) } else { self.queue_http(token) }
    }

    /// Shuts down the write side once the outbox is empty. The socket stays open until the peer closes its side: closing it with
    /// unread input would send a reset, and the peer may then lose the close frame.
    pub(super) fn finish_close(&mut self, token: Token) {
        let deadline_ms = self.now_ms() + CLOSE_TIMEOUT_MS;
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Closing { half_closed, .. } = &mut connection.phase else { return };
        if !*half_closed && connection.outbox.is_empty() {
            *half_closed = true;
            connection.deadline_ms = deadline_ms;
            let is_done = connection.input_ended || connection.class != ConnectionClass::Regular;
            if connection.stream.shut_down_write().is_err() || is_done {
                self.disconnect(token);
            }
        }
    }

    /// Handles the end of the peer's input. Queued output is still written. A player that sent no close frame is disconnected.
    pub(super) fn handle_eof(&mut self, token: Token) {
        let is_reconnecting = self.reconnects.contains(token);
        let Some(connection) = self.table.get_mut(token) else { return };
        connection.input_ended = true;
        connection.readable = false;
        match connection.phase {
            // Requests that have arrived are answered first; the HTTP slice that finds none left closes the connection.
            Phase::Http(_) if !is_reconnecting => {}
            Phase::Closing { half_closed: false, .. } if !connection.outbox.is_empty() => {}
            _ => self.disconnect(token),
        }
    }

    /// Marks a connection as dead: its socket failed, or both sides have been shut down.
    pub(super) fn disconnect(&mut self, token: Token) {
        self.remove_player(token, Closed::Reset);
        let Some(connection) = self.table.get_mut(token) else { return };
        self.http_connections.remove(token);
        self.admin_connections.remove(token);
        if !matches!(connection.phase, Phase::Dead) {
            connection.phase = Phase::Dead;
            self.dead.push(token);
        }
    }

    /// Frees the connections that died in this iteration. Until then, late events for their tokens find a dead connection.
    pub(super) fn reap(&mut self) {
        for token in std::mem::take(&mut self.dead) {
            if let Some(mut connection) = self.table.remove(token) {
                self.peer_addresses.remove(token);
                self.system.deregister(&mut connection.stream);
                let class = connection.class;
                drop(connection);
                self.release_reserves(token, class);
            }
        }
    }

    /// Checks deadlines and saves sessions for one tick's share of the connections, so that each is visited once a second.
    pub(super) fn sweep(&mut self) {
        let share = self.table.capacity().div_ceil(self.config.tick_rate_hz as usize);
        for _ in 0..share {
            self.sweep_index =
                if self.sweep_index + 1 < self.table.capacity() { self.sweep_index + 1 } else { 0 };
            let Some(token) = self.table.token_at(self.sweep_index) else { continue };
            self.maintain_session(token);
            match self.overdue(token) {
                Overdue::Nothing => {}
                Overdue::Ping => self.ping_player(token),
                Overdue::CloseIdle => {
                    self.close_player(token, Code::GoingAway, "nothing heard", Closed::Idle);
                }
                Overdue::DropStalled => {
                    self.remove_player(token, Closed::Stalled);
                    self.disconnect(token);
                }
                Overdue::DropHandshake => {
                    self.metrics.refused[Refused::HandshakeTimeout] += 1;
                    self.disconnect(token);
                }
                Overdue::Truncated(cut) => {
                    self.metrics.responses_truncated[cut] += 1;
                    self.disconnect(token);
                }
                Overdue::Drop => self.disconnect(token),
            }
        }
    }

    fn overdue(&mut self, token: Token) -> Overdue {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return Overdue::Nothing };
        let stalled_ms = connection.outbox.stalled_since_ms().map_or(0, |since_ms| now_ms - since_ms);
        let is_stalled = stalled_ms >= u64::from(self.config.write_stall_s) * 1000;
        let keepalive_ms = u64::from(self.config.keepalive_timeout_s) * 1000;
        let is_late = now_ms >= connection.deadline_ms;
        match &connection.phase {
            Phase::Http(_) | Phase::Closing { was_player: false, .. } if !connection.outbox.is_empty() => {
                let least_rate = self.config.http_min_rate;
                if is_stalled {
                    Overdue::Truncated(Truncation::Stalled)
                } else if connection.outbox.deficit_bytes(least_rate, now_ms) > HTTP_SLACK_BYTES {
                    Overdue::Truncated(Truncation::Slow)
                } else {
                    Overdue::Nothing
                }
            }
            // A pending reconnect has its own deadline, and a queued connection may hold the next request.
            Phase::Http(_) if self.reconnects.contains(token) || connection.is_queued => Overdue::Nothing,
            Phase::Http(http) if !http.is_late(now_ms, connection.deadline_ms, keepalive_ms) => {
                Overdue::Nothing
            }
            Phase::Http(http) if http.is_between_requests() => Overdue::Drop,
            Phase::Http(_) => Overdue::DropHandshake,
            Phase::Closing { .. } if connection.outbox.is_empty() && is_late => Overdue::Drop,
            Phase::Closing { .. } if stalled_ms >= CLOSE_TIMEOUT_MS => Overdue::Drop,
            Phase::Player { .. } if is_stalled => Overdue::DropStalled,
            Phase::Player { player, .. } => {
                let silent_ms = now_ms - player.last_frame_ms;
                if silent_ms >= u64::from(self.config.idle_timeout_s) * 1000 {
                    Overdue::CloseIdle
                } else if now_ms - player.last_ping_ms >= u64::from(self.config.ping_interval_s) * 1000 {
                    Overdue::Ping
                } else {
                    Overdue::Nothing
                }
            }
            _ => Overdue::Nothing,
        }
    }

    /// Starts the shutdown: closes every player, and announces it to the cluster.
    pub fn drain(&mut self) {
        let players = self.engine.players();
        log::info!("shutting down: closing {players} player connections");
        let timeout_ms = u64::from(self.config.shutdown_timeout_s) * 1000;
        self.draining = Some(Drain { deadline_ms: self.now_ms() + timeout_ms });
        for token in self.table.tokens() {
            self.close_player(token, Code::GoingAway, "the server is shutting down", Closed::Shutdown);
        }
        self.leave_cluster();
    }

    /// Whether a shutdown has started.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether the loop may end: every player has taken its last bytes and closed, or the deadline has passed.
    pub fn is_over(&self) -> bool {
        let Some(Drain { deadline_ms }) = self.draining else { return false };
        let waits = |phase: &Phase| matches!(phase, Phase::Closing { was_player: true, .. });
        self.now_ms() >= deadline_ms || !self.table.iter().any(|connection| waits(&connection.phase))
    }
}
