//! Observation of a run: per-second samples, and resource usage before and after the measured window.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use game_client::endpoint::Target;

use crate::behaviour::SECOND_NS;
use crate::machine::{MachineTimes, Usage, descriptors};
use crate::measure::{Measures, Second, Tally};
use crate::options::Options;
use crate::os::Clock;
use crate::progress;
use crate::scrape::{self, Pending, Scrape};

/// Seconds between two progress lines if standard error is not a terminal.
const PLAIN_LINE_INTERVAL: usize = 5;

/// Longest wait for the server to close the sockets of disconnected clients.
const DESCRIPTORS_TIMEOUT: Duration = Duration::from_secs(5);

/// Polling interval of that wait.
const DESCRIPTORS_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Cumulative counts and resource usage at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Time, in nanoseconds of the run's clock.
    pub at_ns: u64,
    /// Counts of this program.
    pub tally: Tally,
    /// Resource usage of this program.
    pub own: Usage,
    /// Resource usage of the server; `None` without `--pid`.
    pub server: Option<Usage>,
    /// Times of the machine.
    pub machine: MachineTimes,
}

/// Samples a run.
#[derive(Debug)]
pub struct Observer {
    clock: Clock,
    metrics: Vec<Target>,
    pid: Option<u32>,
    next_ns: u64,
    last: Mark,
    /// All seconds so far.
    pub timeline: Vec<Second>,
    /// The marks at the begin and the end of the measured window.
    pub marks: Vec<Mark>,
    /// The scrapes at those two times.
    scrape_requests: Vec<Pending>,
    at_rest: Option<Pending>,
    /// Number of the server's descriptors before the first client connected.
    pub descriptors_before: Option<u64>,
    rewrites: bool,
}

impl Observer {
    pub fn new(options: &Options, clock: Clock) -> Observer {
        let mark = Mark::now(clock, options.pid, &Tally::default());
        Observer {
            clock,
            metrics: scrape::targets(options),
            pid: options.pid,
            next_ns: mark.at_ns + SECOND_NS,
            last: mark,
            timeline: Vec::new(),
            marks: Vec::new(),
            scrape_requests: Vec::new(),
            at_rest: None,
            descriptors_before: options.pid.and_then(descriptors),
            rewrites: std::io::stderr().is_terminal(),
        }
    }

    /// Returns the end of the current second.
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Marks the begin or the end of the measured window.
    pub fn mark(&mut self, tally: &Tally) {
        self.marks.push(Mark::now(self.clock, self.pid, tally));
        self.scrape_requests.push(scrape::begin(&self.metrics, self.clock));
    }

    /// Scrapes the server once all players stand still.
    pub fn scrape_at_rest(&mut self) {
        self.at_rest = Some(scrape::begin(&self.metrics, self.clock));
    }

    /// Returns the server's metrics at rest, and at the begin and the end of the window. Waits for pending responses.
    pub fn scrapes(&mut self) -> (Option<Scrape>, Vec<Option<Scrape>>) {
        let answer = |pending: Pending| pending.join().ok().flatten();
        (self.at_rest.take().and_then(answer), self.scrape_requests.drain(..).map(answer).collect())
    }

    /// Returns the number of the server's descriptors after all clients have disconnected. Waits for the server to
    /// close them.
    pub fn descriptors_after(&self) -> Option<u64> {
        let asked_from = Instant::now();
        loop {
            let count = descriptors(self.pid?);
            if count <= self.descriptors_before || asked_from.elapsed() > DESCRIPTORS_TIMEOUT {
                return count;
            }
            std::thread::sleep(DESCRIPTORS_POLL_INTERVAL);
        }
    }

    /// Records a complete second and prints progress.
    pub fn second(
        &mut self,
        now_ns: u64,
        stage: &str,
        playing: usize,
        tally: &Tally,
        measures: &mut Measures,
    ) {
        // A generator that was stopped records one long second, not many short ones.
        self.next_ns = (self.next_ns + SECOND_NS).max(now_ns + SECOND_NS / 2);
        let mark = Mark::now(self.clock, self.pid, tally);
        let passed = mark.since(&self.last);
        let (elapsed_s, counts) = (passed.seconds(), passed.tally);
        let second = Second {
            at_s: now_ns as f64 / 1e9,
            measured: measures.window.contains(now_ns),
            playing,
            left: counts.left,
            returned: counts.returned,
            moves: counts.moves,
            ack: measures.ack_this_second.summary(),
            lateness_p99_ms: measures.lateness_this_second.summary().p99_ms,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            frames_in: counts.frames_in_total(),
            server_cores: passed.server.map(|usage| usage.cpu_s / elapsed_s),
            server_resident_bytes: passed.server.map(|usage| usage.resident_bytes),
            generator_cores: passed.own.cpu_s / elapsed_s,
        };
        measures.ack_this_second.clear();
        measures.lateness_this_second.clear();
        self.last = mark;
        self.timeline.push(second);
        self.progress(stage, &second, elapsed_s);
    }

    fn progress(&self, stage: &str, second: &Second, elapsed_s: f64) {
        if !self.rewrites && !self.timeline.len().is_multiple_of(PLAIN_LINE_INTERVAL) {
            return;
        }
        let line = progress::line(stage, second, elapsed_s);
        // A failed write to a closed terminal does not end the run.
        let _ = if self.rewrites {
            write!(std::io::stderr(), "{}", progress::in_place(&line))
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }

    /// Ends the progress line that is rewritten in place.
    pub fn progress_done(&self) {
        if self.rewrites {
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl Mark {
    /// Returns the changes since an earlier mark.
    pub fn since(&self, earlier: &Mark) -> Mark {
        Mark {
            at_ns: self.at_ns - earlier.at_ns,
            tally: self.tally.since(&earlier.tally),
            own: self.own.since(&earlier.own),
            server: self.server.zip(earlier.server).map(|(now, before)| now.since(&before)),
            machine: self.machine.since(&earlier.machine),
        }
    }

    /// Returns the time between two marks, in seconds.
    pub fn seconds(&self) -> f64 {
        self.at_ns as f64 / 1e9
    }

    fn now(clock: Clock, pid: Option<u32>, tally: &Tally) -> Mark {
        Mark {
            at_ns: clock.now_ns(),
            tally: *tally,
            own: Usage::of(std::process::id()).unwrap_or_default(),
            server: pid.and_then(Usage::of),
            machine: MachineTimes::now(),
        }
    }
}
