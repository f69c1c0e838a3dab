//! Who has to do what next: a heap of moments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something a client does at its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Plays on.
    Play,
    /// Stops where it is, for good.
    Stop,
    /// Reads what has piled up, for those that do so only now and then.
    Read,
}

/// A task at a moment. One of an earlier life of the client (before it reconnected) is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The moment it was meant for, in nanoseconds of the run's clock.
    pub due_ns: u64,
    /// The client.
    pub client: usize,
    /// The client's life.
    pub generation: u32,
    /// What.
    pub task: Task,
}

/// All that is planned, the earliest first.
#[derive(Debug, Default)]
pub struct TaskQueue {
    entries: BinaryHeap<Reverse<Entry>>,
}

impl TaskQueue {
    /// Plans something.
    pub fn add(&mut self, entry: Entry) {
        self.entries.push(Reverse(entry));
    }

    /// The earliest moment planned.
    pub fn earliest_ns(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse(entry)| entry.due_ns)
    }

    /// Takes the earliest task if its moment has come.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Entry> {
        if self.earliest_ns()? > now_ns {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }

    /// Takes all tasks of one kind off the plan.
    pub fn remove_all(&mut self, task: Task) {
        self.entries.retain(|Reverse(entry)| entry.task != task);
    }
}

/// Evenly spaced moments: the n-th lies exactly `n / rate` seconds after the first, however late each is taken.
#[derive(Clone, Debug)]
pub struct FixedRate {
    first_ns: u64,
    interval_ns: f64,
    taken: u64,
}

impl FixedRate {
    /// So many moments a second, from `first_ns` on; none when the rate is 0.
    pub fn new(first_ns: u64, per_s: f64) -> FixedRate {
        FixedRate { first_ns, interval_ns: 1e9 / per_s, taken: 0 }
    }

    /// The next moment, in nanoseconds of the run's clock.
    pub fn next_ns(&self) -> u64 {
        // A rate of 0 has an infinite interval; the cast saturates.
        self.first_ns.saturating_add(if self.interval_ns.is_finite() {
            (self.taken as f64 * self.interval_ns) as u64
        } else {
            u64::MAX
        })
    }

    /// Takes the next moment if it has come.
    pub fn take_due(&mut self, now_ns: u64) -> bool {
        let is_due = self.next_ns() <= now_ns;
        self.taken += u64::from(is_due);
        is_due
    }

    /// Takes the next moment before it comes.
    pub fn take_early(&mut self) {
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(due_ns: u64, client: usize, task: Task) -> Entry {
        Entry { due_ns, client, generation: 0, task }
    }

    #[test]
    fn tasks_come_in_the_order_of_their_moments_and_not_before() {
        let mut tasks = TaskQueue::default();
        for due_ns in [30, 10, 20] {
            tasks.add(entry(due_ns, 1, Task::Play));
        }
        assert_eq!(tasks.take_due(9), None);
        let taken: Vec<u64> = std::iter::from_fn(|| tasks.take_due(25)).map(|entry| entry.due_ns).collect();
        assert_eq!(taken, [10, 20]);
        assert_eq!(tasks.earliest_ns(), Some(30));
    }

    #[test]
    fn one_kind_of_task_can_be_called_off() {
        let mut tasks = TaskQueue::default();
        tasks.add(entry(1, 1, Task::Play));
        tasks.add(entry(2, 1, Task::Read));
        tasks.remove_all(Task::Play);
        assert_eq!(tasks.take_due(9).map(|entry| entry.task), Some(Task::Read));
    }

    #[test]
    fn a_pace_makes_up_for_lateness_and_never_drifts() {
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
