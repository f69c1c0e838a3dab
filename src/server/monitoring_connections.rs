//! Places kept for questions about health and metrics, for the time when all others are taken by answers under way: a
//! connection in one of them gets one answer, and makes room for the next after [`HTTP_RESERVED_HOLD_MS`].

use std::collections::VecDeque;

use mio::Token;

use crate::limits::HTTP_RESERVED_HOLD_MS;

/// The kept places.
#[derive(Debug)]
pub(super) struct Reserve {
    /// The connections in them, the oldest first, and since when, in milliseconds of the loop's clock.
    taken: VecDeque<(Token, u64)>,
    most: usize,
}

impl Reserve {
    /// All are free, and there are this many.
    pub fn new(most: usize) -> Self {
        Self { taken: VecDeque::new(), most }
    }

    /// From now on there are this many. No connection is closed for it.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether all are taken.
    pub fn is_full(&self) -> bool {
        self.taken.len() >= self.most
    }

    /// A connection takes one.
    pub fn enter(&mut self, token: Token, now_ms: u64) {
        self.taken.push_back((token, now_ms));
    }

    /// A connection is gone.
    pub fn leave(&mut self, token: Token) {
        self.taken.retain(|&(taken, _)| taken != token);
    }

    /// The connection that has had its time and makes room, if any does.
    pub fn displaced(&self, now_ms: u64) -> Option<Token> {
        let &(token, since_ms) = self.taken.front()?;
        (now_ms.saturating_sub(since_ms) >= HTTP_RESERVED_HOLD_MS).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_once_it_has_had_its_time() {
        let mut reserve = Reserve::new(2);
        reserve.enter(Token(1), 0);
        assert!(!reserve.is_full());
        reserve.enter(Token(2), 50);
        assert!(reserve.is_full());
        assert_eq!(reserve.displaced(HTTP_RESERVED_HOLD_MS - 1), None);
        assert_eq!(reserve.displaced(HTTP_RESERVED_HOLD_MS), Some(Token(1)));
        reserve.leave(Token(1));
        assert_eq!((reserve.is_full(), reserve.displaced(HTTP_RESERVED_HOLD_MS)), (false, None));
    }
}
