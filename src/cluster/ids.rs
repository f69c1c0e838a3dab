//! Leases of player ids, and the plausibility of claims about them.
//!
//! Two kinds of data on the bus are untrusted: the id counter, and the end of the ids that a peer claims. A
//! claim is accepted only up to a bound that grows with this node's own leases and with time. A claim beyond
//! the bound can neither exhaust the ids nor raise the counter, however often it is repeated.
//!
//! A failover of Redis can lose a lease that is not yet replicated, and the same ids are then granted twice. Each of the two
//! nodes gives up its unused ids as soon as it learns of the other's claim, and leases others.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

use super::message::NodeId;
use crate::limits::{
    ID_BLOCKS_MAX, IDS_FRESH_END_MAX, IDS_LEAD_MAX, IDS_PER_S_MAX, LEASE_CONFLICT_INTERVAL_MS,
    LEASE_CONFLICTS_MAX, LEASE_IDS, PLAYER_ID_FIRST,
};

/// Bounds for the id counter on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Ids below this are in use: a lower counter is raised.
    pub min: u32,
    /// A higher counter is implausible.
    pub max: u32,
    /// Largest step by which the counter is raised to `min`.
    pub lead_max: u32,
}

/// Leases of this node and of its peers, as far as they are known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ids {
    /// Ranges granted to this node, ascending; adjacent ranges are merged.
    own: Vec<Range<u32>>,
    /// End of all ids granted to this node.
    own_end: u32,
    /// Time of the last lease, in milliseconds of the event loop's clock; `None` before the first.
    leased_ms: Option<u64>,
    /// Highest plausible end claimed by a peer.
    announced_end: u32,
    /// Latest block of each live peer, by its first id.
    blocks: BTreeMap<u32, Block>,
    /// Leases given up because a peer has the same ids.
    conflicts: u64,
    /// Time at which [`LEASE_CONFLICTS_MAX`] leases may be given up again, in milliseconds.
    conflicts_forgotten_ms: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Block {
    end: u32,
    node: NodeId,
}

impl Ids {
    /// Returns the end of all ids known to be granted.
    pub fn end(&self) -> u32 {
        self.own_end.max(self.announced_end)
    }

    /// Returns the end of all ids granted to this node.
    pub fn own_end(&self) -> u32 {
        self.own_end
    }

    /// Returns the end of the latest lease as claimed in heartbeats; 0 if its unused ids were given up.
    pub fn claimed_end(&self) -> u32 {
        self.own.last().map(|own| own.end).filter(|&end| end == self.own_end).unwrap_or(0)
    }

    /// Returns the number of leases given up because a peer has the same ids.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Returns whether unused ids may be given up, at most [`LEASE_CONFLICTS_MAX`] times in a row.
    pub fn may_give_up(&self, now_ms: u64) -> bool {
        self.conflicts_forgotten_ms <= now_ms + (LEASE_CONFLICTS_MAX - 1) * LEASE_CONFLICT_INTERVAL_MS
    }

    /// Gives up a range of unused ids of this node that a peer has as well.
    pub fn give_up(&mut self, unused: &Range<u32>, now_ms: u64) {
        self.conflicts += 1;
        self.conflicts_forgotten_ms = self.conflicts_forgotten_ms.max(now_ms) + LEASE_CONFLICT_INTERVAL_MS;
        self.release(unused);
    }

    /// Releases ids of this node, which all belong to one of its ranges. A peer may have them from now on.
    pub fn release(&mut self, ids: &Range<u32>) {
        let Some(at) = self.own.iter().position(|own| own.contains(&ids.start)) else { return };
        let own = self.own[at].clone();
        let kept = [own.start..ids.start, ids.end..own.end];
        self.own.splice(at..=at, kept.into_iter().filter(|range| !range.is_empty()));
        self.merge_oldest();
    }

    /// At the bound the two oldest ranges are merged; the ids between them then count as this node's.
    fn merge_oldest(&mut self) {
        if self.own.len() > ID_BLOCKS_MAX {
            self.own[1].start = self.own[0].start;
            self.own.remove(0);
        }
    }

    /// Returns the current bounds for the id counter.
    pub fn bounds(&self, now_ms: u64) -> Bounds {
        let lead_max = if self.leased_ms.is_none() { IDS_LEAD_MAX } else { u32::MAX };
        Bounds { min: self.end(), max: self.max(now_ms), lead_max }
    }

    /// Returns the highest plausible end: this node's, plus the ids a cluster may have used up since the last lease.
    fn max(&self, now_ms: u64) -> u32 {
        let Some(leased_ms) = self.leased_ms else { return IDS_FRESH_END_MAX };
        let used_since = now_ms.saturating_sub(leased_ms) / 1_000 * IDS_PER_S_MAX;
        let max = u64::from(self.own_end) + u64::from(IDS_LEAD_MAX) + used_since;
        max.min(u64::from(u32::MAX - LEASE_IDS)) as u32
    }

    /// Adds a lease. Returns whether it is plausible: its ids can't be in use, and lie within the bound.
    pub fn grant(&mut self, ids: &Range<u32>, now_ms: u64) -> bool {
        let is_next = ids.start >= self.own_end.max(PLAYER_ID_FIRST) && ids.start < ids.end;
        let is_near = ids.end <= self.max(now_ms).saturating_add(LEASE_IDS);
        if !is_next || !is_near || ids.len() > LEASE_IDS as usize {
            return false;
        }
        (self.own_end, self.leased_ms) = (ids.end, Some(now_ms));
        match self.own.last_mut().filter(|last| last.end == ids.start) {
            Some(last) => last.end = ids.end,
            None => self.own.push(ids.clone()),
        }
        self.merge_oldest();
        true
    }

    /// Records a peer's claim of ids up to this end. Returns whether it is plausible: the end lies within the
    /// bound, and its block overlaps no other peer's. Ids of this node stay its own.
    pub fn announce(&mut self, node: NodeId, end: u32, now_ms: u64) -> bool {
        if self.blocks.get(&first_of(end)).is_some_and(|block| (block.node, block.end) == (node, end)) {
            return true;
        }
        // Each peer has one block, and none after a refused claim. The next heartbeat ends a forged claim.
        self.remove_peer(node);
        if end == 0 {
            return true;
        }
        if end <= PLAYER_ID_FIRST || end > self.max(now_ms).saturating_add(LEASE_IDS) {
            return false;
        }
        let start = first_of(end);
        let mut overlapping = self.blocks.range(..end).rev().take_while(|(_, block)| block.end > start);
        if overlapping.any(|(_, block)| block.node != node) {
            return false;
        }
        self.announced_end = self.announced_end.max(end);
        self.blocks.insert(start, Block { end, node });
        true
    }

    /// Removes a peer and its block.
    pub fn remove_peer(&mut self, node: NodeId) {
        self.blocks.retain(|_, block| block.node != node);
    }

    /// Returns whether a peer with ids up to `end` can own a player with this id, which no other node may have.
    pub fn may_have(&self, node: NodeId, end: u32, id: u32) -> bool {
        (PLAYER_ID_FIRST..end).contains(&id) && !self.is_own(id) && !self.is_of_another(node, id)
    }

    /// Returns whether this id was granted to this node.
    pub fn is_own(&self, id: u32) -> bool {
        self.own_range(id).is_some()
    }

    /// Returns the range of ids granted to this node that contains this one.
    pub fn own_range(&self, id: u32) -> Option<&Range<u32>> {
        let at = self.own.partition_point(|own| own.end <= id);
        self.own.get(at).filter(|own| own.contains(&id))
    }

    fn is_of_another(&self, node: NodeId, id: u32) -> bool {
        let before = self.blocks.range(..=id).next_back();
        before.is_some_and(|(_, block)| id < block.end && block.node != node)
    }
}

/// Returns the first id of the lease with this end.
pub(super) fn first_of(end: u32) -> u32 {
    end.saturating_sub(LEASE_IDS).max(PLAYER_ID_FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: u32 = LEASE_IDS;

    #[test]
    fn claims_cannot_exhaust_the_ids() {
        let mut ids = Ids::default();
        assert!(ids.grant(&(20_000..20_000 + BLOCK), 0));
        for end in [u32::MAX, u32::MAX - BLOCK, 20_000 + 3 * BLOCK + IDS_LEAD_MAX] {
            assert!(!ids.announce(7, end, 0), "{end}");
        }
        assert_eq!(ids.end(), 20_000 + BLOCK);
        // A series of claims, each slightly higher, cannot exhaust them either.
        for step in 0..10_000 {
            ids.announce(step, ids.end().saturating_add(BLOCK), 0);
        }
        assert!(ids.end() <= 20_000 + 2 * BLOCK + IDS_LEAD_MAX);
    }

    #[test]
    fn a_distant_lease_is_refused_until_enough_time_has_passed() {
        let mut ids = Ids::default();
        assert!(ids.grant(&(5_000..5_000 + BLOCK), 0));
        let far = 5_000 + 2 * BLOCK + IDS_LEAD_MAX;
        assert!(!ids.grant(&(far..far + BLOCK), 0));
        assert!(!ids.grant(&(u32::MAX - BLOCK..u32::MAX), 0));
        assert!(ids.grant(&(far..far + BLOCK), 1_000 * u64::from(2 * BLOCK) / IDS_PER_S_MAX + 1_000));
    }

    #[test]
    fn an_id_belongs_to_the_node_that_leased_it() {
        let mut ids = Ids::default();
        assert!(ids.grant(&(20_000..20_000 + BLOCK), 0));
        assert!(ids.announce(7, 20_000 + 2 * BLOCK, 0));
        let (own, theirs, end) = (20_001, 20_000 + BLOCK + 1, 20_000 + 3 * BLOCK);
        assert!(ids.may_have(7, end, theirs) && !ids.may_have(8, end, theirs));
        assert!(!ids.may_have(7, end, own), "id of this node");
        assert!(!ids.may_have(7, end, end) && !ids.may_have(7, end, 1_000), "never granted");
        assert!(!ids.announce(8, 20_000 + 2 * BLOCK + 5, 0), "overlaps another peer's block");
        // A block that overlaps this node's does not take its ids.
        assert!(ids.announce(8, 20_000 + 5, 0));
        assert!(!ids.may_have(8, end, own) && ids.may_have(8, end, 19_999));
        ids.remove_peer(7);
        assert!(ids.may_have(8, end, theirs));
    }

    #[test]
    fn swapped_forged_claims_end_with_the_next_heartbeats() {
        let mut ids = Ids::default();
        let (first, second) = (20_000 + BLOCK, 20_000 + 2 * BLOCK);
        assert!(ids.announce(1, second, 0) && ids.announce(2, first, 0), "forged: each claims the other's");
        assert!(!ids.announce(1, first, 0));
        assert!(ids.announce(2, second, 0));
        assert!(ids.announce(1, first, 0));
    }

    #[test]
    fn ids_that_are_given_up_belong_to_the_peer() {
        let mut ids = Ids::default();
        let (start, end) = (20_000, 20_000 + BLOCK);
        assert!(ids.grant(&(start..end), 0) && ids.announce(7, end, 0));
        assert!(!ids.may_have(7, end, start + 10));
        ids.give_up(&(start + 10..end), 0);
        assert!(ids.may_have(7, end, start + 10) && !ids.may_have(7, end, start + 9));
        assert_eq!((ids.claimed_end(), ids.own_end()), (0, end), "claimed no more, and never leased again");
        assert!(ids.grant(&(end..end + BLOCK), 0));
        assert_eq!(ids.claimed_end(), end + BLOCK);
        ids.release(&(start + 3..start + 4));
        assert!(ids.may_have(7, end, start + 3) && ids.is_own(start + 2) && ids.is_own(start + 4));
    }

    #[test]
    fn few_leases_are_given_up_in_a_row() {
        let mut ids = Ids::default();
        for _ in 0..LEASE_CONFLICTS_MAX {
            assert!(ids.may_give_up(0));
            ids.give_up(&(0..0), 0);
        }
        assert!(
            !ids.may_give_up(LEASE_CONFLICT_INTERVAL_MS - 1) && ids.may_give_up(LEASE_CONFLICT_INTERVAL_MS)
        );
        ids.give_up(&(0..0), LEASE_CONFLICT_INTERVAL_MS);
        assert!(!ids.may_give_up(LEASE_CONFLICT_INTERVAL_MS) && ids.conflicts() == LEASE_CONFLICTS_MAX + 1);
    }

    proptest! {
        #[test]
        fn no_sequence_of_claims_moves_the_bound(claims in proptest::collection::vec((0u64..4, any::<u32>()), 0..200)) {
            let mut ids = Ids::default();
            prop_assert!(ids.grant(&(2_000..2_000 + BLOCK), 0));
            for (node, end) in claims {
                ids.announce(node, end, 0);
            }
            prop_assert!(ids.end() <= 2_000 + 2 * BLOCK + IDS_LEAD_MAX);
            prop_assert!((2_000..2_000 + BLOCK).all(|id| !ids.may_have(1, u32::MAX, id)));
        }
    }
}
