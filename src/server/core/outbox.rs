//! Bytes queued for a peer. Most connections have none most of the time; they pay only for a pointer.

use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Outgoing queue: bytes by value, followed by at most one body, or a range of one, by reference.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outbox {
    /// Allocated while bytes are queued.
    backlog: Option<Box<Backlog>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Backlog {
    /// Replies and frames; the bytes before `cursor` have been written.
    bytes: Vec<u8>,
    cursor: usize,
    /// The range of a body that has not been written yet.
    #[serde(skip)]
    body: Option<(Arc<[u8]>, Range<usize>)>,
    /// Time since which the peer has taken nothing, in milliseconds of the loop's clock.
    stalled_since_ms: Option<u64>,
    /// Time since which the backlog has not been empty, in milliseconds of the loop's clock.
    since_ms: Option<u64>,
    /// Bytes by which the peer is behind the minimum rate, as of `deficit_updated_ms`. Elapsed time adds, taken bytes subtract.
    deficit_bytes: u64,
    deficit_updated_ms: u64,
}

impl Backlog {
    fn len(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |(_, part)| part.len());
        self.bytes.len() - self.cursor + body
    }
}

impl Outbox {
    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of queued bytes.
    pub fn len(&self) -> usize {
        self.backlog.as_deref().map_or(0, Backlog::len)
    }

    /// Returns the buffer to append to; its bytes precede any body.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.backlog.get_or_insert_default().bytes
    }

    /// Inserts bytes before the queued ones. None of those may have been written, or a frame would be split.
    pub fn prepend(&mut self, bytes: &[u8]) {
        let backlog = self.backlog.get_or_insert_default();
        debug_assert_eq!(backlog.cursor, 0, "no byte has been written");
        backlog.bytes.splice(..0, bytes.iter().copied());
    }

    /// Queues a range of a body by reference, after the bytes. Nothing may be appended until it is written.
    ///
    /// # Panics
    /// Panics if the range is out of bounds, so that a wrong range fails here and not when it is written.
    pub fn send_body(&mut self, body: Arc<[u8]>, part: Range<usize>) {
        assert!(part.start <= part.end && part.end <= body.len(), "{part:?} of {} bytes", body.len());
        let backlog = self.backlog.get_or_insert_default();
        debug_assert!(backlog.body.is_none(), "at most one body is queued");
        backlog.body = Some((body, part));
    }

    /// Returns the body that waits, and the range that has not been written.
    pub fn body(&self) -> Option<(&Arc<[u8]>, &Range<usize>)> {
        self.backlog.as_deref()?.body.as_ref().map(|(body, part)| (body, part))
    }

    /// Returns the bytes to write next.
    pub fn next_chunk(&self) -> &[u8] {
        let Some(backlog) = &self.backlog else { return &[] };
        match &backlog.body {
            Some((body, part)) if backlog.cursor == backlog.bytes.len() => &body[part.clone()],
            _ => &backlog.bytes[backlog.cursor..],
        }
    }

    /// Removes `taken` bytes of the next chunk, which the peer has taken. This ends a stall.
    pub fn advance(&mut self, taken: usize) {
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.cursor < backlog.bytes.len() {
            backlog.cursor += taken;
        } else if let Some((_, part)) = &mut backlog.body {
            part.start += taken;
        }
        backlog.stalled_since_ms = None;
        backlog.deficit_bytes = backlog.deficit_bytes.saturating_sub(taken as u64);
        if backlog.len() == 0 {
            self.backlog = None;
        }
    }

    /// Starts the clocks of a stall and of the backlog, if bytes are queued.
    pub fn note_stall(&mut self, now_ms: u64) {
        match &mut self.backlog {
            Some(backlog) if backlog.len() > 0 => {
                backlog.stalled_since_ms.get_or_insert(now_ms);
                if backlog.since_ms.is_none() {
                    (backlog.since_ms, backlog.deficit_updated_ms) = (Some(now_ms), now_ms);
                }
            }
            // A buffer was requested, but nothing was appended.
            backlog => *backlog = None,
        }
    }

    /// Returns the time since which the backlog has not been empty, in milliseconds of the loop's clock.
    pub fn backlog_since_ms(&self) -> Option<u64> {
        self.backlog.as_deref()?.since_ms
    }

    /// Returns the bytes by which the peer is behind this rate. Bytes taken early earn no credit.
    pub fn deficit_bytes(&mut self, rate_per_s: u32, now_ms: u64) -> u64 {
        let Some(backlog) = &mut self.backlog else { return 0 };
        if backlog.since_ms.is_none() {
            return 0;
        }
        let elapsed_ms = now_ms.saturating_sub(backlog.deficit_updated_ms);
        backlog.deficit_bytes += elapsed_ms * u64::from(rate_per_s) / 1_000;
        backlog.deficit_updated_ms = now_ms;
        backlog.deficit_bytes
    }

    /// Returns the time since which the peer has taken no queued bytes, in milliseconds of the loop's clock.
    pub fn stalled_since_ms(&self) -> Option<u64> {
        self.backlog.as_deref()?.stalled_since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_body_are_written_once_and_in_order() {
        let mut outbox = Outbox::default();
        outbox.bytes().extend_from_slice(b"head");
        outbox.send_body(Arc::from(*b"some bodyguard"), 5..9);
        outbox.prepend(b"ahead");
        assert_eq!(outbox.len(), 13);
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let chunk = outbox.next_chunk();
            let taken = chunk.len().min(3);
            sent.extend_from_slice(&chunk[..taken]);
            outbox.advance(taken);
        }
        assert_eq!(sent, b"aheadheadbody");
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn a_stall_lasts_until_the_next_byte_is_taken() {
        let mut outbox = Outbox::default();
        outbox.note_stall(5);
        assert!(outbox.bytes().is_empty());
        outbox.note_stall(5);
        assert_eq!(outbox.stalled_since_ms(), None, "nothing waits");
        outbox.bytes().extend_from_slice(b"bytes");
        outbox.note_stall(10);
        outbox.note_stall(20);
        assert_eq!(outbox.stalled_since_ms(), Some(10));
        outbox.advance(1);
        assert_eq!(outbox.stalled_since_ms(), None);
        outbox.note_stall(30);
        assert_eq!((outbox.stalled_since_ms(), outbox.backlog_since_ms()), (Some(30), Some(10)));
    }

    #[test]
    fn the_deficit_grows_with_time_and_never_becomes_credit() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.deficit_bytes(1_000, 5_000), 0, "nothing waits");
        outbox.send_body(vec![0; 1_000_000].into(), 0..1_000_000);
        outbox.note_stall(5_000);
        assert_eq!(outbox.deficit_bytes(1_000, 7_000), 2_000);
        outbox.advance(500);
        assert_eq!(outbox.deficit_bytes(1_000, 7_000), 1_500);
        outbox.advance(900_000);
        assert_eq!(outbox.deficit_bytes(1_000, 8_000), 1_000);
    }

    #[test]
    fn an_empty_outbox_holds_no_allocation() {
        let mut outbox = Outbox::default();
        outbox.bytes().extend_from_slice(&[0; 5000]);
        outbox.advance(5000);
        assert!(outbox.backlog.is_none());
    }
}
