//! A timer wheel: schedules the tick of each viewer's next flush.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use crate::world::Tick;

/// One bucket of slots for each coming tick. Advancing costs only as much as the buckets it opens.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TimerWheel {
    /// The buckets of the tick [`TimerWheel::first`] and of those after it. A bucket may hold stale entries:
    /// an entry counts only if [`TimerWheel::due`] names the bucket's tick.
    buckets: VecDeque<Vec<u32>>,
    first: Tick,
    /// Tick for which each slot is scheduled, or [`NEVER`].
    due: Vec<Tick>,
}

/// Bounds for smoothing the load over neighboring ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Smoothing {
    /// Bucket size from which an earlier tick is preferred.
    pub(super) target_len: usize,
    /// Maximum number of ticks by which a flush is moved forward.
    pub(super) early_max: Tick,
}

/// Due tick of a slot that is not scheduled.
const NEVER: Tick = Tick::MAX;

impl TimerWheel {
    /// Schedules a slot, again if need be, for `tick` or, if that is past, for the next tick to be opened.
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

    /// Schedules a slot for `tick`, or for an earlier tick within the bounds when that tick's bucket is full.
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

    pub(super) fn cancel(&mut self, slot: u32) {
        if let Some(due) = self.due.get_mut(slot as usize) {
            *due = NEVER;
        }
    }

    /// Appends the slots due in or before tick `now`, each once. They are then no longer scheduled.
    pub(super) fn advance(&mut self, now: Tick, slots: &mut Vec<u32>) {
        let past = usize::try_from((now + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        for _ in 0..past.min(self.buckets.len()) {
            let mut bucket = self.buckets.pop_front().expect("bounded by the number of buckets");
            for slot in bucket.drain(..) {
                let due = &mut self.due[slot as usize];
                if *due == self.first {
                    *due = NEVER;
                    slots.push(slot);
                }
            }
            // The emptied bucket keeps its allocation and is reused for a later tick.
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
        fn each_slot_is_due_once_at_its_last_scheduled_tick(
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
    fn simultaneous_flushes_are_spread_over_earlier_ticks() {
        let mut wheel = TimerWheel::default();
        (0..30)
            .for_each(|slot| wheel.schedule_smoothed(slot, 10, &Smoothing { target_len: 8, early_max: 2 }));
        let due = [7, 8, 9, 10, 11].map(|tick| {
            let mut slots = Vec::new();
            wheel.advance(tick, &mut slots);
            slots.len()
        });
        assert_eq!(due, [0, 10, 10, 10, 0]);
    }

    #[test]
    fn the_cost_of_a_long_pause_depends_on_scheduled_slots_only() {
        let (mut wheel, mut slots) = (TimerWheel::default(), Vec::new());
        wheel.schedule(3, 5);
        wheel.advance(Tick::MAX / 2, &mut slots);
        assert_eq!(slots, [3]);
        wheel.schedule(3, 7);
        wheel.advance(Tick::MAX / 2 + 1, &mut slots);
        assert_eq!(slots, [3, 3], "a past tick is due next");
    }
}
