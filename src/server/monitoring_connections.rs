//! Places kept for questions about health and metrics, for the time when all others are taken by answers under way: a
//! connection in one of them gets one answer, and makes room for the next after [`HTTP_RESERVED_HOLD_MS`].

use std::collections::VecDeque;

use mio::Token;

use crate::limits::HTTP_RESERVED_HOLD_MS;

/// The kept places.
#[derive(Debug)]
pub(super) struct MonitoringConnections {
    /// The connections in them, the oldest first, and since when, in milliseconds of the loop's clock.
    taken: VecDeque<(Token, u64)>,
    capacity: usize,
}

impl MonitoringConnections {
    /// All are free, and there are this many.
    pub fn new(capacity: usize) -> Self {
        Self { taken: VecDeque::new(), capacity }
    }

    /// From now on there are this many. No connection is closed for it.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Whether all are taken.
    pub fn is_full(&self) -> bool {
        self.taken.len() >= self.capacity
    }

    /// A connection takes one.
    pub fn insert(&mut self, token: Token, now_ms: u64) {
        self.taken.push_back((token, now_ms));
    }

    /// A connection is gone.
    pub fn remove(&mut self, token: Token) {
        self.taken.retain(|&(taken, _)| taken != token);
    }

    /// The connection that has had its time and makes room, if any does.
    pub fn next_displaced(&self, now_ms: u64) -> Option<Token> {
        let &(token, since_ms) = self.taken.front()?;
        (now_ms.saturating_sub(since_ms) >= HTTP_RESERVED_HOLD_MS).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_once_it_has_had_its_time() {
        let mut connections = MonitoringConnections::new(2);
        connections.insert(Token(1), 0);
        assert!(!connections.is_full());
        connections.insert(Token(2), 50);
        assert!(connections.is_full());
        assert_eq!(connections.next_displaced(HTTP_RESERVED_HOLD_MS - 1), None);
        assert_eq!(connections.next_displaced(HTTP_RESERVED_HOLD_MS), Some(Token(1)));
        connections.remove(Token(1));
        assert_eq!((connections.is_full(), connections.next_displaced(HTTP_RESERVED_HOLD_MS)), (false, None));
    }
}
