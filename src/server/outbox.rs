//! Bytes that wait for a peer to take them. Most connections have none at any time and pay a pointer.

use std::ops::Range;
use std::sync::Arc;

/// What waits to be written: small things by value, and at most one body, or part of one, by reference behind them.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Made when something must wait, gone when it is written.
    backlog: Option<Box<Backlog>>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Replies and frames; those before `cursor` are written.
    bytes: Vec<u8>,
    cursor: usize,
    /// The bytes of the body that wait.
    body: Option<(Arc<[u8]>, Range<usize>)>,
    /// Since when the peer has taken nothing, in milliseconds of the loop's clock.
    stalled_since_ms: Option<u64>,
    /// Since when the peer has not taken everything.
    backlog_since_ms: Option<u64>,
    /// By how many bytes the peer is behind the least rate, as of `deficit_updated_ms`: time adds to it, bytes taken pay it back.
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
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.backlog.as_deref().map_or(0, Backlog::len)
    }

    /// Where to append what is to be written, in front of any body.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.backlog.get_or_insert_default().bytes
    }

    /// Puts bytes before all that waits. Of what waits nothing may have been written, or a frame would be torn apart.
    pub fn prepend(&mut self, bytes: &[u8]) {
        let backlog = self.backlog.get_or_insert_default();
        debug_assert_eq!(backlog.cursor, 0, "what waits is untouched");
        backlog.bytes.splice(..0, bytes.iter().copied());
    }

    /// A part of a body to be sent from where it lies, after the bytes. Nothing may be appended until it is sent.
    ///
    /// # Panics
    /// If the part is not one of the body: here, and not when it is written.
    pub fn send_body(&mut self, body: Arc<[u8]>, part: Range<usize>) {
        assert!(part.start <= part.end && part.end <= body.len(), "{part:?} of {} bytes", body.len());
        let backlog = self.backlog.get_or_insert_default();
        debug_assert!(backlog.body.is_none(), "one body at a time");
        backlog.body = Some((body, part));
    }

    /// What is written next.
    pub fn next_chunk(&self) -> &[u8] {
        let Some(backlog) = &self.backlog else { return &[] };
        match &backlog.body {
            Some((body, part)) if backlog.cursor == backlog.bytes.len() => &body[part.clone()],
            _ => &backlog.bytes[backlog.cursor..],
        }
    }

    /// Forgets so many bytes of the next chunk: they are written, so the peer is alive.
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

    /// Notes that what waits can't be written now, if anything waits.
    pub fn note_stall(&mut self, now_ms: u64) {
        match &mut self.backlog {
            Some(backlog) if backlog.len() > 0 => {
                backlog.stalled_since_ms.get_or_insert(now_ms);
                if backlog.backlog_since_ms.is_none() {
                    (backlog.backlog_since_ms, backlog.deficit_updated_ms) = (Some(now_ms), now_ms);
                }
            }
            // Room for bytes was asked for, and none came.
            backlog => *backlog = None,
        }
    }

    /// Since when the peer has not taken all it was to be given, in milliseconds of the loop's clock.
    pub fn backlog_since_ms(&self) -> Option<u64> {
        self.backlog.as_deref()?.backlog_since_ms
    }

    /// By how many bytes the peer is behind this rate, in bytes a second. What it takes ahead of the rate is not saved up,
    /// so that bytes taken early buy no rest later.
    pub fn deficit_bytes(&mut self, rate_per_s: u32, now_ms: u64) -> u64 {
        let Some(backlog) = &mut self.backlog else { return 0 };
        if backlog.backlog_since_ms.is_none() {
            return 0;
        }
        let elapsed_ms = now_ms.saturating_sub(backlog.deficit_updated_ms);
        backlog.deficit_bytes += elapsed_ms * u64::from(rate_per_s) / 1_000;
        backlog.deficit_updated_ms = now_ms;
        backlog.deficit_bytes
    }

    /// Since when the peer has taken nothing of what waits, in milliseconds of the loop's clock.
    pub fn stalled_since_ms(&self) -> Option<u64> {
        self.backlog.as_deref()?.stalled_since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_gives_its_bytes_then_its_body_in_order_and_once() {
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
    fn a_stall_lasts_from_the_first_refusal_to_the_next_byte_taken() {
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
    fn a_reader_below_the_rate_falls_behind_and_one_above_it_saves_nothing_up() {
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
    fn an_empty_outbox_keeps_no_memory() {
        let mut outbox = Outbox::default();
        outbox.bytes().extend_from_slice(&[0; 5000]);
        outbox.advance(5000);
        assert!(outbox.backlog.is_none());
    }
}
