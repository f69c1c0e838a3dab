//! File descriptors held in reserve for exhaustion. Releasing one lets the server accept a connection, answer
//! its health check or refuse it with a response, and close it. Without the reserve such a connection could not
//! even be refused.

use std::fs::File;

use mio::Token;

use crate::limits::{ACCEPT_PAUSE_MS, RESERVE_DESCRIPTOR_TIMEOUT_MS, RESERVE_DESCRIPTORS};

/// The reserve descriptors, each open on `/dev/null` or lent to a connection.
#[derive(Debug)]
pub(super) struct ReserveDescriptors {
    held: Vec<File>,
    /// Connections on a reserve descriptor, with their deadlines in milliseconds of the loop's clock.
    lent: Vec<(Token, u64)>,
    /// Earliest time of the next attempt to reopen, in milliseconds of the loop's clock.
    refill_at_ms: u64,
}

impl ReserveDescriptors {
    /// Opens the descriptors, as far as the limit allows.
    pub fn new() -> Self {
        let mut reserve = Self { held: Vec::new(), lent: Vec::new(), refill_at_ms: 0 };
        reserve.refill(0);
        reserve
    }

    /// Closes a descriptor, so that the kernel can use it for the next connection. Returns `false` if none is left.
    pub fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// Records that a connection uses the released descriptor.
    pub fn lend(&mut self, token: Token, now_ms: u64) {
        self.lent.push((token, now_ms + RESERVE_DESCRIPTOR_TIMEOUT_MS));
    }

    /// Reopens the descriptor of a closed connection immediately.
    pub fn reclaim(&mut self, token: Token, now_ms: u64) {
        self.lent.retain(|&(lent, _)| lent != token);
        self.refill_at_ms = now_ms;
        self.refill(now_ms);
    }

    /// Returns the number of connections on reserve descriptors.
    pub fn lent(&self) -> usize {
        self.lent.len()
    }

    /// Returns a connection past its deadline. Each connection is returned once.
    pub fn next_expired(&mut self, now_ms: u64) -> Option<Token> {
        let (token, deadline_ms) = self.lent.iter_mut().find(|(_, deadline_ms)| now_ms >= *deadline_ms)?;
        *deadline_ms = u64::MAX;
        Some(*token)
    }

    /// Reopens missing descriptors. After a failure, waits for [`ACCEPT_PAUSE_MS`] before the next attempt.
    pub fn refill(&mut self, now_ms: u64) {
        while self.held.len() + self.lent.len() < RESERVE_DESCRIPTORS && now_ms >= self.refill_at_ms {
            match File::open("/dev/null") {
                Ok(file) => self.held.push(file),
                Err(_) => self.refill_at_ms = now_ms + ACCEPT_PAUSE_MS,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_can_be_lent_once_and_reclaimed() {
        let mut reserve = ReserveDescriptors::new();
        for number in 0..RESERVE_DESCRIPTORS {
            assert!(reserve.release());
            reserve.lend(Token(number), number as u64);
        }
        assert!(!reserve.release());
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS - 1), None);
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), Some(Token(0)));
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), None, "each is returned once");
        reserve.refill(1_000_000);
        assert!(!reserve.release(), "a lent descriptor is not replaced");
        reserve.reclaim(Token(0), 0);
        assert_eq!(reserve.lent(), RESERVE_DESCRIPTORS - 1);
        assert!(reserve.release() && !reserve.release());
    }
}
