//! The limits of each address: connections held, and connections opened a second.
//!
//! Connections held are exact: a count for each address that holds any, so that there are never more counts than
//! connections. Rates are [`Buckets`], whose memory is bounded.

use std::collections::{HashMap, HashSet};

use super::buckets::{Buckets, Rate, RateExceeded};
use super::{Client, Network};

/// What an address may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections held at a time; 0 is without limit.
    pub connections_max: u32,
    /// Whether clients on this machine may hold any number.
    pub exempts_loopback: bool,
    /// How fast connections may be opened.
    pub rate: Rate,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address holds as many connections as it may.
    TooManyConnections,
    /// The address opens connections faster than it may.
    RateExceeded {
        /// When it may open the next one, in whole seconds from now, at least one.
        retry_after_s: u64,
    },
}

/// A connection that counts for an address, until it is handed back to [`AddressLimiter::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not handed back counts for ever"]
pub struct Permit(Network);

/// A connection beyond what its address may hold, until it is handed back to [`AddressLimiter::release_takeover`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an address has one such permit"]
pub struct TakeoverPermit(Network);

/// The limits of all addresses. Time is passed in, in nanoseconds of any monotonic clock.
#[derive(Debug)]
pub struct AddressLimiter {
    limits: AddressLimits,
    /// Connections held, by address; none is 0.
    held: HashMap<Network, u32>,
    /// Addresses with one connection more than they may hold.
    takeovers: HashSet<Network>,
    opened: Buckets,
}

impl TakeoverPermit {
    /// Whether the permit's connection comes from the same address.
    pub fn is_for_same_address(&self, permit: &Permit) -> bool {
        self.0 == permit.0
    }
}

impl AddressLimiter {
    /// Nobody has connected yet. The seed keeps addresses from being chosen for the set they fall into.
    pub fn new(limits: AddressLimits, seed: u64) -> Self {
        Self { limits, held: HashMap::new(), takeovers: HashSet::new(), opened: Buckets::new(seed) }
    }

    /// Judges a connection that opens now, and counts it when it is let in.
    ///
    /// # Errors
    /// The connection is over a limit, and counts for nothing.
    pub fn admit(&mut self, client: Client, now_ns: u64) -> Result<Permit, Refusal> {
        let network = Network::of(client.address);
        let AddressLimits { connections_max, exempts_loopback, .. } = self.limits;
        let is_held_free = connections_max == 0 || exempts_loopback && client.is_loopback();
        if !is_held_free && self.held(network) >= connections_max {
            return Err(Refusal::TooManyConnections);
        }
        self.charge_client(client, now_ns)?;
        // Counted without a limit as well, since one may be set while they are held.
        *self.held.entry(network).or_insert(0) += 1;
        Ok(Permit(network))
    }

    /// Judges a connection that [`AddressLimiter::admit`] found to be one too many. One at a time may show that it replaces a
    /// connection that its address holds.
    ///
    /// # Errors
    /// There is such a connection already, or the address is over its rate.
    pub fn admit_takeover(&mut self, client: Client, now_ns: u64) -> Result<TakeoverPermit, Refusal> {
        let network = Network::of(client.address);
        if self.takeovers.contains(&network) {
            return Err(Refusal::TooManyConnections);
        }
        self.charge_client(client, now_ns)?;
        self.takeovers.insert(network);
        Ok(TakeoverPermit(network))
    }

    /// The permit for a connection beyond the limit, which it replaces, if its address may hold one more by now.
    pub fn promote(&mut self, &mut TakeoverPermit(network): &mut TakeoverPermit) -> Option<Permit> {
        if self.limits.connections_max > 0 && self.held(network) >= self.limits.connections_max {
            return None;
        }
        self.takeovers.remove(&network);
        *self.held.entry(network).or_insert(0) += 1;
        Some(Permit(network))
    }

    /// A connection beyond the limit is gone, or has a permit now.
    pub fn release_takeover(&mut self, TakeoverPermit(network): TakeoverPermit) {
        self.takeovers.remove(&network);
    }

    /// From now on these limits hold. Whoever holds more connections than they allow keeps them.
    pub fn set_limits(&mut self, limits: AddressLimits) {
        self.limits = limits;
    }

    /// A connection is gone.
    pub fn release(&mut self, Permit(network): Permit) {
        if let Some(held) = self.held.get_mut(&network) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&network);
            }
        }
    }

    /// Connections held by an address.
    pub fn held(&self, network: Network) -> u32 {
        self.held.get(&network).copied().unwrap_or(0)
    }

    /// Addresses that anything is remembered of: those that hold connections, and those with a place in the table.
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
