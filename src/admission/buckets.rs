//! Token buckets by address, in a table of fixed size: a flood of addresses cannot exhaust memory.
//!
//! The table is set-associative, with [`WAYS`] entries per set. A seeded hash chooses the set, so that a client cannot aim
//! at one. An entry stores the time at which its address's bucket is full again (the generic cell rate algorithm, GCRA). An
//! entry whose time has passed carries no information and is free. When a set has no free entry, the bucket nearest to full
//! is evicted: its address regains the used part of its burst, which is the smallest such loss in the set.

use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Network;
use crate::limits::RATED_ADDRESSES_MAX;

const NS_PER_S: u64 = 1_000_000_000;

/// Entries per set.
const WAYS: usize = 8;
const SETS: usize = RATED_ADDRESSES_MAX / WAYS;

/// A rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Events per second; 0 is unlimited.
    pub per_s: u32,
    /// Events in a burst after a pause; 0 is unlimited.
    pub burst: u32,
    /// Whether clients on this machine are exempt.
    pub exempts_loopback: bool,
}

/// The bucket of an address is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// Time until the next token, in whole seconds, at least 1.
    pub retry_after_s: u64,
}

/// A set of entries, each with an address and the time at which its bucket is full again, in nanoseconds.
type Set = [Option<(Network, u64)>; WAYS];

/// The buckets of all addresses. Time is passed in, in nanoseconds of any monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct Buckets {
    /// Allocated on first use.
    sets: Vec<Option<Box<Set>>>,
    seed: u64,
}

impl Buckets {
    /// Creates a table of full buckets. The seed keeps clients from choosing addresses that share a set.
    pub fn new(seed: u64) -> Self {
        Self { sets: vec![None; SETS], seed }
    }

    /// Takes a token from the bucket of an address.
    ///
    /// # Errors
    /// The bucket is empty. The attempt takes no token.
    pub fn charge(&mut self, network: Network, rate: Rate, now_ns: u64) -> Result<(), RateExceeded> {
        if rate.per_s == 0 || rate.burst == 0 {
            return Ok(());
        }
        let cost_ns = NS_PER_S / u64::from(rate.per_s);
        let debt_max_ns = cost_ns * u64::from(rate.burst - 1);
        let index = self.set_of(network);
        let set = self.sets[index].get_or_insert_default();
        let entry = entry_for(set, network, now_ns);
        let full_at_ns = match *entry {
            Some((known, full_at_ns)) if known == network => full_at_ns.max(now_ns),
            _ => now_ns,
        };
        let wait_ns = (full_at_ns - now_ns).saturating_sub(debt_max_ns);
        if wait_ns > 0 {
            return Err(RateExceeded { retry_after_s: wait_ns.div_ceil(NS_PER_S) });
        }
        *entry = Some((network, full_at_ns + cost_ns));
        Ok(())
    }

    /// Returns the number of addresses with an entry in the table.
    pub fn tracked(&self) -> usize {
        self.sets.iter().flatten().map(|set| set.iter().flatten().count()).sum()
    }

    fn set_of(&self, network: Network) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, network).hash(&mut hasher);
        hasher.finish() as usize % SETS
    }
}

/// Returns the entry to use for a network: its own, else a free one, else that of the bucket nearest to full.
fn entry_for(set: &mut Set, network: Network, now_ns: u64) -> &mut Option<(Network, u64)> {
    let rank = |entry: &Option<(Network, u64)>| match *entry {
        Some((known, _)) if known == network => (0, 0),
        Some((_, full_at_ns)) if full_at_ns > now_ns => (2, full_at_ns),
        _ => (1, 0),
    };
    set.iter_mut().min_by_key(|entry| rank(entry)).expect("a set has at least one entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_spread_over_the_sets() {
        let buckets = Buckets::new(7);
        let mut sizes = vec![0; SETS];
        for bits in 0..(SETS as u32 * 16) {
            sizes[buckets.set_of(Network::V4(bits))] += 1;
        }
        assert!(sizes.iter().all(|&size| (1..64).contains(&size)), "{:?}", sizes.iter().max());
    }
}
