//! One socket: what state it is in, what waits to be written to it, and when it was heard last.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::accept::Listener;
use super::deferred::Deferred;
use super::outbox::Outbox;
use super::socket::Socket;
use super::table::Entry;

use crate::admission::rate::RateLimiter;
use crate::ops::metrics::Metrics;
use crate::prefetch::prefetch;
use crate::sessions::SessionToken;
use crate::wire::http::RequestParser;
use crate::wire::websocket::Session;

/// A connection from accept to reap. What every write to a player needs is here and in one cache line; what only its
/// messages need is in a box. The memory of ten thousand connections is cold at each visit: the lines touched are the
/// price.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact the kernel reported, true or not by itself"
)]
pub struct Connection<S = Socket> {
    /// The socket, non-blocking.
    pub stream: S,
    /// What it is at present.
    pub phase: Phase,
    /// What the peer has not been handed yet.
    pub outbox: Outbox,
    /// The kernel may have bytes for us; cleared when it has none.
    pub readable: bool,
    /// The kernel may take bytes from us; cleared when it takes none.
    pub writable: bool,
    /// The peer has ended its side, or the socket failed: a read will say which.
    pub hung_up: bool,
    /// A read has met the end of what the peer sends.
    pub input_ended: bool,
    /// It is in the list of connections with fresh replies.
    pub is_write_queued: bool,
    /// It is in a list of connections to go on with: the game's, or the queue of HTTP.
    pub is_read_queued: bool,
    /// Where it came in.
    pub listener: Listener,
    /// What it lives on.
    pub class: ConnectionClass,
    /// When its present phase must be over; not used for players.
    pub deadline_ms: u64,
}

const _: () = assert!(size_of::<Option<Entry<Connection>>>() == 64, "a connection fits a cache line");

/// What a connection lives on, and so what it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionClass {
    /// A place like any other: everything.
    Regular,
    /// A place kept for questions about health and metrics: one answer.
    Monitoring,
    /// A spare descriptor: one answer about health, and not long to take it.
    ReserveDescriptor,
}

/// A connection that speaks HTTP.
#[derive(Debug, Default)]
pub struct Http {
    /// What has arrived of further requests.
    pub head: RequestParser,
    /// A request was answered.
    pub was_answered: bool,
    /// When the connection was accepted, and when the last byte of its last answer was written, in milliseconds of the
    /// loop's clock.
    pub accepted_ms: u64,
    /// See `accepted_ms`.
    pub idle_since_ms: u64,
}

impl Http {
    /// Whether all of its requests are answered, and nothing of another one has arrived.
    pub fn is_between_requests(&self) -> bool {
        self.was_answered && self.head.is_empty()
    }

    /// Whether it has had its time: between requests that of an idle connection, otherwise that of a head.
    pub fn is_late(&self, now_ms: u64, head_deadline_ms: u64, keepalive_ms: u64) -> bool {
        if self.is_between_requests() {
            now_ms.saturating_sub(self.idle_since_ms) >= keepalive_ms
        } else {
            now_ms >= head_deadline_ms
        }
    }
}

/// What a connection is at present. It only moves forward.
#[derive(Debug)]
pub enum Phase {
    /// Speaks HTTP, perhaps to become a player.
    Http(Box<Http>),
    /// A player.
    Player {
        /// Its slot in the world.
        slot: u32,
        /// What only its messages need.
        player: Box<Player>,
    },
    /// Nothing it sends counts any more; it gets its last bytes, then the end of our side, then is drained.
    Closing {
        /// Our side is ended.
        half_closed: bool,
        /// It was a player, so that a shutdown waits for it.
        was_player: bool,
    },
    /// About to be reaped.
    Dead,
}

/// The reading side of a connection after the upgrade.
#[derive(Debug)]
pub struct Player {
    /// When a frame of the peer arrived last, in milliseconds of the loop's clock.
    pub last_frame_ms: u64,
    /// Its framing.
    pub websocket: Session,
    /// Its message allowance.
    pub limiter: RateLimiter,
    /// What waits for that.
    pub deferred: Deferred,
    /// When it was pinged last, in milliseconds of the loop's clock.
    pub last_ping_ms: u64,
    /// Since when its client may not have its token, in milliseconds of the loop's clock: until its first frame.
    pub unconfirmed_since_ms: Option<u64>,
    /// What it shows when it comes back; none when nothing is remembered.
    pub session_token: Option<SessionToken>,
    /// When it was written down last, in milliseconds of the loop's clock.
    pub last_saved_ms: u64,
}

impl Player {
    /// Calls what every message needs near the processor.
    pub fn prefetch(&self) {
        prefetch(&self.last_frame_ms);
        prefetch(&self.limiter);
        prefetch(&self.deferred);
        self.websocket.prefetch();
    }
}

/// What came of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes; there may be more when the buffer is full.
    Bytes(usize),
    /// Nothing for now.
    Empty,
    /// The peer has ended its side.
    End,
    /// The socket failed.
    Failed,
}

/// The socket failed while writing.
#[derive(Debug, PartialEq, Eq)]
pub struct WriteFailed;

impl<S: Read + Write> Connection<S> {
    /// A connection just accepted.
    pub fn new(stream: S, deadline_ms: u64) -> Self {
        Self {
            stream,
            phase: Phase::Http(Box::default()),
            outbox: Outbox::default(),
            readable: false,
            writable: true,
            hung_up: false,
            input_ended: false,
            is_write_queued: false,
            is_read_queued: false,
            listener: Listener::Public,
            class: ConnectionClass::Regular,
            deadline_ms,
        }
    }

    /// Whether it belongs to the game: a player, or one that is being sent away.
    pub fn is_websocket(&self) -> bool {
        matches!(self.phase, Phase::Player { .. } | Phase::Closing { was_player: true, .. })
    }

    /// Whether to read from it now. A peer that does not take its replies is not read, so that replies are bounded by
    /// `replies_max` and what one read can cause; a half-closed one is read only to be drained. Requests are read on when
    /// the response before them has been taken.
    pub fn wants_input(&self, replies_max: usize) -> bool {
        match self.phase {
            Phase::Http(ref http) => self.outbox.is_empty() && !http.head.is_full(),
            Phase::Player { .. } => self.outbox.len() < replies_max,
            Phase::Closing { .. } => true,
            Phase::Dead => false,
        }
    }

    /// Reads once. The flags `readable` and `hung_up` follow from what the kernel said.
    pub fn read(&mut self, buffer: &mut [u8], metrics: &mut Metrics) -> ReadOutcome {
        loop {
            metrics.socket_reads_total += 1;
            return match self.stream.read(buffer) {
                Ok(0) => ReadOutcome::End,
                Ok(count) => {
                    metrics.bytes_in_total += count as u64;
                    // A short read means drained, unless the end of the stream is already behind it: data and FIN in
                    // one edge bring no second event.
                    self.readable = count == buffer.len() || self.hung_up;
                    ReadOutcome::Bytes(count)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    ReadOutcome::Empty
                }
                Err(_) => ReadOutcome::Failed,
            };
        }
    }

    /// Whether bytes written now would go straight to the kernel.
    pub fn is_write_ready(&self) -> bool {
        self.writable && self.outbox.is_empty()
    }

    /// Writes these bytes after whatever waits already; what the kernel does not take, waits. No bytes are no write: a
    /// player on the list of those to be written to may have been handed everything meanwhile.
    ///
    /// # Errors
    /// [`WriteFailed`]: the connection is to be dropped.
    pub fn write(&mut self, bytes: &[u8], now_ms: u64, metrics: &mut Metrics) -> Result<(), WriteFailed> {
        if !self.is_write_ready() {
            self.outbox.bytes().extend_from_slice(bytes);
            return self.flush(now_ms, metrics);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let taken = write_to(&mut self.stream, bytes, metrics)?;
        self.writable = taken.is_some();
        if taken == Some(bytes.len()) {
            return Ok(());
        }
        self.outbox.bytes().extend_from_slice(&bytes[taken.unwrap_or(0)..]);
        self.flush(now_ms, metrics)
    }

    /// Writes what waits up to some bytes, as far as the kernel takes it. Returns how many it took.
    ///
    /// # Errors
    /// [`WriteFailed`]: the connection is to be dropped.
    pub fn flush_some(
        &mut self,
        most: usize,
        now_ms: u64,
        metrics: &mut Metrics,
    ) -> Result<usize, WriteFailed> {
        let mut written = 0;
        while written < most && self.writable && !self.outbox.is_empty() {
            let chunk = self.outbox.next_chunk();
            let chunk = &chunk[..chunk.len().min(most - written)];
            match write_to(&mut self.stream, chunk, metrics)? {
                Some(taken) => {
                    self.outbox.advance(taken);
                    written += taken;
                }
                None => self.writable = false,
            }
        }
        self.outbox.note_stall(now_ms);
        Ok(written)
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// [`WriteFailed`]: the connection is to be dropped.
    pub fn flush(&mut self, now_ms: u64, metrics: &mut Metrics) -> Result<(), WriteFailed> {
        while self.writable && !self.outbox.is_empty() {
            match write_to(&mut self.stream, self.outbox.next_chunk(), metrics)? {
                Some(taken) => self.outbox.advance(taken),
                None => self.writable = false,
            }
        }
        self.outbox.note_stall(now_ms);
        Ok(())
    }
}

/// One write: the bytes taken, or `None` when the kernel takes none now.
fn write_to(
    stream: &mut impl Write,
    bytes: &[u8],
    metrics: &mut Metrics,
) -> Result<Option<usize>, WriteFailed> {
    loop {
        metrics.socket_writes_total += 1;
        return match stream.write(bytes) {
            Ok(0) => Err(WriteFailed),
            Ok(taken) => {
                metrics.bytes_out_total += taken as u64;
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

/// Ends our side of a connection, so that the peer sees the end after its last byte.
///
/// # Errors
/// When the peer is gone already.
pub fn shut_down_write(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn an_idle_connection_has_another_time_than_a_head() {
        let (head_deadline_ms, keepalive_ms) = (10_000, 75_000);
        let is_late = |http: &Http, now_ms| http.is_late(now_ms, head_deadline_ms, keepalive_ms);
        let idle = Http { was_answered: true, idle_since_ms: 2_000, ..Http::default() };
        assert!(!is_late(&idle, 10_000) && !is_late(&idle, 76_999) && is_late(&idle, 77_000));
        assert!(idle.is_late(3_000, head_deadline_ms, 1_000), "a shorter one as well");
        let silent = Http::default();
        let mut half = Http::default();
        half.head.append(b"GET /");
        let mut further = Http { was_answered: true, ..Http::default() };
        further.head.append(b"GET /");
        for http in [silent, half, further] {
            assert!(!is_late(&http, 9_999) && is_late(&http, 10_000), "{http:?}");
        }
    }

    #[test]
    fn nothing_to_write_breaks_nothing() {
        let (mut connection, mut metrics) = (Connection::new(Cursor::new(Vec::new()), 0), Metrics::default());
        // A ping is queued after the replies of its turn and goes out with a flush; when the ping's own moment comes,
        // there may be nothing left.
        connection.outbox.bytes().extend_from_slice(b"ping");
        assert_eq!(connection.write(b"frames", 0, &mut metrics), Ok(()));
        assert_eq!(connection.write(b"", 0, &mut metrics), Ok(()));
        assert_eq!(connection.stream.into_inner(), b"pingframes");
    }
}
