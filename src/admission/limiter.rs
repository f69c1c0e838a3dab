//! Limits by address: concurrent connections, and connections opened per second.
//!
//! Concurrent connections are counted exactly. Only an address with a connection has a counter, so there are
//! never more counters than connections. Rates use [`Buckets`], whose memory is bounded.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::buckets::{Buckets, Rate, RateExceeded};
use super::{Client, Network};

/// The limits of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLimits {
    /// Concurrent connections; 0 is unlimited.
    pub connections_max: u32,
    /// Whether clients on this machine may hold any number of connections.
    pub exempts_loopback: bool,
    /// Rate at which connections may be opened.
    pub rate: Rate,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address has reached its limit of concurrent connections.
    TooManyConnections,
    /// The address opens connections faster than its rate allows.
    RateExceeded {
        /// Time until the next connection is allowed, in whole seconds, at least 1.
        retry_after_s: u64,
    },
}

/// A counted connection of an address, until it is returned to [`AddressLimiter::release`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a permit that is never released counts forever"]
pub struct Permit(Network);

/// A connection above the limit of its address, until it is returned to [`AddressLimiter::release_takeover`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a takeover permit that is never released blocks the next one of its address"]
pub struct TakeoverPermit(Network);

/// The limits of all addresses. Time is passed in, in nanoseconds of any monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct AddressLimiter {
    limits: AddressLimits,
    /// Concurrent connections by address. No entry is 0.
    held: HashMap<Network, u32>,
    /// Connections of addresses to other processes that share the port, as last known.
    elsewhere: HashMap<Network, u32>,
    /// Addresses with one connection above their limit.
    takeovers: HashSet<Network>,
    opened: Buckets,
}

impl Permit {
    /// Returns the address that it counts for.
    pub fn network(&self) -> Network {
        self.0
    }
}

impl TakeoverPermit {
    /// Whether the connection of `permit` comes from the same address.
    pub fn is_for_same_address(&self, permit: &Permit) -> bool {
        self.0 == permit.0
    }
}

impl AddressLimiter {
    /// Creates a limiter without connections. The seed keeps clients from choosing addresses that share a set.
    pub fn new(limits: AddressLimits, seed: u64) -> Self {
        Self {
            limits,
            held: HashMap::new(),
            elsewhere: HashMap::new(),
            takeovers: HashSet::new(),
            opened: Buckets::new(seed),
        }
    }

    /// Admits and counts a connection that opens now.
    ///
    /// # Errors
    /// The connection exceeds a limit and is not counted.
    pub fn admit(&mut self, client: Client, now_ns: u64) -> Result<Permit, Refusal> {
        let network = Network::of(client.address);
        let AddressLimits { connections_max, exempts_loopback, .. } = self.limits;
        let is_held_free = connections_max == 0 || exempts_loopback && client.is_loopback();
        if !is_held_free && self.held_everywhere(network) >= connections_max {
            return Err(Refusal::TooManyConnections);
        }
        self.charge_client(client, now_ns)?;
        // Counted even without a limit, since a reload may set one while the connections are open.
        *self.held.entry(network).or_insert(0) += 1;
        Ok(Permit(network))
    }

    /// Admits a connection above the limit, which must then take over another connection of its address. Each
    /// address has at most one such connection at a time.
    ///
    /// # Errors
    /// The address has a takeover pending, or exceeds its rate.
    pub fn admit_takeover(&mut self, client: Client, now_ns: u64) -> Result<TakeoverPermit, Refusal> {
        let network = Network::of(client.address);
        if self.takeovers.contains(&network) {
            return Err(Refusal::TooManyConnections);
        }
        self.charge_client(client, now_ns)?;
        self.takeovers.insert(network);
        Ok(TakeoverPermit(network))
    }

    /// Converts a takeover permit into a regular one, if its address has dropped below the limit.
    pub fn promote(&mut self, &mut TakeoverPermit(network): &mut TakeoverPermit) -> Option<Permit> {
        if self.limits.connections_max > 0 && self.held_everywhere(network) >= self.limits.connections_max {
            return None;
        }
        self.takeovers.remove(&network);
        *self.held.entry(network).or_insert(0) += 1;
        Some(Permit(network))
    }

    /// Releases a takeover permit: its connection is closed or has a regular permit.
    pub fn release_takeover(&mut self, TakeoverPermit(network): TakeoverPermit) {
        self.takeovers.remove(&network);
    }

    /// Changes the limits. An address above the new limits keeps its connections.
    pub fn set_limits(&mut self, limits: AddressLimits) {
        self.limits = limits;
    }

    /// Releases the permit of a closed connection.
    pub fn release(&mut self, Permit(network): Permit) {
        if let Some(held) = self.held.get_mut(&network) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&network);
            }
        }
    }

    /// Returns the number of concurrent connections of an address.
    pub fn held(&self, network: Network) -> u32 {
        self.held.get(&network).copied().unwrap_or(0)
    }

    /// Returns the number of connections of an address, those to other processes included.
    fn held_everywhere(&self, network: Network) -> u32 {
        self.held(network).saturating_add(self.elsewhere.get(&network).copied().unwrap_or(0))
    }

    /// Sets the connections of addresses to other processes that share the port.
    pub fn set_elsewhere(&mut self, connections: HashMap<Network, u32>) {
        self.elsewhere = connections;
    }

    /// Returns the addresses with most concurrent connections, and their number: up to `most`, in any order.
    pub fn most_held(&self, most: usize) -> Vec<(Network, u32)> {
        let mut all: Vec<_> = self.held.iter().map(|(&network, &count)| (network, count)).collect();
        if all.len() > most {
            all.select_nth_unstable_by_key(most, |&(_, count)| Reverse(count));
            all.truncate(most);
        }
        all
    }

    /// Returns the number of addresses with connections, and the number with an entry in the rate table.
    pub fn tracked(&self) -> (usize, usize) {
        (self.held.len(), self.opened.tracked())
    }

    fn charge_client(&mut self, client: Client, now_ns: u64) -> Result<(), Refusal> {
        let rate = self.limits.rate;
        if rate.exempts_loopback && client.is_loopback() {
            return Ok(());
        }
        let charged = self.opened.charge(Network::of(client.address), rate, now_ns);
        charged.map_err(|RateExceeded { retry_after_s }| Refusal::RateExceeded { retry_after_s })
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
