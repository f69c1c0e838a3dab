//! A set of slots that is emptied in no time.

/// Marks on slots, a byte each, so that those of a large crowd stay in the nearest cache.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By slot, the number of the round that marked it.
    rounds: Vec<u8>,
    /// This round's number; 0 is never one.
    round: u8,
}

impl Marks {
    /// Removes every mark; afterwards slots below `slots` can be marked.
    pub(super) fn begin(&mut self, slots: usize) {
        if self.round == u8::MAX {
            self.rounds.fill(0);
            self.round = 0;
        }
        self.round += 1;
        if self.rounds.len() < slots {
            self.rounds.resize(slots, 0);
        }
    }

    pub(super) fn mark(&mut self, slot: u32) {
        self.rounds[slot as usize] = self.round;
    }

    pub(super) fn is_marked(&self, slot: u32) -> bool {
        self.rounds[slot as usize] == self.round
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn no_mark_outlives_its_round_however_many_there_were() {
        let mut marks = Marks::default();
        for round in 0..1000 {
            marks.begin(10);
            let slot = round % 10;
            assert!((0..10).all(|slot| !marks.is_marked(slot)), "round {round}");
            marks.mark(slot);
            assert!((0..10).all(|other| marks.is_marked(other) == (other == slot)));
        }
    }
}
