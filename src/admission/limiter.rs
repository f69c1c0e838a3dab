//! The limits of each address: connections held, and connections opened a second.
//!
//! Connections held are exact: a count for each address that holds any, so that there are never more counts than
//! connections. Rates live in a table of fixed size, since addresses that came and went must not cost memory: sets of
//! [`WAYS`] places, the set chosen by a seeded hash so that nobody can aim at one. A place is the moment at which its
//! address's bucket is full again (the generic cell rate algorithm); one whose moment has passed says nothing and is
//! free. In a set without a free place the bucket nearest to full is forgotten: that address gets back the part of its
//! burst that it had used, and it is the one for which this is least.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Client, Network};
use crate::limits::RATED_ADDRESSES_MAX;

const NS_PER_S: u64 = 1_000_000_000;

/// Places of a set.
const WAYS: usize = 8;
const SETS: usize = RATED_ADDRESSES_MAX / WAYS;

/// What an address may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections held at a time; 0 is without limit.
    pub connections_max: u32,
    /// Connections opened a second; 0 is without limit.
    pub rate_per_s: u32,
    /// Connections opened at once after a pause; 0 is without limit.
    pub burst: u32,
    /// Whether clients on this machine may open them as fast as they like.
    pub spares_loopback: bool,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address holds as many connections as it may.
    TooMany,
    /// The address opens connections faster than it may.
    TooFast {
        /// When it may open the next one, in whole seconds from now, at least one.
        retry_after_s: u64,
    },
}

/// A connection that counts for an address, until it is handed back to [`AddressLimiter::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a seat that is not handed back counts for ever"]
pub struct Seat(Network);

/// A set of places, each an address and the moment at which its bucket is full again, in nanoseconds.
type Set = [Option<(Network, u64)>; WAYS];

/// The limits of all addresses. Time is passed in, in nanoseconds of any monotonic clock.
#[derive(Debug)]
pub struct AddressLimiter {
    limits: AddressLimits,
    /// Connections held, by address; none is 0.
    held: HashMap<Network, u32>,
    /// Made when their first address comes.
    sets: Vec<Option<Box<Set>>>,
    seed: u64,
}

impl AddressLimiter {
    /// Nobody has connected yet. The seed keeps addresses from being chosen for the set they fall into.
    pub fn new(limits: AddressLimits, seed: u64) -> Self {
        Self { limits, held: HashMap::new(), sets: vec![None; SETS], seed }
    }

    /// Judges a connection that opens now, and counts it when it is let in.
    ///
    /// # Errors
    /// The connection is over a limit, and counts for nothing.
    pub fn admit(&mut self, client: Client, now_ns: u64) -> Result<Seat, Refusal> {
        let network = Network::of(client.address);
        if self.limits.connections_max > 0 && self.held(network) >= self.limits.connections_max {
            return Err(Refusal::TooMany);
        }
        if self.limits.rate_per_s > 0
            && self.limits.burst > 0
            && !(self.limits.spares_loopback && client.is_loopback())
        {
            self.charge(network, now_ns)?;
        }
        // Counted without a limit as well, since one may be set while they are held.
        *self.held.entry(network).or_insert(0) += 1;
        Ok(Seat(network))
    }

    /// From now on these limits hold. Whoever holds more connections than they allow keeps them.
    pub fn set_limits(&mut self, limits: AddressLimits) {
        self.limits = limits;
    }

    /// A connection is gone.
    pub fn release(&mut self, Seat(network): Seat) {
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
    pub fn remembered(&self) -> (usize, usize) {
        let rated = self.sets.iter().flatten().map(|set| set.iter().flatten().count()).sum();
        (self.held.len(), rated)
    }

    fn charge(&mut self, network: Network, now_ns: u64) -> Result<(), Refusal> {
        let cost_ns = NS_PER_S / u64::from(self.limits.rate_per_s);
        let debt_max_ns = cost_ns * u64::from(self.limits.burst - 1);
        let index = self.set_of(network);
        let set = self.sets[index].get_or_insert_default();
        let place = place_for(set, network, now_ns);
        let full_at_ns = match *place {
            Some((known, full_at_ns)) if known == network => full_at_ns.max(now_ns),
            _ => now_ns,
        };
        let wait_ns = (full_at_ns - now_ns).saturating_sub(debt_max_ns);
        if wait_ns > 0 {
            return Err(Refusal::TooFast { retry_after_s: wait_ns.div_ceil(NS_PER_S) });
        }
        *place = Some((network, full_at_ns + cost_ns));
        Ok(())
    }

    fn set_of(&self, network: Network) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, network).hash(&mut hasher);
        hasher.finish() as usize % SETS
    }
}

/// The place of this network: its own, or else one that is free, or else that of the bucket nearest to full.
fn place_for(set: &mut Set, network: Network, now_ns: u64) -> &mut Option<(Network, u64)> {
    let rank = |place: &Option<(Network, u64)>| match *place {
        Some((known, _)) if known == network => (0, 0),
        Some((_, full_at_ns)) if full_at_ns > now_ns => (2, full_at_ns),
        _ => (1, 0),
    };
    set.iter_mut().min_by_key(|place| rank(place)).expect("a set has places")
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
