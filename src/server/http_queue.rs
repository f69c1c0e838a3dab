//! Connections with HTTP work, in the order of their visits. Each listener has a queue, and the two take turns: operators
//! never wait behind a flood of the public, and the public never waits behind a flood of operators.

use std::collections::VecDeque;

use mio::Token;

use super::accept::Door;

/// Which of the two listeners is first; they take turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    was_admin: bool,
}

impl Turns {
    /// The listeners in the order in which they are asked now.
    pub fn order(&self) -> [Door; 2] {
        if self.was_admin { [Door::Game, Door::Admin] } else { [Door::Admin, Door::Game] }
    }

    /// This listener had its turn.
    pub fn took(&mut self, door: Door) {
        self.was_admin = door == Door::Admin;
    }
}

/// The two queues.
#[derive(Debug, Default)]
pub(super) struct HttpQueue {
    game: VecDeque<Token>,
    admin: VecDeque<Token>,
    turns: Turns,
}

impl HttpQueue {
    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.game.is_empty() && self.admin.is_empty()
    }

    /// A connection of this listener waits behind all others of it.
    pub fn push(&mut self, door: Door, token: Token) {
        self.of(door).push_back(token);
    }

    /// The next connection to visit.
    pub fn pop(&mut self) -> Option<Token> {
        for door in self.turns.order() {
            if let Some(token) = self.of(door).pop_front() {
                self.turns.took(door);
                return Some(token);
            }
        }
        None
    }

    fn of(&mut self, door: Door) -> &mut VecDeque<Token> {
        match door {
            Door::Game => &mut self.game,
            Door::Admin => &mut self.admin,
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
            queue.push(Door::Game, Token(number));
        }
        for number in 10..14 {
            queue.push(Door::Admin, Token(number));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|token| token.0).collect();
        assert_eq!(order, [10, 0, 11, 1, 12, 2, 13]);
        assert!(queue.is_empty());
    }

    #[test]
    fn neither_listener_waits_behind_a_flood_of_the_other() {
        for (flooded, other) in [(Door::Admin, Door::Game), (Door::Game, Door::Admin)] {
            let mut queue = HttpQueue::default();
            queue.push(flooded, Token(0));
            assert_eq!(queue.pop(), Some(Token(0)));
            queue.push(flooded, Token(0));
            queue.push(other, Token(1));
            assert!([queue.pop(), queue.pop()].contains(&Some(Token(1))));
        }
    }
}
