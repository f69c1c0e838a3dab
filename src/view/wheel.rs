//! When it is whose turn: a timing wheel of slots, one bucket a tick.

use crate::game::Tick;

/// Ticks that have a bucket of their own; what is due later waits in the last of them and is put off again.
const BUCKETS: usize = 256;

/// Slots by the tick in which their turn comes. Each slot that was ever added is in one bucket, or on its way from one to
/// the next.
#[derive(Debug)]
pub(super) struct Wheel {
    buckets: Vec<Vec<u32>>,
    /// Everything due up to this tick has been taken.
    now: Tick,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS], now: 0 }
    }

    /// Puts a slot where its tick is: the next one at the earliest.
    pub(super) fn add(&mut self, slot: u32, due: Tick) {
        let due = due.clamp(self.now + 1, self.now + BUCKETS as Tick);
        self.buckets[due as usize % BUCKETS].push(slot);
    }

    /// Moves every slot that is due up to tick `now` to the end of `due`.
    pub(super) fn take(&mut self, now: Tick, due: &mut Vec<u32>) {
        let first = (self.now + 1).max((now + 1).saturating_sub(BUCKETS as Tick));
        for tick in first..=now {
            due.append(&mut self.buckets[tick as usize % BUCKETS]);
        }
        self.now = self.now.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(wheel: &mut Wheel, now: Tick) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take(now, &mut due);
        due
    }

    #[test]
    fn a_slot_comes_in_its_tick_and_once() {
        let mut wheel = Wheel::new();
        wheel.add(7, 3);
        wheel.add(8, 0);
        assert_eq!(taken(&mut wheel, 1), [8], "what is overdue comes next");
        assert_eq!(taken(&mut wheel, 2), [0u32; 0]);
        assert_eq!(taken(&mut wheel, 3), [7]);
        assert_eq!(taken(&mut wheel, 3 + BUCKETS as Tick), [0u32; 0]);
    }

    #[test]
    fn nothing_is_lost_over_a_long_pause_and_nothing_comes_early_by_more_than_the_wheel_is_wide() {
        let mut wheel = Wheel::new();
        (0..1000).for_each(|slot| wheel.add(slot, Tick::from(slot)));
        assert_eq!(taken(&mut wheel, 10_000).len(), 1000);
        wheel.add(1, 50_000);
        assert_eq!(taken(&mut wheel, 10_000 + BUCKETS as Tick - 1), [0u32; 0]);
        assert_eq!(taken(&mut wheel, 10_000 + BUCKETS as Tick), [1]);
    }
}
