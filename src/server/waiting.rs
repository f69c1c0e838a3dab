//! Who waits at the game's door, to become a player or for an answer, in the order in which they were heard last. Their
//! places are few; when all are taken, whoever has kept one the longest makes room, so that peers who never end their
//! requests can't keep the others out.

use std::collections::BTreeSet;

use mio::Token;

/// The connections at the game's door that are no players yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// By their deadlines, all equally long after the last that was heard of them.
    by_deadline: BTreeSet<(u64, Token)>,
    most: usize,
}

impl Waiting {
    /// Nobody yet, and this many places.
    pub fn new(most: usize) -> Self {
        Self { by_deadline: BTreeSet::new(), most }
    }

    /// From now on there are this many places. Nobody is sent away for it.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether nobody else may wait.
    pub fn is_full(&self) -> bool {
        self.by_deadline.len() >= self.most
    }

    /// Places, taken or not.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A connection takes a place, and is to be through by this moment of the loop's clock, in milliseconds.
    pub fn enter(&mut self, token: Token, deadline_ms: u64) {
        let is_new = self.by_deadline.insert((deadline_ms, token));
        debug_assert!(is_new, "a connection waits once");
    }

    /// It was heard, and has until later.
    pub fn renew(&mut self, token: Token, from_ms: u64, to_ms: u64) {
        if self.by_deadline.remove(&(from_ms, token)) {
            self.enter(token, to_ms);
        }
    }

    /// It waits no more. `deadline_ms` is the last that was said of it.
    pub fn leave(&mut self, token: Token, deadline_ms: u64) {
        let was_there = self.by_deadline.remove(&(deadline_ms, token));
        debug_assert!(was_there, "whoever leaves has entered");
    }

    /// Who has the earliest deadline, if that is no later than this.
    pub fn longest(&self, deadline_ms_max: u64) -> Option<Token> {
        let &(deadline_ms, token) = self.by_deadline.first()?;
        (deadline_ms <= deadline_ms_max).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_not_heard_for_longest_makes_room() {
        let mut waiting = Waiting::new(3);
        for (token, deadline_ms) in [(1, 10), (2, 10), (3, 12)] {
            assert!(!waiting.is_full());
            waiting.enter(Token(token), deadline_ms);
        }
        assert!(waiting.is_full());
        assert_eq!(waiting.longest(9), None);
        assert_eq!(waiting.longest(10), Some(Token(1)));
        waiting.renew(Token(1), 10, 20);
        assert_eq!(waiting.longest(10), Some(Token(2)));
        waiting.leave(Token(2), 10);
        assert!(!waiting.is_full());
        assert_eq!((waiting.longest(11), waiting.longest(99)), (None, Some(Token(3))));
    }

    #[test]
    fn operators_and_spares_have_no_place_to_renew() {
        let mut waiting = Waiting::new(1);
        waiting.renew(Token(1), 10, 20);
        assert!(!waiting.is_full());
    }
}
