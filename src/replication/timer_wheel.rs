//! Whose turn comes when.

use std::collections::VecDeque;

use crate::world::Tick;

/// The ticks to come, a page each, with the slots whose turn it is then. Opening a page costs what stands on it, however many
/// others there are.
#[derive(Debug, Default)]
pub(super) struct TimerWheel {
    /// The page of the tick [`TimerWheel::first`], and those after it. What stands there may hold no more.
    buckets: VecDeque<Vec<u32>>,
    first: Tick,
    /// By slot, the tick that holds.
    due: Vec<Tick>,
}

/// How turns are spread over ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Smoothing {
    /// Turns of a tick that are not too many.
    pub(super) target_len: usize,
    /// How many ticks sooner a turn may come.
    pub(super) early_max: Tick,
}

/// No turn at all.
const NEVER: Tick = Tick::MAX;

impl TimerWheel {
    /// This slot's turn comes in this tick, or in the next to be opened if that one is past; no longer in another.
    pub(super) fn schedule(&mut self, slot: u32, tick: Tick) {
        let tick = tick.max(self.first);
        let bucket = (tick - self.first) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize_with(bucket + 1, Vec::new);
        }
        self.buckets[bucket].push(slot);
        if self.due.len() <= slot as usize {
            self.due.resize(slot as usize + 1, NEVER);
        }
        self.due[slot as usize] = tick;
    }

    /// This slot's turn comes in this tick, or somewhat sooner if that one has its share already.
    pub(super) fn schedule_smoothed(&mut self, slot: u32, tick: Tick, smoothing: &Smoothing) {
        let load = |tick: Tick| {
            let bucket = tick.checked_sub(self.first).and_then(|bucket| self.buckets.get(bucket as usize));
            bucket.map_or(0, Vec::len)
        };
        let ticks = (tick.saturating_sub(smoothing.early_max).max(self.first)..=tick).rev();
        let chosen = ticks.clone().find(|&tick| load(tick) < smoothing.target_len);
        let chosen = chosen.or_else(|| ticks.min_by_key(|&tick| load(tick)));
        self.schedule(slot, chosen.unwrap_or(tick));
    }

    /// This slot's turn does not come any more.
    pub(super) fn cancel(&mut self, slot: u32) {
        if let Some(due) = self.due.get_mut(slot as usize) {
            *due = NEVER;
        }
    }

    /// Appends the slots whose turn came in this tick or before it, each once; they have to be entered again.
    pub(super) fn advance(&mut self, now: Tick, slots: &mut Vec<u32>) {
        let past = usize::try_from((now + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        for _ in 0..past.min(self.buckets.len()) {
            let mut bucket = self.buckets.pop_front().expect("as many as there are");
            for slot in bucket.drain(..) {
                let due = &mut self.due[slot as usize];
                if *due == self.first {
                    *due = NEVER;
                    slots.push(slot);
                }
            }
            // Its memory serves a later tick.
            self.buckets.push_back(bucket);
            self.first += 1;
        }
        self.first = self.first.max(now + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_turn_comes_once_and_when_it_was_entered_last(
            ticks in proptest::collection::vec(
                (1u64..30, proptest::collection::vec((0u32..20, proptest::option::of(0u64..50)), 0..20)), 1..50,
            ),
        ) {
            let (mut wheel, mut due) = (TimerWheel::default(), HashMap::new());
            let mut now = 0;
            for (pause, entries) in ticks {
                now += pause;
                let mut slots = Vec::new();
                wheel.advance(now, &mut slots);
                slots.sort_unstable();
                let mut expected: Vec<u32> = due.extract_if(|_, tick| *tick <= now).map(|(slot, _)| slot).collect();
                expected.sort_unstable();
                prop_assert_eq!(slots, expected);
                for (slot, after) in entries {
                    if let Some(after) = after {
                        wheel.schedule(slot, now + after);
                        due.insert(slot, now + after);
                    } else {
                        wheel.cancel(slot);
                        due.remove(&slot);
                    }
                }
            }
        }
    }

    #[test]
    fn a_crowd_that_comes_at_once_is_spread_over_the_ticks_before() {
        let mut wheel = TimerWheel::default();
        (0..30)
            .for_each(|slot| wheel.schedule_smoothed(slot, 10, &Smoothing { target_len: 8, early_max: 2 }));
        let turns = [7, 8, 9, 10, 11].map(|tick| {
            let mut slots = Vec::new();
            wheel.advance(tick, &mut slots);
            slots.len()
        });
        assert_eq!(turns, [0, 10, 10, 10, 0]);
    }

    #[test]
    fn a_long_pause_costs_no_more_than_what_is_entered() {
        let (mut wheel, mut slots) = (TimerWheel::default(), Vec::new());
        wheel.schedule(3, 5);
        wheel.advance(Tick::MAX / 2, &mut slots);
        assert_eq!(slots, [3]);
        wheel.schedule(3, 7);
        wheel.advance(Tick::MAX / 2 + 1, &mut slots);
        assert_eq!(slots, [3, 3], "what is past comes next");
    }
}
