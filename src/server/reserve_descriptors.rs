//! Descriptors held back for the time when there are none left: each can be given up for a connection that is told so,
//! or, if it asks for the server's health, gets its answer. Without them such a connection could not even be refused.

use std::fs::File;

use mio::Token;

use crate::limits::{ACCEPT_PAUSE_MS, RESERVE_DESCRIPTOR_TIMEOUT_MS, RESERVE_DESCRIPTORS};

/// The spare descriptors, each held open on nothing or lent to a connection.
#[derive(Debug)]
pub(super) struct ReserveDescriptors {
    held: Vec<File>,
    /// Connections that live on a spare, and until when, in milliseconds of the loop's clock.
    lent: Vec<(Token, u64)>,
    /// Not before this moment are descriptors asked for again, in milliseconds of the loop's clock.
    refill_at_ms: u64,
}

impl ReserveDescriptors {
    /// Takes the descriptors, as far as there are any.
    pub fn new() -> Self {
        let mut reserve = Self { held: Vec::new(), lent: Vec::new(), refill_at_ms: 0 };
        reserve.refill(0);
        reserve
    }

    /// Gives one up, so that the kernel can use it for the next connection. False when all are gone.
    pub fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// A connection has what was given up.
    pub fn lend(&mut self, token: Token, now_ms: u64) {
        self.lent.push((token, now_ms + RESERVE_DESCRIPTOR_TIMEOUT_MS));
    }

    /// The connection is gone and its descriptor closed: takes it back at once.
    pub fn reclaim(&mut self, token: Token, now_ms: u64) {
        self.lent.retain(|&(lent, _)| lent != token);
        self.refill_at_ms = now_ms;
        self.refill(now_ms);
    }

    /// Connections on reserve.
    pub fn lent(&self) -> usize {
        self.lent.len()
    }

    /// A connection that has had its time, each once.
    pub fn next_expired(&mut self, now_ms: u64) -> Option<Token> {
        let (token, deadline_ms) = self.lent.iter_mut().find(|(_, deadline_ms)| now_ms >= *deadline_ms)?;
        *deadline_ms = u64::MAX;
        Some(*token)
    }

    /// Takes back what somebody else was quicker to get. Where there is none it is left alone for a while.
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
    fn all_spares_can_be_lent_once_and_come_back() {
        let mut reserve = ReserveDescriptors::new();
        for place in 0..RESERVE_DESCRIPTORS {
            assert!(reserve.release());
            reserve.lend(Token(place), place as u64);
        }
        assert!(!reserve.release());
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS - 1), None);
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), Some(Token(0)));
        assert_eq!(reserve.next_expired(RESERVE_DESCRIPTOR_TIMEOUT_MS), None, "each is told once");
        reserve.refill(1_000_000);
        assert!(!reserve.release(), "what is lent is not replaced");
        reserve.reclaim(Token(0), 0);
        assert_eq!(reserve.lent(), RESERVE_DESCRIPTORS - 1);
        assert!(reserve.release() && !reserve.release());
    }
}
