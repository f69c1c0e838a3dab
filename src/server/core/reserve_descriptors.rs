//! File descriptors held in reserve for exhaustion. Releasing one lets the server accept a connection, answer its health
//! check or refuse it with a response, and close it. Without the reserve such a connection could not even be refused.

use arrayvec::ArrayVec;

use serde::{Deserialize, Serialize};

use super::table::Token;
use crate::limits::{ACCEPT_PAUSE_MS, RESERVE_DESCRIPTOR_TIMEOUT_MS, RESERVE_DESCRIPTORS};

/// The reserve descriptors, each held open by the system or lent to a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReserveDescriptors {
    held: usize,
    /// Connections on a reserve descriptor, with their deadlines in milliseconds of the loop's clock.
    lent: ArrayVec<(Token, u64), RESERVE_DESCRIPTORS>,
    /// Earliest time of the next attempt to reopen, in milliseconds of the loop's clock.
    refill_at_ms: u64,
}

impl ReserveDescriptors {
    /// Continues in another process, which holds none yet.
    pub fn resume(&mut self) {
        self.held = 0;
    }

    /// Creates an empty reserve.
    pub fn new() -> Self {
        Self { held: 0, lent: ArrayVec::new(), refill_at_ms: 0 }
    }

    /// Takes a descriptor, which the caller closes for the next connection. Returns `false` if none is left.
    pub fn release(&mut self) -> bool {
        let is_held = self.held > 0;
        self.held -= usize::from(is_held);
        is_held
    }

    /// Records that a connection uses the released descriptor.
    pub fn lend(&mut self, token: Token, now_ms: u64) {
        self.lent.push((token, now_ms + RESERVE_DESCRIPTOR_TIMEOUT_MS));
    }

    /// Records that a connection has closed, so that its descriptor can be reopened immediately.
    pub fn reclaim(&mut self, token: Token, now_ms: u64) {
        self.lent.retain(|(lent, _)| *lent != token);
        self.refill_at_ms = now_ms;
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
    pub fn refill(&mut self, now_ms: u64, mut open: impl FnMut() -> bool) {
        while self.held + self.lent.len() < RESERVE_DESCRIPTORS && now_ms >= self.refill_at_ms {
            if open() {
                self.held += 1;
            } else {
                self.refill_at_ms = now_ms + ACCEPT_PAUSE_MS;
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
        reserve.refill(0, || true);
        for number in 0..RESERVE_DESCRIPTORS {
            assert!(reserve.release());
            reserve.lend(Token(number), number as u64);
        }
        assert!(!reserve.release());
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS - 1), None);
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), Some(Token(0)));
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), None, "each is returned once");
        reserve.refill(1_000_000, || true);
        assert!(!reserve.release(), "a lent descriptor is not replaced");
        reserve.reclaim(Token(0), 0);
        reserve.refill(0, || true);
        assert_eq!(reserve.lent(), RESERVE_DESCRIPTORS - 1);
        assert!(reserve.release() && !reserve.release());
    }
}
