//! Tells a pause of the process from a turn that the loop made slow itself: only time in which the thread did not run is
//! a pause. The processor time of a thread costs a system call; the tick asks for it in any case, and a turn of the loop
//! only when it took longer than any should.

/// The thread's processor time at a moment, both in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    cpu_ns: u64,
}

/// The last two samples: at least one of them is older than the turn under way, which holds one tick at most.
#[derive(Debug)]
pub(super) struct RunClock {
    samples: [Sample; 2],
}

impl RunClock {
    /// Begins with a first sample.
    pub fn new(at_ns: u64, cpu_ns: u64) -> Self {
        Self { samples: [Sample { at_ns, cpu_ns }; 2] }
    }

    /// Takes the sample of a tick.
    pub fn sample(&mut self, at_ns: u64, cpu_ns: u64) {
        self.samples = [self.samples[1], Sample { at_ns, cpu_ns }];
    }

    /// For how long the thread did not run since a moment, at the most: the sleep between the sample before that moment
    /// and the moment itself, two ticks or less, is part of it.
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
    fn a_turn_that_computes_is_no_pause_and_one_that_stands_still_is() {
        let mut clock = RunClock::new(0, 0);
        clock.sample(1_000 * MS, 100 * MS);
        clock.sample(1_016 * MS, 101 * MS);
        // Woken at 1,020, back at 1,320; what the thread ran meanwhile differs.
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 401 * MS), 4 * MS);
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 101 * MS), 300 * MS);
        assert_eq!(clock.off_cpu_ns(1_020 * MS, 1_320 * MS, 251 * MS), 154 * MS);
    }

    #[test]
    fn a_tick_within_the_turn_hides_no_pause() {
        let mut clock = RunClock::new(0, 0);
        clock.sample(1_000 * MS, 100 * MS);
        // Stopped for ten seconds before the tick of the turn that began at 1,010.
        clock.sample(11_010 * MS, 101 * MS);
        assert_eq!(clock.off_cpu_ns(1_010 * MS, 11_011 * MS, 102 * MS), 10_001 * MS);
    }
}
