//! HTTP connections at a listener, and the choice of the one to close when a new one needs room.
//!
//! Connections are displaced in this order:
//!
//! 1. a lingering connection, whose output is complete and which only waits for the peer to close;
//! 2. an idle keep-alive connection;
//! 3. a connection whose request is incomplete;
//! 4. a connection whose peer has read nothing of its response for [`HTTP_PROGRESS_MS`].
//!
//! A connection whose response makes progress is never displaced. Among equals the oldest goes first: the
//! longest idle, or the first accepted. No connection has a grace period, so that a flood displaces itself.
//!
//! Each address may hold a bounded number of these connections; beyond it, it displaces its own.
//!
//! Pure: time is passed in, in milliseconds of the loop's clock.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

use super::table::Token;
use crate::admission::Network;
use crate::limits::HTTP_PROGRESS_MS;

/// Activity of an HTTP connection, in the order of displacement. Each has a start time, given below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Activity {
    /// Everything is sent and the server's side is shut down. Starts with that shutdown.
    Lingering,
    /// All requests are answered. Starts with the last byte of the last response.
    Idle,
    /// The request is incomplete. Starts with the accept.
    ReadingHead,
    /// The response is not completely sent. Starts whenever the peer takes a part of it.
    Answering,
}

/// Connections in the order of displacement.
type Order = BTreeSet<(Activity, u64, Token)>;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    activity: Activity,
    since_ms: u64,
    network: Option<Network>,
}

/// The HTTP connections at a listener.
///
/// Invariant: `by_token` and `order` hold the same tokens once; `by_network` those with a known network.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HttpConnections {
    by_token: HashMap<Token, Entry>,
    order: Order,
    by_network: HashMap<Network, Order>,
    capacity: usize,
}

impl HttpConnections {
    /// Creates an empty set with this capacity.
    pub fn new(capacity: usize) -> Self {
        Self { by_token: HashMap::new(), order: Order::new(), by_network: HashMap::new(), capacity }
    }

    /// Changes the capacity. Closes no connection.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Returns the maximum number of connections.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Whether the capacity is used up.
    pub fn is_full(&self) -> bool {
        self.by_token.len() >= self.capacity
    }

    /// Returns the number of connections that an address holds.
    pub fn count_of(&self, network: Network) -> usize {
        self.by_network.get(&network).map_or(0, Order::len)
    }

    /// Adds a connection that was just accepted. If its address is known, it counts for that address.
    pub fn insert(&mut self, token: Token, network: Option<Network>, now_ms: u64) {
        self.insert_entry(token, Entry { activity: Activity::ReadingHead, since_ms: now_ms, network });
    }

    /// Counts a connection for an address from now on.
    pub fn set_network(&mut self, token: Token, network: Network) {
        if let Some(entry) = self.remove_entry(token) {
            self.insert_entry(token, Entry { network: Some(network), ..entry });
        }
    }

    /// Updates the activity of a connection. Ignores unknown tokens.
    pub fn set_activity(&mut self, token: Token, activity: Activity, since_ms: u64) {
        let Some(&entry) = self.by_token.get(&token) else { return };
        if (entry.activity, entry.since_ms) != (activity, since_ms) {
            self.remove_entry(token);
            self.insert_entry(token, Entry { activity, since_ms, ..entry });
        }
    }

    /// Returns the activity of a connection, if it is present.
    pub fn activity(&self, token: Token) -> Option<Activity> {
        self.by_token.get(&token).map(|entry| entry.activity)
    }

    /// Removes a connection. Ignores unknown tokens.
    pub fn remove(&mut self, token: Token) {
        self.remove_entry(token);
    }

    /// Returns the connection to close for a new one; `None` when all are being answered and make progress.
    pub fn next_displaced(&self, now_ms: u64) -> Option<(Token, Activity)> {
        first(&self.order, now_ms)
    }

    /// Returns the connection to close for another one from this address, as [`HttpConnections::next_displaced`].
    pub fn next_displaced_of(&self, network: Network, now_ms: u64) -> Option<(Token, Activity)> {
        first(self.by_network.get(&network)?, now_ms)
    }

    fn insert_entry(&mut self, token: Token, entry: Entry) {
        let key = (entry.activity, entry.since_ms, token);
        self.order.insert(key);
        if let Some(network) = entry.network {
            self.by_network.entry(network).or_default().insert(key);
        }
        self.by_token.insert(token, entry);
    }

    fn remove_entry(&mut self, token: Token) -> Option<Entry> {
        let entry = self.by_token.remove(&token)?;
        let key = (entry.activity, entry.since_ms, token);
        self.order.remove(&key);
        if let Some(network) = entry.network
            && let Some(order) = self.by_network.get_mut(&network)
        {
            order.remove(&key);
            if order.is_empty() {
                self.by_network.remove(&network);
            }
        }
        Some(entry)
    }
}

fn first(order: &Order, now_ms: u64) -> Option<(Token, Activity)> {
    let &(activity, since_ms, token) = order.first()?;
    let is_displaceable =
        activity != Activity::Answering || now_ms.saturating_sub(since_ms) >= HTTP_PROGRESS_MS;
    is_displaceable.then_some((token, activity))
}

#[cfg(test)]
#[path = "displacement_tests.rs"]
mod tests;
