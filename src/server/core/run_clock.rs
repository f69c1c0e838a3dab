//! Off-CPU clock: distinguishes a suspended process from a slow loop iteration. Only time in which the thread did not run
//! counts as a pause. Reading a thread's CPU time costs a system call, so only ticks and unusually long iterations read it.

use serde::{Deserialize, Serialize};

/// Monotonic time and the thread's CPU time at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sample {
    at_ns: u64,
    cpu_ns: u64,
}

/// The last two samples. At least one is older than the current iteration, which contains at most one tick.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunClock {
    samples: [Sample; 2],
}

impl RunClock {
    /// Starts the clock with a first sample.
    pub fn new(at_ns: u64, cpu_ns: u64) -> Self {
        Self { samples: [Sample { at_ns, cpu_ns }; 2] }
    }

    /// Takes a sample; called once per tick.
    pub fn sample(&mut self, at_ns: u64, cpu_ns: u64) {
        self.samples = [self.samples[1], Sample { at_ns, cpu_ns }];
    }

    /// Returns an upper bound of the time since `since_ns` in which the thread did not run. It includes sleep between the
    /// sample before `since_ns` and `since_ns` itself, which is at most two ticks.
    pub fn off_cpu_ns(&self, since_ns: u64, now_ns: u64, cpu_ns: u64) -> u64 {
        let [older, newer] = self.samples;
        let from = if newer.at_ns <= since_ns { newer } else { older };
        let off_cpu_ns = now_ns.saturating_sub(from.at_ns).saturating_sub(cpu_ns.saturating_sub(from.cpu_ns));
        off_cpu_ns.min(now_ns.saturating_sub(since_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn computing_is_not_a_pause_but_being_suspended_is() {
        let mut clock = RunClock::new(0, 0);
        clock.sample(1_000 * MS, 100 * MS);
        clock.sample(1_016 * MS, 101 * MS);
        // The iteration lasts from 1,020 ms to 1,320 ms, with different amounts of CPU time.
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 401 * MS), 4 * MS);
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 101 * MS), 300 * MS);
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 251 * MS), 154 * MS);
    }

    #[test]
    fn a_tick_within_the_iteration_hides_no_pause() {
        let mut clock = RunClock::new(0, 0);
        clock.sample(1_000 * MS, 100 * MS);
        // Suspended for ten seconds before the tick of the iteration that began at 1,010 ms.
        clock.sample(11_010 * MS, 101 * MS);
        assert_eq!(clock.off_cpu_ns(1_010 * MS, 11_011 * MS, 102 * MS), 10_001 * MS);
    }
}
