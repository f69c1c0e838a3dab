//! One connection: socket, protocol phase, outbox and readiness.

use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};

use super::deferred::Deferred;
use super::displacement::Activity;
use super::history::History;
use super::input::InputState;
use super::outbox::Outbox;
use super::system::Listener;
use super::table::Entry;
use crate::admission::rate::RateLimiter;
use crate::limits::CLOSE_TIMEOUT_MS;
use crate::ops::metrics::Metrics;
use crate::prefetch::prefetch;
use crate::sessions::SessionToken;
use crate::wire::http::RequestParser;
use crate::wire::websocket::WebSocket;

/// A connection from accept to reap. Everything that a write to a player needs fits one cache line; state that only messages need
/// is boxed. With ten thousand connections every visit misses the cache, so the number of lines touched is the cost.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = "S: Default"))]
pub struct Connection<S> {
    /// Non-blocking socket.
    #[serde(skip)]
    pub stream: S,
    /// Protocol phase.
    pub phase: Phase,
    /// Bytes not yet written to the socket.
    pub outbox: Outbox,
    input: Input,
    output: Output,
    /// In the event loop's write queue.
    pub is_write_queued: bool,
    /// In the event loop's read queue (WebSocket) or in the HTTP queue.
    pub is_queued: bool,
    /// Listener that accepted the connection.
    pub listener: Listener,
    /// Class of the connection, which limits its requests.
    pub class: ConnectionClass,
    /// Bytes that the socket has taken.
    pub written_bytes: u64,
}

const _: () = assert!(size_of::<Option<Entry<Connection<i32>>>>() == 64, "a connection fits a cache line");

/// The socket's input side. Readiness is edge-triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Input {
    /// Nothing to read until the next readiness.
    Drained,
    /// Bytes may wait.
    Readable,
    /// Bytes may wait, and then the end of the input or an error: the peer has shut down its side, or the socket failed.
    Ending,
    /// A read has returned the end.
    Ended,
}

/// The socket's output side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Output {
    /// The socket takes bytes.
    Ready,
    /// The socket is full until the next readiness.
    Full,
}

/// What a poll reports of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Bytes, the end of the input, or an error can be read.
    pub is_readable: bool,
    /// The socket takes bytes.
    pub is_writable: bool,
    /// The peer has shut down its side, or the socket failed.
    pub has_ended: bool,
}

/// The limit against which a connection counts. It also restricts the connection's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionClass {
    /// A regular connection: any request.
    Regular,
    /// A monitoring connection: one response, to a health check or a metrics request.
    Monitoring,
    /// A connection on a reserve descriptor: one health response, with a short timeout.
    ReserveDescriptor,
}

/// State of an HTTP connection.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Http {
    /// Bytes of the next request that have arrived.
    pub head: RequestParser,
    /// At least one request was answered.
    pub was_answered: bool,
    /// Time of the accept, in milliseconds of the loop's clock.
    pub accepted_ms: u64,
    /// Deadline of the next request's head, in milliseconds of the loop's clock.
    pub deadline_ms: u64,
    /// Time at which the last byte of the last response was written, in milliseconds of the loop's clock.
    pub idle_since_ms: u64,
}

impl Http {
    /// Whether all requests are answered and the next one has not begun to arrive.
    pub fn is_between_requests(&self) -> bool {
        self.was_answered && self.head.is_empty()
    }

    /// Whether the timeout has passed: the keep-alive timeout between requests, otherwise that of a request head.
    pub fn is_late(&self, now_ms: u64, keepalive_ms: u64) -> bool {
        if self.is_between_requests() {
            now_ms.saturating_sub(self.idle_since_ms) >= keepalive_ms
        } else {
            now_ms >= self.deadline_ms
        }
    }
}

/// Protocol phase of a connection. Phases only move forward.
#[derive(Debug, Serialize, Deserialize)]
pub enum Phase {
    /// HTTP; may be upgraded.
    Http(Box<Http>),
    /// A player on a WebSocket.
    Player {
        /// Slot in the world.
        slot: u32,
        /// State that only messages need.
        player: Box<Player>,
    },
    /// Input is discarded. The outbox is written, then the write side is shut down, then the peer's input is drained.
    Closing {
        /// The write side has been shut down.
        half_closed: bool,
        /// The connection was a player: a shutdown waits for it.
        was_player: bool,
        /// In milliseconds of the loop's clock.
        deadline_ms: u64,
    },
    /// Dead until the reaper frees it.
    Dead,
}

/// State of a player's connection that only messages, pings and sessions need.
#[derive(Debug, Serialize, Deserialize)]
pub struct Player {
    /// Arrival of the last frame, in milliseconds of the loop's clock.
    pub last_frame_ms: u64,
    /// WebSocket framing.
    pub websocket: WebSocket,
    /// Message rate limiter.
    pub limiter: RateLimiter,
    /// Messages over the rate.
    pub deferred: Deferred,
    /// Time of the last ping, in milliseconds of the loop's clock.
    pub last_ping_ms: u64,
    /// No pong has answered the last ping.
    pub is_pong_due: bool,
    /// What operators see of it.
    pub history: History,
    /// Time of the reconnect, in milliseconds of the loop's clock, until a later frame confirms the new session token.
    pub unconfirmed_since_ms: Option<u64>,
    /// Session token; `None` if sessions are disabled.
    pub session_token: Option<SessionToken>,
    /// Time of the next save of the session, in milliseconds of the loop's clock.
    pub save_due_ms: u64,
}

impl Player {
    /// Creates the state of a player that joins now, in milliseconds of the loop's clock and of the uptime.
    pub fn new(
        now_ms: u64,
        uptime_ms: u64,
        read_buffer_bytes: usize,
        session_token: Option<SessionToken>,
    ) -> Self {
        Self {
            // No frame has arrived yet, not even in this millisecond.
            last_frame_ms: now_ms.saturating_sub(1),
            websocket: WebSocket::new(read_buffer_bytes),
            limiter: RateLimiter::new(uptime_ms),
            deferred: Deferred::default(),
            last_ping_ms: now_ms,
            is_pong_due: false,
            history: History { joined_ms: now_ms, ..History::default() },
            unconfirmed_since_ms: None,
            session_token,
            save_due_ms: now_ms,
        }
    }

    /// Borrows the parts that input processing needs.
    pub fn input_state(&mut self, slot: u32) -> InputState<'_> {
        InputState {
            slot,
            websocket: &mut self.websocket,
            limiter: &mut self.limiter,
            deferred: &mut self.deferred,
        }
    }

    /// Prefetches the cache lines that every message needs.
    pub fn prefetch(&self) {
        prefetch(&self.last_frame_ms);
        prefetch(&self.limiter);
        prefetch(&self.deferred);
        self.websocket.prefetch();
    }
}

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Number of bytes read; if the buffer is full, there may be more.
    Bytes(usize),
    /// Nothing to read at present.
    Empty,
    /// The peer has shut down its side.
    End,
    /// The socket failed.
    Failed,
}

/// Error of a write to the socket.
#[derive(Debug, PartialEq, Eq)]
pub struct WriteFailed;

impl<S> Connection<S> {
    /// Returns the same connection on another socket.
    pub(super) fn map_socket<T>(self, convert: impl FnOnce(S) -> T) -> Connection<T> {
        Connection {
            stream: convert(self.stream),
            phase: self.phase,
            outbox: self.outbox,
            input: self.input,
            output: self.output,
            is_write_queued: self.is_write_queued,
            is_queued: self.is_queued,
            listener: self.listener,
            class: self.class,
            written_bytes: self.written_bytes,
        }
    }
}

impl<S: Read + Write> Connection<S> {
    /// Creates a connection that was accepted now. Its first head has a deadline; both are in milliseconds of the loop's clock.
    pub fn new(stream: S, now_ms: u64, deadline_ms: u64) -> Self {
        Self {
            stream,
            phase: Phase::Http(Box::new(Http { accepted_ms: now_ms, deadline_ms, ..Http::default() })),
            outbox: Outbox::default(),
            input: Input::Drained,
            output: Output::Ready,
            is_write_queued: false,
            is_queued: false,
            listener: Listener::Public,
            class: ConnectionClass::Regular,
            written_bytes: 0,
        }
    }

    /// Whether the connection has been upgraded: a player, or a former player that is closing.
    pub fn is_websocket(&self) -> bool {
        matches!(self.phase, Phase::Player { .. } | Phase::Closing { was_player: true, .. })
    }

    /// Records what a poll reports.
    pub fn note(&mut self, readiness: Readiness) {
        if readiness.is_writable {
            self.output = Output::Ready;
        }
        self.input = match self.input {
            Input::Ended => Input::Ended,
            _ if readiness.has_ended => Input::Ending,
            Input::Drained if readiness.is_readable => Input::Readable,
            input => input,
        };
    }

    /// Whether a read may return something.
    pub fn is_readable(&self) -> bool {
        matches!(self.input, Input::Readable | Input::Ending)
    }

    /// Whether a read has returned the end of the input.
    pub fn has_ended(&self) -> bool {
        self.input == Input::Ended
    }

    /// Whether the socket takes bytes.
    pub fn is_writable(&self) -> bool {
        self.output == Output::Ready
    }

    /// Records that a read returned the end of the input.
    pub fn end_input(&mut self) {
        self.input = Input::Ended;
    }

    /// Whether to read from the connection now. A player with `replies_max` bytes of backlog is not read, which bounds its
    /// replies to that plus the replies of one read. HTTP is read only after the previous response has been written. A closing
    /// connection is read to drain it.
    pub fn wants_input(&self, replies_max: usize) -> bool {
        match self.phase {
            Phase::Http(ref http) => self.outbox.is_empty() && !http.head.is_full(),
            Phase::Player { .. } => self.outbox.len() < replies_max,
            Phase::Closing { .. } => true,
            Phase::Dead => false,
        }
    }

    /// Returns the activity of an HTTP connection, and its start in milliseconds of the loop's clock; `None` for a player.
    /// `is_pending` tells whether its handshake waits for a session.
    pub(super) fn activity(&self, is_pending: bool, now_ms: u64) -> Option<(Activity, u64)> {
        let is_answering = is_pending || !self.outbox.is_empty();
        match &self.phase {
            Phase::Http(_) | Phase::Closing { .. } if is_answering => Some((Activity::Answering, now_ms)),
            Phase::Http(http) if http.is_between_requests() => Some((Activity::Idle, http.idle_since_ms)),
            Phase::Http(http) => Some((Activity::ReadingHead, http.accepted_ms)),
            Phase::Closing { deadline_ms, .. } => Some((Activity::Lingering, deadline_ms - CLOSE_TIMEOUT_MS)),
            Phase::Player { .. } | Phase::Dead => None,
        }
    }

    /// Whether another visit of an HTTP connection would write, read or answer. `answered` tells whether the last one answered a
    /// request: the next one may have arrived with it.
    pub fn has_http_work(&self, answered: bool, replies_max: usize) -> bool {
        match &self.phase {
            _ if !self.outbox.is_empty() => self.is_writable(),
            Phase::Http(http) => {
                self.is_readable() && self.wants_input(replies_max) || answered && !http.head.is_empty()
            }
            _ => self.is_readable(),
        }
    }

    /// Reads once, and records whether more may wait.
    pub fn read(&mut self, buffer: &mut [u8], metrics: &mut Metrics) -> ReadOutcome {
        loop {
            metrics.socket_reads_total += 1;
            return match self.stream.read(buffer) {
                Ok(0) => ReadOutcome::End,
                Ok(count) => {
                    metrics.bytes_in_total += count as u64;
                    // A short read drains the socket, but not a socket that is ending: data and FIN that arrive in one edge
                    // cause no second event, so the end must still be read.
                    if count < buffer.len() && self.input == Input::Readable {
                        self.input = Input::Drained;
                    }
                    ReadOutcome::Bytes(count)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.input = Input::Drained;
                    ReadOutcome::Empty
                }
                Err(_) => ReadOutcome::Failed,
            };
        }
    }

    /// Whether a write would go directly to the socket.
    pub fn is_write_ready(&self) -> bool {
        self.is_writable() && self.outbox.is_empty()
    }

    /// Writes these bytes after the outbox; bytes that the socket does not take go to the outbox. Empty input is ignored: the
    /// outbox of a queued connection may already have been flushed.
    ///
    /// # Errors
    /// Returns [`WriteFailed`] if the connection must be dropped.
    pub fn write(&mut self, bytes: &[u8], now_ms: u64, metrics: &mut Metrics) -> Result<(), WriteFailed> {
        if !self.is_write_ready() {
            self.outbox.bytes().extend_from_slice(bytes);
            return self.flush(now_ms, metrics);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let taken = write_to(&mut self.stream, bytes, &mut self.written_bytes, metrics)?;
        if taken.is_none() {
            self.output = Output::Full;
        }
        if taken == Some(bytes.len()) {
            return Ok(());
        }
        self.outbox.bytes().extend_from_slice(&bytes[taken.unwrap_or(0)..]);
        self.flush(now_ms, metrics)
    }

    /// Writes up to `most` bytes of the outbox. Returns the number of bytes that the socket took.
    ///
    /// # Errors
    /// Returns [`WriteFailed`] if the connection must be dropped.
    pub fn flush_some(
        &mut self,
        most: usize,
        now_ms: u64,
        metrics: &mut Metrics,
    ) -> Result<usize, WriteFailed> {
        let mut written = 0;
        while written < most && self.is_writable() && !self.outbox.is_empty() {
            let chunk = self.outbox.next_chunk();
            let chunk = &chunk[..chunk.len().min(most - written)];
            match write_to(&mut self.stream, chunk, &mut self.written_bytes, metrics)? {
                Some(taken) => {
                    self.outbox.advance(taken);
                    written += taken;
                }
                None => self.output = Output::Full,
            }
        }
        self.outbox.note_stall(now_ms);
        Ok(written)
    }

    /// Writes the outbox, as far as the socket takes it.
    ///
    /// # Errors
    /// Returns [`WriteFailed`] if the connection must be dropped.
    pub fn flush(&mut self, now_ms: u64, metrics: &mut Metrics) -> Result<(), WriteFailed> {
        while self.is_writable() && !self.outbox.is_empty() {
            match write_to(&mut self.stream, self.outbox.next_chunk(), &mut self.written_bytes, metrics)? {
                Some(taken) => self.outbox.advance(taken),
                None => self.output = Output::Full,
            }
        }
        self.outbox.note_stall(now_ms);
        Ok(())
    }
}

/// Writes once. Returns the number of bytes taken, or `None` if the socket is not writable now.
fn write_to(
    stream: &mut impl Write,
    bytes: &[u8],
    written_bytes: &mut u64,
    metrics: &mut Metrics,
) -> Result<Option<usize>, WriteFailed> {
    loop {
        metrics.socket_writes_total += 1;
        return match stream.write(bytes) {
            Ok(0) => Err(WriteFailed),
            Ok(taken) => {
                metrics.bytes_out_total += taken as u64;
                *written_bytes += taken as u64;
                metrics.write_stalls_total += u64::from(taken < bytes.len());
                Ok(Some(taken))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                metrics.write_stalls_total += 1;
                Ok(None)
            }
            Err(_) => Err(WriteFailed),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn between_requests_the_keepalive_timeout_applies() {
        let keepalive_ms = 75_000;
        let is_late = |http: &Http, now_ms| http.is_late(now_ms, keepalive_ms);
        let unread = || Http { deadline_ms: 10_000, ..Http::default() };
        let idle = Http { was_answered: true, idle_since_ms: 2_000, ..unread() };
        assert!(!is_late(&idle, 10_000) && !is_late(&idle, 76_999) && is_late(&idle, 77_000));
        assert!(idle.is_late(3_000, 1_000), "a shorter timeout applies as well");
        let silent = unread();
        let mut half = unread();
        half.head.append(b"GET /");
        let mut further = Http { was_answered: true, ..unread() };
        further.head.append(b"GET /");
        for http in [silent, half, further] {
            assert!(!is_late(&http, 9_999) && is_late(&http, 10_000), "{http:?}");
        }
    }

    #[test]
    fn an_empty_write_succeeds() {
        let (mut connection, mut metrics) =
            (Connection::new(Cursor::new(Vec::new()), 0, 0), Metrics::default());
        // A ping queued after the replies of its iteration is flushed with them, so the queued write may find an empty outbox.
        connection.outbox.bytes().extend_from_slice(b"ping");
        assert_eq!(connection.write(b"frames", 0, &mut metrics), Ok(()));
        assert_eq!(connection.write(b"", 0, &mut metrics), Ok(()));
        assert_eq!(connection.stream.into_inner(), b"pingframes");
    }
}
