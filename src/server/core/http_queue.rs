//! Connections with HTTP work, first come, first served. Each listener has a queue, and the two alternate: a
//! flood at one listener never delays the other.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::system::Listener;
use super::table::Token;

/// Alternates between the two listeners.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Alternation {
    was_admin: bool,
}

impl Alternation {
    /// Returns the listeners in the order to try them now.
    pub fn order(&self) -> [Listener; 2] {
        if self.was_admin { [Listener::Public, Listener::Admin] } else { [Listener::Admin, Listener::Public] }
    }

    /// Records that this listener was served.
    pub fn served(&mut self, listener: Listener) {
        self.was_admin = listener == Listener::Admin;
    }
}

/// One queue for each listener.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HttpQueue {
    public: VecDeque<Token>,
    admin: VecDeque<Token>,
    alternation: Alternation,
}

impl HttpQueue {
    /// Whether both queues are empty.
    pub fn is_empty(&self) -> bool {
        self.public.is_empty() && self.admin.is_empty()
    }

    /// Returns the number of queued connections.
    pub fn len(&self) -> usize {
        self.public.len() + self.admin.len()
    }

    /// Appends a connection to the queue of its listener.
    pub fn push(&mut self, listener: Listener, token: Token) {
        self.of(listener).push_back(token);
    }

    /// Removes and returns the next connection to serve.
    pub fn pop(&mut self) -> Option<Token> {
        for listener in self.alternation.order() {
            if let Some(token) = self.of(listener).pop_front() {
                self.alternation.served(listener);
                return Some(token);
            }
        }
        None
    }

    fn of(&mut self, listener: Listener) -> &mut VecDeque<Token> {
        match listener {
            Listener::Public => &mut self.public,
            Listener::Admin => &mut self.admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_alternate_and_their_connections_keep_their_order() {
        let mut queue = HttpQueue::default();
        for number in 0..3 {
            queue.push(Listener::Public, Token(number));
        }
        for number in 10..14 {
            queue.push(Listener::Admin, Token(number));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|token| token.0).collect();
        assert_eq!(order, [10, 0, 11, 1, 12, 2, 13]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_flood_at_one_listener_does_not_delay_the_other() {
        for (flooded, other) in [(Listener::Admin, Listener::Public), (Listener::Public, Listener::Admin)] {
            let mut queue = HttpQueue::default();
            queue.push(flooded, Token(0));
            assert_eq!(queue.pop(), Some(Token(0)));
            queue.push(flooded, Token(0));
            queue.push(other, Token(1));
            assert!([queue.pop(), queue.pop()].contains(&Some(Token(1))));
        }
    }
}
