//! Checks the rules of ids: each is assigned once, in ascending order. Pure.

use std::collections::HashSet;

use game_client::PlayerId;

/// All ids that the server assigned to clients of this run.
#[derive(Debug, Default)]
pub struct Ids {
    seen: HashSet<PlayerId>,
    highest: PlayerId,
    /// Number of ids assigned more than once.
    pub repeated: u64,
    /// Number of ids not above every id known when the connection began.
    pub not_above: u64,
}

impl Ids {
    /// Returns the highest id so far; 0 before the first.
    pub fn highest(&self) -> PlayerId {
        self.highest
    }

    /// Returns the number of different ids.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Whether a client of this run has or had this id.
    pub fn contains(&self, id: PlayerId) -> bool {
        self.seen.contains(&id)
    }

    /// Records the id of a client. `highest_before` is the highest id known when the client's connection began.
    /// Clients that connect concurrently learn their ids in any order, so only earlier ids are a lower bound.
    pub fn record(&mut self, id: PlayerId, highest_before: PlayerId) {
        self.repeated += u64::from(!self.seen.insert(id));
        self.not_above += u64::from(id <= highest_before);
        self.highest = self.highest.max(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_ids_may_arrive_in_any_order() {
        let mut ids = Ids::default();
        for id in [1_003, 1_001, 1_002] {
            ids.record(id, 0);
        }
        ids.record(1_004, ids.highest());
        assert_eq!((ids.count(), ids.highest(), ids.repeated, ids.not_above), (4, 1_004, 0, 0));
        assert!(ids.contains(1_002) && !ids.contains(1_005));
    }

    #[test]
    fn counts_ids_that_repeat_or_descend() {
        let mut ids = Ids::default();
        ids.record(1_005, 0);
        ids.record(1_005, 0);
        assert_eq!((ids.repeated, ids.not_above), (1, 0));
        ids.record(1_002, 1_005);
        assert_eq!((ids.repeated, ids.not_above), (1, 1));
    }
}
