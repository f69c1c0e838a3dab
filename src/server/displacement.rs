//! The places of connections at a listener that are no players, and which of them makes room for a new one.
//!
//! What a connection *is* decides: first one that has been sent everything and only has to end, then an idle one kept
//! alive, then one whose request has not arrived whole, then one whose peer has taken nothing of its answer for
//! [`HTTP_PROGRESS_MS`]. An answer that makes progress never makes room. Among equals the oldest does: the longest idle,
//! the first accepted. There is no grace, so that a flood displaces itself.
//!
//! An address has a share of the places; at its bound its own connections make room, in the same order.
//!
//! Pure: time is passed in, in milliseconds of the loop's clock.

use std::collections::{BTreeSet, HashMap};

use mio::Token;

use crate::admission::Network;
use crate::limits::HTTP_PROGRESS_MS;

/// What a connection is, in the order in which places are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It has been sent everything, and our side is ended; since then.
    Ended,
    /// Its requests are answered; since the last byte of the last answer.
    Idle,
    /// Its request has not arrived whole; since it was accepted.
    Head,
    /// It has not been sent its whole answer; since it last took some of it.
    Answering,
}

/// The order in which places are given up.
type Order = BTreeSet<(Kind, u64, Token)>;

#[derive(Clone, Copy, Debug)]
struct Place {
    kind: Kind,
    since_ms: u64,
    network: Option<Network>,
}

/// All places. The two orders hold the same tokens, once each.
#[derive(Debug)]
pub(super) struct Places {
    taken: HashMap<Token, Place>,
    order: Order,
    by_network: HashMap<Network, Order>,
    most: usize,
}

impl Places {
    /// All are free, and there are this many.
    pub fn new(most: usize) -> Self {
        Self { taken: HashMap::new(), order: Order::new(), by_network: HashMap::new(), most }
    }

    /// From now on there are this many places. No connection is closed for it.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Places, taken or not.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Places taken.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether all places are taken.
    pub fn is_full(&self) -> bool {
        self.taken.len() >= self.most
    }

    /// Places that an address has taken.
    pub fn of(&self, network: Network) -> usize {
        self.by_network.get(&network).map_or(0, Order::len)
    }

    /// A connection that was just accepted takes a place, which counts for an address if that is known.
    pub fn enter(&mut self, token: Token, network: Option<Network>, now_ms: u64) {
        self.insert(token, Place { kind: Kind::Head, since_ms: now_ms, network });
    }

    /// A place counts for an address from now on.
    pub fn count_for(&mut self, token: Token, network: Network) {
        if let Some(place) = self.remove(token) {
            self.insert(token, Place { network: Some(network), ..place });
        }
    }

    /// What a connection is now; one without a place has none to change.
    pub fn set(&mut self, token: Token, kind: Kind, since_ms: u64) {
        let Some(&place) = self.taken.get(&token) else { return };
        if (place.kind, place.since_ms) != (kind, since_ms) {
            self.remove(token);
            self.insert(token, Place { kind, since_ms, ..place });
        }
    }

    /// What a connection is, if it has a place.
    pub fn kind(&self, token: Token) -> Option<Kind> {
        self.taken.get(&token).map(|place| place.kind)
    }

    /// A connection gives its place back, if it has one.
    pub fn leave(&mut self, token: Token) {
        self.remove(token);
    }

    /// The connection that makes room for another one, if any does.
    pub fn displaced(&self, now_ms: u64) -> Option<(Token, Kind)> {
        first(&self.order, now_ms)
    }

    /// The connection of an address that makes room for another one of it, if any does.
    pub fn displaced_of(&self, network: Network, now_ms: u64) -> Option<(Token, Kind)> {
        first(self.by_network.get(&network)?, now_ms)
    }

    fn insert(&mut self, token: Token, place: Place) {
        let entry = (place.kind, place.since_ms, token);
        self.order.insert(entry);
        if let Some(network) = place.network {
            self.by_network.entry(network).or_default().insert(entry);
        }
        self.taken.insert(token, place);
    }

    fn remove(&mut self, token: Token) -> Option<Place> {
        let place = self.taken.remove(&token)?;
        let entry = (place.kind, place.since_ms, token);
        self.order.remove(&entry);
        if let Some(network) = place.network
            && let Some(order) = self.by_network.get_mut(&network)
        {
            order.remove(&entry);
            if order.is_empty() {
                self.by_network.remove(&network);
            }
        }
        Some(place)
    }
}

fn first(order: &Order, now_ms: u64) -> Option<(Token, Kind)> {
    let &(kind, since_ms, token) = order.first()?;
    let makes_room = kind != Kind::Answering || now_ms.saturating_sub(since_ms) >= HTTP_PROGRESS_MS;
    makes_room.then_some((token, kind))
}

#[cfg(test)]
#[path = "displacement_tests.rs"]
mod tests;
