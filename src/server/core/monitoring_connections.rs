//! Connections reserved for monitoring: requests to `/health` and `/metrics` while all other HTTP connections
//! are being answered. Each connection gets one response, and a newer one may displace it after
//! [`HTTP_RESERVED_HOLD_MS`].

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::table::Token;
use crate::limits::HTTP_RESERVED_HOLD_MS;

/// The monitoring connections.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MonitoringConnections {
    /// Open connections, the oldest first, with their time of accept in milliseconds of the loop's clock.
    connections: VecDeque<(Token, u64)>,
    capacity: usize,
}

impl MonitoringConnections {
    /// Creates an empty set with this capacity.
    pub fn new(capacity: usize) -> Self {
        Self { connections: VecDeque::new(), capacity }
    }

    /// Changes the capacity. Closes no connection.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Whether the capacity is used up.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= self.capacity
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Adds a connection that was just accepted.
    pub fn insert(&mut self, token: Token, now_ms: u64) {
        self.connections.push_back((token, now_ms));
    }

    /// Removes a closed connection. Ignores unknown tokens.
    pub fn remove(&mut self, token: Token) {
        self.connections.retain(|&(known, _)| known != token);
    }

    /// Returns the connection to close for a new one; `None` if all are younger than the hold time.
    pub fn next_displaced(&self, now_ms: u64) -> Option<Token> {
        let &(token, since_ms) = self.connections.front()?;
        (now_ms.saturating_sub(since_ms) >= HTTP_RESERVED_HOLD_MS).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_displaced_after_the_hold_time() {
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
