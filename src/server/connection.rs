//! One socket: what state it is in, what waits to be written to it, and when it was heard last.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;

use crate::limits::HTTP_HEAD_BYTES_MAX;
use crate::metrics::Metrics;
use crate::rate::RateLimiter;
use crate::wire::websocket::Session;

/// A connection from accept to reap.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact the kernel reported, true or not by itself"
)]
pub struct Connection {
    /// The socket, non-blocking.
    pub stream: TcpStream,
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
    pub is_listed: bool,
    /// It is in the list of connections to be read on with.
    pub is_unread: bool,
    /// When a frame of the peer arrived last, in milliseconds of the loop's clock.
    pub heard_ms: u64,
    /// When its present phase must be over; not used for players.
    pub deadline_ms: u64,
    /// Since when bytes wait for the peer to take them.
    pub stalled_since_ms: Option<u64>,
}

/// What a connection is at present. It only moves forward.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most connections are players, which a box would make no smaller"
)]
pub enum Phase {
    /// Speaks HTTP, perhaps to become a player. Holds what came of the next request's head.
    Http(Vec<u8>),
    /// A player.
    Player(Player),
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

/// A connection after the upgrade.
#[derive(Debug)]
pub struct Player {
    /// Its slot in the world.
    pub slot: u32,
    /// Its framing.
    pub session: Session,
    /// Its message allowance.
    pub limiter: RateLimiter,
    /// When it was pinged last, in milliseconds of the loop's clock.
    pub pinged_ms: u64,
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
pub struct Broken;

impl Connection {
    /// A connection just accepted.
    pub fn new(stream: TcpStream, now_ms: u64, deadline_ms: u64) -> Self {
        Self {
            stream,
            phase: Phase::Http(Vec::new()),
            outbox: Outbox::default(),
            readable: false,
            writable: true,
            hung_up: false,
            input_ended: false,
            is_listed: false,
            is_unread: false,
            heard_ms: now_ms,
            deadline_ms,
            stalled_since_ms: None,
        }
    }

    /// Whether to read from it now. A peer that does not take its replies is not read, so that replies are bounded by
    /// `replies_max` and what one read can cause; a half-closed one is read only to be drained. Requests are read on when
    /// the response before them has been taken.
    pub fn wants_input(&self, replies_max: usize) -> bool {
        match self.phase {
            Phase::Http(ref head) => self.outbox.is_empty() && head.len() < HTTP_HEAD_BYTES_MAX,
            Phase::Player(_) => self.outbox.len() < replies_max,
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

    /// Writes these bytes after whatever waits already; what the kernel does not take, waits.
    ///
    /// # Errors
    /// [`Broken`]: the connection is to be dropped.
    pub fn write(&mut self, bytes: &[u8], now_ms: u64, metrics: &mut Metrics) -> Result<(), Broken> {
        if !self.outbox.is_empty() || !self.writable {
            self.outbox.bytes.extend_from_slice(bytes);
            return if self.writable { self.flush(now_ms, metrics) } else { Ok(()) };
        }
        let taken = self.write_once(bytes, metrics)?;
        if taken < bytes.len() {
            self.outbox.bytes.extend_from_slice(&bytes[taken..]);
            self.stalled_since_ms.get_or_insert(now_ms);
        }
        Ok(())
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// [`Broken`]: the connection is to be dropped.
    pub fn flush(&mut self, now_ms: u64, metrics: &mut Metrics) -> Result<(), Broken> {
        while self.writable && !self.outbox.is_empty() {
            if let Some(taken) = write_to(&mut self.stream, self.outbox.next_chunk(), metrics)? {
                self.outbox.advance(taken);
                self.stalled_since_ms = None;
            } else {
                self.writable = false;
            }
        }
        if self.outbox.is_empty() {
            self.stalled_since_ms = None;
        } else {
            self.stalled_since_ms.get_or_insert(now_ms);
        }
        Ok(())
    }

    fn write_once(&mut self, bytes: &[u8], metrics: &mut Metrics) -> Result<usize, Broken> {
        let taken = write_to(&mut self.stream, bytes, metrics)?;
        self.writable = taken == Some(bytes.len());
        Ok(taken.unwrap_or(0))
    }
}

/// One write: the bytes taken, or `None` when the kernel takes none now.
fn write_to(stream: &mut impl Write, bytes: &[u8], metrics: &mut Metrics) -> Result<Option<usize>, Broken> {
    loop {
        metrics.socket_writes_total += 1;
        return match stream.write(bytes) {
            Ok(0) => Err(Broken),
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
            Err(_) => Err(Broken),
        };
    }
}

/// Capacity that an empty outbox keeps, in bytes: a few acks, so that active players don't allocate for each.
const CAPACITY_KEPT: usize = 256;

/// Bytes that wait to be written: small ones by value, and at most one file body by reference behind them.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Replies and frames; those before `cursor` are written.
    pub bytes: Vec<u8>,
    cursor: usize,
    body: Option<(Arc<[u8]>, usize)>,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |(body, cursor)| body.len() - cursor);
        self.bytes.len() - self.cursor + body
    }

    /// A body to be sent from where it lies, after the bytes. Nothing may be appended until it is sent.
    pub fn send_body(&mut self, body: Arc<[u8]>) {
        debug_assert!(self.body.is_none(), "one body at a time");
        self.body = Some((body, 0));
    }

    /// What is written next.
    pub fn next_chunk(&self) -> &[u8] {
        match &self.body {
            Some((body, cursor)) if self.cursor == self.bytes.len() => &body[*cursor..],
            _ => &self.bytes[self.cursor..],
        }
    }

    /// Forgets so many bytes of the next chunk: they are written.
    pub fn advance(&mut self, taken: usize) {
        if self.cursor < self.bytes.len() {
            self.cursor += taken;
        } else if let Some((_, cursor)) = &mut self.body {
            *cursor += taken;
        }
        if self.cursor == self.bytes.len() && self.cursor > 0 {
            self.cursor = 0;
            self.bytes.clear();
            if self.bytes.capacity() > CAPACITY_KEPT {
                self.bytes = Vec::new();
            }
        }
        if self.body.as_ref().is_some_and(|(body, cursor)| *cursor == body.len()) {
            self.body = None;
        }
    }
}

/// Ends our side of a connection, so that the peer sees the end after its last byte.
///
/// # Errors
/// When the peer is gone already.
pub fn end_our_side(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_gives_its_bytes_then_its_body_in_order_and_once() {
        let mut outbox = Outbox::default();
        outbox.bytes.extend_from_slice(b"head");
        outbox.send_body(Arc::from(*b"body"));
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let chunk = outbox.next_chunk();
            let taken = chunk.len().min(3);
            sent.extend_from_slice(&chunk[..taken]);
            outbox.advance(taken);
        }
        assert_eq!(sent, b"headbody");
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn a_large_outbox_gives_its_memory_back_once_it_is_empty() {
        let mut outbox = Outbox::default();
        outbox.bytes.extend_from_slice(&[0; 5000]);
        outbox.advance(5000);
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}
