//! The law of ids: each is given once, and only ever a higher one. Pure.

use std::collections::HashSet;

use game_client::PlayerId;

/// All ids that the server gave to clients of this run.
#[derive(Debug, Default)]
pub struct Ids {
    seen: HashSet<PlayerId>,
    highest: PlayerId,
    /// Ids given that somebody had had before.
    pub repeated: u64,
    /// Ids given that were not above all those known when their client began to connect.
    pub not_above: u64,
}

impl Ids {
    /// The highest so far; 0 before the first.
    pub fn highest(&self) -> PlayerId {
        self.highest
    }

    /// How many different ones there were.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Whether a client of this run has or had this one.
    pub fn contains(&self, id: PlayerId) -> bool {
        self.seen.contains(&id)
    }

    /// Notes an id given to a client that began to connect when the highest one known was `highest_before`. Clients that
    /// come in together learn their ids in any order, so that only what was known before binds.
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
    fn ids_that_come_together_may_come_in_any_order() {
        let mut ids = Ids::default();
        for id in [1_003, 1_001, 1_002] {
            ids.record(id, 0);
        }
        ids.record(1_004, ids.highest());
        assert_eq!((ids.count(), ids.highest(), ids.repeated, ids.not_above), (4, 1_004, 0, 0));
        assert!(ids.contains(1_002) && !ids.contains(1_005));
    }

    #[test]
    fn an_id_given_twice_or_below_a_known_one_is_noted() {
        let mut ids = Ids::default();
        ids.record(1_005, 0);
        ids.record(1_005, 0);
        assert_eq!((ids.repeated, ids.not_above), (1, 0));
        ids.record(1_002, 1_005);
        assert_eq!((ids.repeated, ids.not_above), (1, 1));
    }
}
