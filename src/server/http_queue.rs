//! Connections with HTTP work, in the order of their visits. Each listener has a queue, and the two take alternation: operators
//! never wait behind a flood of the public, and the public never waits behind a flood of operators.

use std::collections::VecDeque;

use mio::Token;

use super::accept::Listener;

/// Which of the two listeners is first; they take alternation.
#[derive(Debug, Default)]
pub(super) struct Alternation {
    was_admin: bool,
}

impl Alternation {
    /// The listeners in the order in which they are asked now.
    pub fn order(&self) -> [Listener; 2] {
        if self.was_admin { [Listener::Public, Listener::Admin] } else { [Listener::Admin, Listener::Public] }
    }

    /// This listener had its turn.
    pub fn served(&mut self, listener: Listener) {
        self.was_admin = listener == Listener::Admin;
    }
}

/// The two queues.
#[derive(Debug, Default)]
pub(super) struct HttpQueue {
    public: VecDeque<Token>,
    admin: VecDeque<Token>,
    alternation: Alternation,
}

impl HttpQueue {
    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.public.is_empty() && self.admin.is_empty()
    }

    /// A connection of this listener waits behind all others of it.
    pub fn push(&mut self, listener: Listener, token: Token) {
        self.of(listener).push_back(token);
    }

    /// The next connection to visit.
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
    fn listeners_take_turns_and_connections_of_one_keep_their_order() {
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
    fn neither_listener_waits_behind_a_flood_of_the_other() {
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
