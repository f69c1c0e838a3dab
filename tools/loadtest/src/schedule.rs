//! The queue of due tasks, and evenly spaced schedules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A scheduled task of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Perform the next action.
    Play,
    /// Stop walking until the end of the run.
    Stop,
    /// Drain the socket of a slow reader.
    Read,
}

/// A task with its due time. It is void if the client, or the hostile peer, has reconnected since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry<T> {
    /// Due time, in nanoseconds of the run's clock.
    pub due_ns: u64,
    /// The client.
    pub client: usize,
    /// The generation of the client's connection.
    pub generation: u32,
    /// The task.
    pub task: T,
}

/// All scheduled tasks, ordered by due time.
#[derive(Debug)]
pub struct TaskQueue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
}

impl<T: Copy + Ord> Default for TaskQueue<T> {
    fn default() -> TaskQueue<T> {
        TaskQueue { entries: BinaryHeap::new() }
    }
}

impl<T: Copy + Ord> TaskQueue<T> {
    /// Schedules a task.
    pub fn add(&mut self, entry: Entry<T>) {
        self.entries.push(Reverse(entry));
    }

    /// Returns the earliest due time.
    pub fn earliest_ns(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse(entry)| entry.due_ns)
    }

    /// Removes and returns the earliest task if it is due.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Entry<T>> {
        if self.earliest_ns()? > now_ns {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }

    /// Removes all tasks of one kind.
    pub fn remove_all(&mut self, task: T) {
        self.entries.retain(|Reverse(entry)| entry.task != task);
    }
}

/// Evenly spaced times: the n-th is exactly `n / rate` seconds after the first, regardless of when earlier ones were
/// taken.
#[derive(Clone, Debug)]
pub struct FixedRate {
    first_ns: u64,
    interval_ns: f64,
    taken: u64,
}

impl FixedRate {
    /// Returns a schedule of `per_s` times per second from `first_ns` on. A rate of 0 never fires.
    pub fn new(first_ns: u64, per_s: f64) -> FixedRate {
        FixedRate { first_ns, interval_ns: 1e9 / per_s, taken: 0 }
    }

    /// Returns the next time, in nanoseconds of the run's clock.
    pub fn next_ns(&self) -> u64 {
        // A rate of 0 has an infinite interval; the cast saturates.
        self.first_ns.saturating_add(if self.interval_ns.is_finite() {
            (self.taken as f64 * self.interval_ns) as u64
        } else {
            u64::MAX
        })
    }

    /// Takes the next time if it is due.
    pub fn take_due(&mut self, now_ns: u64) -> bool {
        let is_due = self.next_ns() <= now_ns;
        self.taken += u64::from(is_due);
        is_due
    }

    /// Takes the next time before it is due.
    pub fn take_early(&mut self) {
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_rate_catches_up_and_never_drifts() {
        let mut rate = FixedRate::new(1_000, 3.0);
        assert!(!rate.take_due(999));
        let mut taken = 0;
        while rate.take_due(1_000 + 10_000_000_000) {
            taken += 1;
        }
        assert_eq!(taken, 31);
        assert_eq!(rate.next_ns(), 1_000 + 10_333_333_333);
        rate.take_early();
        assert_eq!(rate.next_ns(), 1_000 + 10_666_666_666);
        assert_eq!(FixedRate::new(5, 0.0).next_ns(), u64::MAX);
    }
}
