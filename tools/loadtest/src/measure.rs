//! What is counted and measured while a run goes on.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Shortest time that histograms tell from none, in nanoseconds.
const SHORTEST_NS: u64 = 1_000;

/// Longest time that histograms hold, in nanoseconds; longer ones count as this.
const LONGEST_NS: u64 = 120_000_000_000;

/// Significant digits of recorded times.
const DIGITS: u8 = 3;

/// A histogram of times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        Times(Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS).expect("the bounds are valid"))
    }
}

impl Times {
    /// Records one time.
    pub fn record(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The figures people ask for.
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

    /// How many times fell into ranges that grow by the factor `2^(1 / per_doubling)`: upper ends in milliseconds, and
    /// counts. Only ranges between the shortest and the longest time recorded.
    pub fn ranges(&self, per_doubling: u32) -> Vec<(f64, u64)> {
        let factor = 2f64.powf(1.0 / f64::from(per_doubling));
        let range_of = |time_ns: u64| ((time_ns.max(SHORTEST_NS) as f64).ln() / factor.ln()).floor() as i32;
        let mut counts = BTreeMap::new();
        for recorded in self.0.iter_recorded() {
            *counts.entry(range_of(recorded.value_iterated_to())).or_insert(0) += recorded.count_at_value();
        }
        let (first, last) = (counts.keys().next().copied(), counts.keys().next_back().copied());
        let all = first.zip(last).map_or(0..0, |(first, last)| first..last + 1);
        all.map(|range| (factor.powi(range + 1) / 1e6, counts.get(&range).copied().unwrap_or(0))).collect()
    }

    /// The mean time until the end of the stretch that an arbitrary moment falls into, when the recorded times are
    /// stretches that follow each other, in milliseconds.
    pub fn mean_residual_ms(&self) -> f64 {
        let (mean, deviation) = (self.0.mean(), self.0.stdev());
        if mean > 0.0 { (mean * mean + deviation * deviation) / (2.0 * mean) / 1e6 } else { 0.0 }
    }
}

fn to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// The figures people ask for, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Times recorded.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Half were at most this.
    pub p50_ms: f64,
    /// Nine of ten were at most this.
    pub p90_ms: f64,
    /// 99 of 100 were at most this.
    pub p99_ms: f64,
    /// 999 of 1,000 were at most this.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Kinds of frames from the server, in the order of [`Tally::frames_in`].
pub const FRAME_KINDS: [&str; 9] =
    ["game_state", "ack", "joined", "left", "attack", "direction", "movement", "ping", "other"];

/// The place of a game message's kind in [`FRAME_KINDS`], by its first byte.
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

/// The place of pings in [`FRAME_KINDS`].
pub const PING: usize = 7;

/// Counts since the start of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// MOVEs sent.
    pub moves: u64,
    /// MOVEs answered.
    pub acks: u64,
    /// Answers to no MOVE, or to one answered before.
    pub acks_unexpected: u64,
    /// MOVEs whose connection ended before their answer came, where that was the server's doing or the network's.
    pub acks_lost: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Frames received, by kind.
    pub frames_in: [u64; FRAME_KINDS.len()],
    /// Bytes sent, without TCP's own.
    pub bytes_out: u64,
    /// Bytes received, without TCP's own.
    pub bytes_in: u64,
    /// Clients that left to come back.
    pub left: u64,
    /// Clients that came back.
    pub returned: u64,
    /// Time the loop did not wait, in nanoseconds.
    pub busy_ns: u64,
}

impl Tally {
    /// What was counted since an earlier state.
    pub fn since(&self, earlier: &Tally) -> Tally {
        Tally {
            moves: self.moves - earlier.moves,
            acks: self.acks - earlier.acks,
            acks_unexpected: self.acks_unexpected - earlier.acks_unexpected,
            acks_lost: self.acks_lost - earlier.acks_lost,
            frames_out: self.frames_out - earlier.frames_out,
            frames_in: std::array::from_fn(|kind| self.frames_in[kind] - earlier.frames_in[kind]),
            bytes_out: self.bytes_out - earlier.bytes_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
            left: self.left - earlier.left,
            returned: self.returned - earlier.returned,
            busy_ns: self.busy_ns - earlier.busy_ns,
        }
    }

    /// Frames received of all kinds.
    pub fn frames_in_total(&self) -> u64 {
        self.frames_in.iter().sum()
    }
}

/// What was sent and when, until its answer comes.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Number of the MOVE.
    pub sequence: u32,
    /// When it was to be sent.
    pub intended_ns: u64,
    /// When the write was attempted.
    pub sent_ns: u64,
    /// So many were unanswered together that they may have reached the server in one pile, over its rate limit.
    pub is_backlogged: bool,
}

/// All times of a run.
#[derive(Debug, Default)]
pub struct Measures {
    /// From the moment a MOVE was to be sent to its answer: what a player would have waited, a late generator or a
    /// full socket included. Nothing is omitted because an earlier answer was late.
    pub ack: Times,
    /// From the write of a MOVE to its answer.
    pub ack_from_write: Times,
    /// As `ack`, while clients were still connecting.
    pub ack_while_connecting: Times,
    /// As `ack`, of the second under way.
    pub ack_this_second: Times,
    /// From the moment something was to be sent to its write.
    pub lateness: Times,
    /// As `lateness`, of the second under way.
    pub lateness_this_second: Times,
    /// How long the loop's turns took, waiting excluded: what arrives meanwhile is read a turn later.
    pub iterations: Times,
    /// From the begin of a connection to its first full state.
    pub connect: Times,
    /// The window whose MOVEs count, in nanoseconds of the run's clock.
    pub window: Window,
}

/// A stretch of time, its beginning included and its end not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Beginning; with an end of 0, the window has not begun.
    pub from_ns: u64,
    /// End.
    pub until_ns: u64,
}

impl Window {
    /// Whether the moment falls into it.
    pub fn contains(&self, at_ns: u64) -> bool {
        (self.from_ns..self.until_ns).contains(&at_ns)
    }
}

impl Measures {
    /// Records an answer that came at `now_ns`.
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

    /// Records that something was sent at `now_ns` that was meant for `intended_ns`.
    pub fn sent(&mut self, intended_ns: u64, now_ns: u64) {
        let late_ns = now_ns.saturating_sub(intended_ns);
        self.lateness_this_second.record(late_ns);
        if self.window.contains(intended_ns) {
            self.lateness.record(late_ns);
        }
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Its end, in seconds since the start.
    pub at_s: f64,
    /// Whether it belongs to the measured window.
    pub measured: bool,
    /// Clients playing at its end.
    pub playing: usize,
    /// What was counted in it.
    pub tally: Tally,
    /// Answers that came in it.
    pub ack: Summary,
    /// How late the generator was in it.
    pub lateness: Summary,
    /// Cores the server used, and its memory in bytes; none without `--pid`.
    pub server: Option<(f64, u64)>,
    /// Cores the generator used.
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
    fn a_stall_counts_for_every_move_that_was_due_in_it() {
        // One MOVE every 10 ms for 10 s; the server answers at once, but stalls for the last second.
        let mut measures =
            Measures { window: Window { from_ns: 0, until_ns: 10_000 * MS }, ..Measures::default() };
        for n in 0..1_000 {
            let intended_ns = n * 10 * MS;
            // The generator, too, was stopped meanwhile, and wrote everything at the end.
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
    fn only_moves_meant_for_the_window_count_whenever_their_answer_comes() {
        let mut measures = Measures { window: Window { from_ns: 100, until_ns: 200 }, ..Measures::default() };
        for intended_ns in [99, 100, 199, 200] {
            let pending = Pending { sequence: 1, intended_ns, sent_ns: intended_ns, is_backlogged: false };
            measures.answered(&pending, 5_000, true);
            measures.sent(intended_ns, 5_000);
        }
        assert_eq!(measures.ack.summary().count, 2);
        assert_eq!(measures.lateness.summary().count, 2);
        assert_eq!(measures.ack_while_connecting.summary().count, 4);
        assert!(!Window::default().contains(0), "no window yet");
    }

    #[test]
    fn ranges_cover_every_time_once() {
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
    fn the_residual_of_equal_stretches_is_half_of_one() {
        let mut times = Times::default();
        for _ in 0..10 {
            times.record(4 * MS);
        }
        assert!(close(times.mean_residual_ms(), 2.0));
    }
}
