//! Token buckets of many addresses in a table of fixed size, since addresses that came and went must not cost memory.
//!
//! The table has sets of [`WAYS`] places; a seeded hash chooses the set, so that nobody can aim at one. A place is the
//! moment at which its address's bucket is full again (the generic cell rate algorithm); a place whose moment has passed
//! says nothing and is free. In a set without a free place the bucket nearest to full is forgotten: that address gets back
//! the part of its burst that it had used, and it is the address for which this is least.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Network;
use crate::limits::RATED_ADDRESSES_MAX;

const NS_PER_S: u64 = 1_000_000_000;

/// Places of a set.
const WAYS: usize = 8;
const SETS: usize = RATED_ADDRESSES_MAX / WAYS;

/// How fast an address may do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Times a second; 0 is without limit.
    pub per_s: u32,
    /// Times at once after a pause; 0 is without limit.
    pub burst: u32,
    /// Whether clients on this machine are exempt.
    pub exempts_loopback: bool,
}

/// The bucket of an address is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// When the next token comes, in whole seconds from now, at least one.
    pub retry_after_s: u64,
}

/// A set of places, each an address and the moment at which its bucket is full again, in nanoseconds.
type Set = [Option<(Network, u64)>; WAYS];

/// The buckets of all addresses. Time is passed in, in nanoseconds of any monotonic clock.
#[derive(Debug)]
pub struct Buckets {
    /// Made when their first address comes.
    sets: Vec<Option<Box<Set>>>,
    seed: u64,
}

impl Buckets {
    /// All buckets are full. The seed keeps addresses from being chosen for the set they fall into.
    pub fn new(seed: u64) -> Self {
        Self { sets: vec![None; SETS], seed }
    }

    /// Takes a token from an address's bucket.
    ///
    /// # Errors
    /// The bucket is empty; the attempt costs nothing.
    pub fn charge(&mut self, network: Network, rate: Rate, now_ns: u64) -> Result<(), RateExceeded> {
        if rate.per_s == 0 || rate.burst == 0 {
            return Ok(());
        }
        let cost_ns = NS_PER_S / u64::from(rate.per_s);
        let debt_max_ns = cost_ns * u64::from(rate.burst - 1);
        let index = self.set_of(network);
        let set = self.sets[index].get_or_insert_default();
        let place = entry_for(set, network, now_ns);
        let full_at_ns = match *place {
            Some((known, full_at_ns)) if known == network => full_at_ns.max(now_ns),
            _ => now_ns,
        };
        let wait_ns = (full_at_ns - now_ns).saturating_sub(debt_max_ns);
        if wait_ns > 0 {
            return Err(RateExceeded { retry_after_s: wait_ns.div_ceil(NS_PER_S) });
        }
        *place = Some((network, full_at_ns + cost_ns));
        Ok(())
    }

    /// Addresses with a place in the table.
    pub fn tracked(&self) -> usize {
        self.sets.iter().flatten().map(|set| set.iter().flatten().count()).sum()
    }

    fn set_of(&self, network: Network) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, network).hash(&mut hasher);
        hasher.finish() as usize % SETS
    }
}

/// The place of this network: its own, or else one that is free, or else that of the bucket nearest to full.
fn entry_for(set: &mut Set, network: Network, now_ns: u64) -> &mut Option<(Network, u64)> {
    let rank = |place: &Option<(Network, u64)>| match *place {
        Some((known, _)) if known == network => (0, 0),
        Some((_, full_at_ns)) if full_at_ns > now_ns => (2, full_at_ns),
        _ => (1, 0),
    };
    set.iter_mut().min_by_key(|place| rank(place)).expect("a set has places")
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
