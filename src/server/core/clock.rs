//! The core's time. Every deadline uses [`Clock::now_ms`], which stops while the process does not run: a suspended server
//! closes no connection for the time it missed.
//!
//! Invariants: `polled_ns <= slept_ns <= now_ns`, `not_ready_ns <= polled_ns`, and `paused_ns <= now_ns - started_ns`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::run_clock::RunClock;
use super::wall_clock::WallClock;
use crate::limits::LOOP_PAUSE_MS_MIN;
use crate::wire::http::Date;

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// The time as of the last wake-up, in nanoseconds of the system's monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Clock {
    started_ns: u64,
    /// Off-CPU time since the start that counts as suspension.
    paused_ns: u64,
    /// Earliest possible arrival of the input that the current events report: the `polled_ns` before their poll.
    not_ready_ns: u64,
    /// Start of the last poll that reported all ready sockets.
    polled_ns: u64,
    /// Start of the last wait.
    slept_ns: u64,
    /// The last wake-up.
    now_ns: u64,
    cpu: RunClock,
    #[serde(skip)]
    wall: WallClock,
}

impl Clock {
    /// Starts the clock at this time, with this CPU time of the thread.
    pub fn new(now_ns: u64, cpu_ns: u64) -> Self {
        Self {
            started_ns: now_ns,
            paused_ns: 0,
            not_ready_ns: now_ns,
            polled_ns: now_ns,
            slept_ns: now_ns,
            now_ns,
            cpu: RunClock::new(now_ns, cpu_ns),
            wall: WallClock::new(),
        }
    }

    /// Records the start of a wait. Returns the time since the last wake-up, in nanoseconds.
    pub fn begin_wait(&mut self, now_ns: u64) -> u64 {
        self.slept_ns = now_ns;
        self.not_ready_ns = self.polled_ns;
        now_ns - self.now_ns
    }

    /// Records a wake-up. `is_complete` tells whether the wait reported all ready sockets. `thread_cpu_ns` reads the thread's CPU
    /// time, which only an unusually long turn needs.
    pub fn end_wait(&mut self, now_ns: u64, is_complete: bool, thread_cpu_ns: impl FnOnce() -> u64) {
        if is_complete {
            self.polled_ns = self.slept_ns;
        }
        // The tick timer ends a regular wait much sooner.
        if now_ns - self.now_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
            let off_cpu_ns = self.cpu.off_cpu_ns(self.now_ns, now_ns, thread_cpu_ns());
            if off_cpu_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
                self.paused_ns += off_cpu_ns;
            }
        }
        self.now_ns = now_ns;
    }

    /// Takes a sample of the thread's CPU time; called once per tick.
    pub fn sample(&mut self, now_ns: u64, cpu_ns: u64) {
        self.cpu.sample(now_ns, cpu_ns);
    }

    /// Returns the last wake-up.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Returns the milliseconds since the start without suspensions: the clock of all deadlines.
    pub fn now_ms(&self) -> u64 {
        (self.now_ns - self.started_ns - self.paused_ns) / NS_PER_MS
    }

    /// Returns the milliseconds since the start, suspensions included.
    pub fn uptime_ms(&self) -> u64 {
        (self.now_ns - self.started_ns) / NS_PER_MS
    }

    /// Returns the earliest possible arrival of the input that the current events report, on the clock of [`Clock::uptime_ms`].
    pub fn not_ready_ms(&self) -> u64 {
        (self.not_ready_ns - self.started_ns) / NS_PER_MS
    }

    /// Returns the date for responses sent now. `unix_time` is read once a second.
    pub fn date(&mut self, unix_time: impl FnOnce() -> Duration) -> Date {
        self.wall.date(self.now_ns, unix_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_MS;

    #[test]
    fn deadlines_stop_while_the_process_is_suspended() {
        let mut clock = Clock::new(1_000 * MS, 0);
        assert_eq!(clock.begin_wait(1_001 * MS), MS);
        clock.end_wait(1_016 * MS, true, || unreachable!("a regular wait reads no CPU time"));
        assert_eq!((clock.now_ms(), clock.uptime_ms(), clock.not_ready_ms()), (16, 16, 0));
        clock.sample(1_016 * MS, MS);
        clock.begin_wait(1_017 * MS);
        // Ten seconds pass without any CPU time.
        clock.end_wait(11_017 * MS, true, || 2 * MS);
        assert_eq!((clock.now_ms(), clock.uptime_ms()), (17, 10_017));
        clock.begin_wait(11_018 * MS);
        clock.end_wait(16_018 * MS, true, || 3 * MS);
        assert_eq!((clock.now_ms(), clock.uptime_ms()), (17, 15_018));
    }

    #[test]
    fn input_may_be_as_old_as_the_poll_before_the_last_complete_one() {
        let mut clock = Clock::new(0, 0);
        for (slept_ms, woken_ms, is_complete, not_ready_ms) in
            [(1, 2, true, 0), (3, 4, true, 1), (5, 6, false, 3), (7, 8, true, 3), (9, 10, true, 7)]
        {
            clock.begin_wait(slept_ms * MS);
            clock.end_wait(woken_ms * MS, is_complete, || 0);
            assert_eq!(clock.not_ready_ms(), not_ready_ms, "at {woken_ms} ms");
        }
    }
}
