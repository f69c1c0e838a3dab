//! Counters and histograms of a run.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Resolution of histograms, in nanoseconds.
const SHORTEST_NS: u64 = 1_000;

/// Longest time of histograms, in nanoseconds. Longer times are recorded as this.
const LONGEST_NS: u64 = 120_000_000_000;

/// Significant digits of recorded times.
const DIGITS: u8 = 3;

/// A histogram of times in nanoseconds. It is serialized as its [`Summary`].
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        Times(Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS).expect("the bounds are valid"))
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

impl Times {
    /// Records one time.
    pub fn record(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns);
    }

    /// Returns a histogram of one time.
    #[cfg(test)]
    pub fn of_ms(time_ms: u64) -> Times {
        let mut times = Times::default();
        times.record(time_ms * 1_000_000);
        times
    }

    /// Clears the histogram.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Returns mean, percentiles and maximum.
    pub fn summary(&self) -> Summary {
        let ms = |quantile: f64| to_ms(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            mean_ms: self.0.mean() / 1e6,
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: to_ms(self.0.max()),
        }
    }

    /// Returns counts per range with its upper end in milliseconds. Ranges grow by the factor `2^(1 / per_doubling)`
    /// and span the recorded times.
    pub fn ranges(&self, per_doubling: u32) -> Vec<(f64, u64)> {
        let factor = 2f64.powf(1.0 / f64::from(per_doubling));
        let ranges = self.0.iter_log(SHORTEST_NS, factor);
        let counts =
            ranges.map(|range| (to_ms(range.value_iterated_to() + 1), range.count_since_last_iteration()));
        counts.skip_while(|&(_, count)| count == 0).collect()
    }

    /// Returns the mean residual time in milliseconds: the time from a random moment to the end of its interval, if
    /// the recorded times are consecutive intervals.
    pub fn mean_residual_ms(&self) -> f64 {
        let (mean, deviation) = (self.0.mean(), self.0.stdev());
        if mean > 0.0 { (mean * mean + deviation * deviation) / (2.0 * mean) / 1e6 } else { 0.0 }
    }
}

fn to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Summary of a histogram, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Number of recorded times.
    pub count: u64,
    /// Arithmetic mean.
    #[serde(rename = "mean")]
    pub mean_ms: f64,
    /// Median.
    #[serde(rename = "p50")]
    pub p50_ms: f64,
    /// 90th percentile.
    #[serde(rename = "p90")]
    pub p90_ms: f64,
    /// 99th percentile.
    #[serde(rename = "p99")]
    pub p99_ms: f64,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p999_ms: f64,
    /// Maximum.
    #[serde(rename = "max")]
    pub max_ms: f64,
}

/// Kinds of frames from the server, in the order of [`Tally::frames_in`].
pub const FRAME_KINDS: [&str; 9] =
    ["game_state", "ack", "joined", "left", "attack", "direction", "movement", "ping", "other"];

/// Returns the index in [`FRAME_KINDS`] of a game message, by its first byte.
pub fn frame_kind(first_byte: Option<&u8>) -> usize {
    match first_byte {
        Some(7) => 0,
        Some(8) => 1,
        Some(11) => 2,
        Some(12) => 3,
        Some(253) => 4,
        Some(254) => 5,
        Some(255) => 6,
        _ => 8,
    }
}

/// Index of pings in [`FRAME_KINDS`].
pub const PING: usize = 7;

/// Counts since the start of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// MOVEs sent.
    pub moves: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Frames received, by kind.
    pub frames_in: [u64; FRAME_KINDS.len()],
    /// Payload bytes sent over TCP.
    pub bytes_out: u64,
    /// Payload bytes received over TCP.
    pub bytes_in: u64,
    /// Clients that disconnected to reconnect.
    pub left: u64,
    /// Clients that reconnected.
    pub returned: u64,
    /// Time for which the loop did not wait, in nanoseconds.
    pub busy_ns: u64,
}

impl Tally {
    /// Returns the counts since an earlier state.
    pub fn since(&self, earlier: &Tally) -> Tally {
        Tally {
            moves: self.moves - earlier.moves,
            frames_out: self.frames_out - earlier.frames_out,
            frames_in: std::array::from_fn(|kind| self.frames_in[kind] - earlier.frames_in[kind]),
            bytes_out: self.bytes_out - earlier.bytes_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
            left: self.left - earlier.left,
            returned: self.returned - earlier.returned,
            busy_ns: self.busy_ns - earlier.busy_ns,
        }
    }

    /// Returns the number of received frames of all kinds.
    pub fn frames_in_total(&self) -> u64 {
        self.frames_in.iter().sum()
    }
}

/// A sent MOVE that awaits its ack.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Sequence number of the MOVE.
    pub sequence: u32,
    /// Time at which it was due.
    pub intended_ns: u64,
    /// Time of the write.
    pub sent_ns: u64,
    /// Whether it was part of a backlog, which may have exceeded the server's rate limit on arrival.
    pub is_backlogged: bool,
}

/// Histograms of a run.
#[derive(Debug, Default)]
pub struct Measures {
    /// From the due time of a MOVE to its ack: the latency a player experiences, including a late generator and a
    /// full socket. There is no coordinated omission.
    pub ack: Times,
    /// From the write of a MOVE to its ack.
    pub ack_from_write: Times,
    /// Like `ack`, while clients are still connecting.
    pub ack_while_connecting: Times,
    /// Like `ack`, of the current second.
    pub ack_this_second: Times,
    /// From a due time to the write.
    pub lateness: Times,
    /// Like `lateness`, of the current second.
    pub lateness_this_second: Times,
    /// Durations of loop iterations without waiting. Data that arrives during an iteration is read in the next one.
    pub iterations: Times,
    /// The measured window, in nanoseconds of the run's clock.
    pub window: Window,
}

/// A half-open interval of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Start. With an end of 0, the window has not begun.
    pub from_ns: u64,
    /// End, exclusive.
    pub until_ns: u64,
}

impl Window {
    /// Whether the window contains the time.
    pub fn contains(&self, at_ns: u64) -> bool {
        (self.from_ns..self.until_ns).contains(&at_ns)
    }
}

impl Measures {
    /// Records an ack received at `now_ns`.
    pub fn answered(&mut self, pending: &Pending, now_ns: u64, is_connecting: bool) {
        let waited_ns = now_ns.saturating_sub(pending.intended_ns);
        self.ack_this_second.record(waited_ns);
        if is_connecting {
            self.ack_while_connecting.record(waited_ns);
        }
        if self.window.contains(pending.intended_ns) {
            self.ack.record(waited_ns);
            self.ack_from_write.record(now_ns.saturating_sub(pending.sent_ns));
        }
    }

    /// Records a write at `now_ns` that was due at `intended_ns`.
    pub fn sent(&mut self, intended_ns: u64, now_ns: u64) {
        let late_ns = now_ns.saturating_sub(intended_ns);
        self.lateness_this_second.record(late_ns);
        if self.window.contains(intended_ns) {
            self.lateness.record(late_ns);
        }
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Second {
    /// Its end, in seconds since the start.
    pub at_s: f64,
    /// Whether it belongs to the measured window.
    pub measured: bool,
    /// Clients playing at its end.
    pub playing: usize,
    /// Clients that disconnected to reconnect.
    pub left: u64,
    /// Clients that reconnected.
    pub returned: u64,
    /// MOVEs sent.
    pub moves: u64,
    /// Round trips of the acks received in it.
    #[serde(rename = "ack_ms")]
    pub ack: Summary,
    /// 99th percentile of the generator's lateness.
    pub lateness_p99_ms: f64,
    /// Payload bytes received over TCP.
    pub bytes_in: u64,
    /// Payload bytes sent over TCP.
    pub bytes_out: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Cores used by the server; `None` without `--pid`.
    pub server_cores: Option<f64>,
    /// Resident memory of the server; `None` without `--pid`.
    pub server_resident_bytes: Option<u64>,
    /// Cores used by the generator.
    pub generator_cores: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected * 0.002
    }

    #[test]
    fn a_stall_delays_every_move_that_was_due() {
        // One MOVE every 10 ms for 10 s. The server acknowledges immediately, but stalls for the last second.
        let mut measures =
            Measures { window: Window { from_ns: 0, until_ns: 10_000 * MS }, ..Measures::default() };
        for n in 0..1_000 {
            let intended_ns = n * 10 * MS;
            // The generator was stopped too, and wrote everything at the end.
            let sent_ns = if n < 900 { intended_ns } else { 10_000 * MS };
            let pending = Pending { sequence: n as u32, intended_ns, sent_ns, is_backlogged: false };
            measures.answered(&pending, sent_ns + MS, false);
        }
        let (corrected, from_write) = (measures.ack.summary(), measures.ack_from_write.summary());
        assert!(close(corrected.max_ms, 1_001.0), "{corrected:?}");
        assert!(close(corrected.p99_ms, 901.0), "{corrected:?}");
        assert!(close(corrected.mean_ms, 1.0 + 0.1 * 505.0), "{corrected:?}");
        assert!(close(from_write.max_ms, 1.0), "{from_write:?}");
    }

    #[test]
    fn only_moves_due_in_the_window_count() {
        let mut measures = Measures { window: Window { from_ns: 100, until_ns: 200 }, ..Measures::default() };
        for intended_ns in [99, 100, 199, 200] {
            let pending = Pending { sequence: 1, intended_ns, sent_ns: intended_ns, is_backlogged: false };
            measures.answered(&pending, 5_000, true);
            measures.sent(intended_ns, 5_000);
        }
        assert_eq!(measures.ack.summary().count, 2);
        assert_eq!(measures.lateness.summary().count, 2);
        assert_eq!(measures.ack_while_connecting.summary().count, 4);
        assert!(!Window::default().contains(0), "the window has not begun");
    }

    #[test]
    fn ranges_count_every_time_once() {
        let mut times = Times::default();
        for time_ns in [0, 500, 1_500, 90_000, 90_001, MS, 3_000 * MS] {
            times.record(time_ns);
        }
        let ranges = times.ranges(3);
        assert_eq!(ranges.iter().map(|(_, count)| count).sum::<u64>(), 7);
        assert!(ranges.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(Times::default().ranges(3).is_empty());
    }

    #[test]
    fn the_mean_residual_of_equal_intervals_is_half_of_one() {
        let mut times = Times::default();
        for _ in 0..10 {
            times.record(4 * MS);
        }
        assert!(close(times.mean_residual_ms(), 2.0));
    }
}
