//! A sample of the server: figures of its process from the kernel, and its own metrics.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use game_client::http::get_json;
use serde_json::Value as Json;

/// Timeout of a response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clock ticks of `/proc` per second: always 100 on Linux in user space.
const CLOCK_TICKS_PER_S: f64 = 100.0;

/// Bytes per KiB, the unit of `/proc/PID/status`.
const KIB: u64 = 1_024;

/// State of the server. Totals count from its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Time in which its main thread was runnable without a CPU, in seconds.
    pub waited_s: f64,
    /// Steal time over all cores, in seconds.
    pub stolen_s: f64,
    /// Its metrics; `None` without a response in time.
    pub own: Option<Own>,
}

/// Declares the metrics of the server: fields, which are the columns, and JSON pointers. The counts of an object are summed.
macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident = $pointer:literal,)+) => {
        /// Metrics of the server.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Own {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl Own {
            const HEADS: &'static [&'static str] = &[$(stringify!($field)),+];

            fn of(metrics: &Json) -> Option<Own> {
                Some(Own { $($field: count(metrics.pointer($pointer)?)?,)+ })
            }

            fn columns(&self) -> [u64; Own::HEADS.len()] {
                [$(self.$field),+]
            }
        }
    };
}

metrics! {
    /// Players.
    players = "/players",
    /// Open sockets.
    open = "/connections/open",
    /// Executed ticks.
    ticks = "/ticks_total",
    /// Skipped ticks.
    ticks_skipped = "/ticks_skipped_total",
    /// Busy time of the event loop, in nanoseconds.
    busy_ns = "/loop_busy_ns_total",
    /// Level of the load governor.
    governor_level = "/governor_level",
    /// Players that have joined.
    upgraded = "/connections/upgraded_total",
    /// Closed connections of players, for all reasons.
    closed = "/closed",
    /// Players dropped because they made no read progress.
    stalled = "/closed/stalled",
    /// Connections of players closed by a fault of the server.
    internal_errors = "/closed/internal_error",
    /// Connections and requests refused.
    refused = "/refused",
    /// Protocol errors of clients.
    protocol_errors = "/protocol_errors",
    /// Messages over the rate limit.
    rate_limited = "/rate_limited_total",
    /// Panics of workers.
    worker_panics = "/worker_panics_total",
    /// Log lines dropped.
    log_lines_dropped = "/log_lines_dropped_total",
}

impl Sample {
    /// Returns the names of the columns of [`Sample::row`].
    pub fn heads() -> String {
        format!("at_s,resident_bytes,descriptors,threads,waited_s,stolen_s,{}", Own::HEADS.join(","))
    }

    /// Samples the process and requests the server's metrics. Returns `None` if the process has ended.
    pub fn take(pid: u32, server: SocketAddr, at_s: f64) -> Option<Sample> {
        let own = get_json(server, "/metrics", PATIENCE).ok().as_ref().and_then(Own::of);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Sample {
            at_s,
            resident_bytes: number_in(&status, "VmRSS:")? * KIB,
            descriptors: descriptors(pid)?,
            threads: number_in(&status, "Threads:")?,
            waited_s: waited_s(pid),
            stolen_s: stolen_s(),
            own,
        })
    }

    /// Formats a row of comma-separated values.
    pub fn row(&self) -> String {
        let mut row = format!(
            "{:.1},{},{},{},{:.2},{:.2}",
            self.at_s, self.resident_bytes, self.descriptors, self.threads, self.waited_s, self.stolen_s
        );
        let own = self.own.as_ref().map(Own::columns);
        for column in 0..Own::HEADS.len() {
            row.push(',');
            row.extend(own.map(|own| own[column].to_string()));
        }
        row
    }
}

impl Own {
    /// Difference between joined players and the sum of present and closed ones; 0 if all counts are exact.
    pub fn unaccounted(&self) -> u64 {
        self.upgraded.abs_diff(self.players + self.closed)
    }
}

/// Returns the number of open descriptors of a process, or `None` if it has ended.
pub fn descriptors(pid: u32) -> Option<u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as u64)
}

fn count(value: &Json) -> Option<u64> {
    value.as_u64().or_else(|| value.as_object()?.values().map(Json::as_u64).sum())
}

/// Returns the number after a word at the start of a line.
fn number_in(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the second number of `schedstat`, in seconds; 0 if the kernel has none.
fn waited_s(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let waited_ns = text.split_ascii_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    waited_ns.unwrap_or(0) as f64 / 1e9
}

/// Returns the eighth number of the first line of `/proc/stat`, in seconds.
fn stolen_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let stolen = first.split_ascii_whitespace().nth(8).and_then(|number| number.parse::<u64>().ok());
    stolen.unwrap_or(0) as f64 / CLOCK_TICKS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_has_a_value_for_every_column() {
        let columns = Sample::heads().split(',').count();
        let silent = Sample::default();
        assert_eq!(silent.row().split(',').count(), columns);
        let sample =
            Sample { own: Some(Own { players: 7, log_lines_dropped: 9, ..Own::default() }), ..silent };
        let row = sample.row();
        assert_eq!(row.split(',').count(), columns);
        assert!(row.starts_with("0.0,0,0,0,0.00,0.00,7,") && row.ends_with(",9"), "{row}");
    }

    #[test]
    fn metrics_are_parsed() {
        let mut metrics = json!({
            "players": 10, "ticks_total": 60, "ticks_skipped_total": 1, "loop_busy_ns_total": 5, "governor_level": 0,
            "connections": { "open": 12, "upgraded_total": 15 }, "closed": { "reset": 3, "stalled": 0, "internal_error": 1 },
            "refused": { "full": 2 }, "protocol_errors": {}, "rate_limited_total": 0, "worker_panics_total": 0,
            "log_lines_dropped_total": 0
        });
        let own = Own::of(&metrics).unwrap();
        assert_eq!((own.open, own.closed, own.internal_errors, own.refused), (12, 4, 1, 2));
        assert_eq!(own.unaccounted(), 1);
        metrics["closed"] = json!(null);
        assert_eq!(Own::of(&metrics), None);
    }

    #[test]
    fn the_test_process_is_sampled() {
        let unreachable = SocketAddr::from(([127, 0, 0, 1], 1));
        let sample = Sample::take(std::process::id(), unreachable, 1.5).unwrap();
        assert!(
            sample.resident_bytes > 100_000 && sample.descriptors > 2 && sample.threads > 0,
            "{sample:?}"
        );
        assert_eq!(sample.own, None);
        assert_eq!(Sample::take(u32::MAX, unreachable, 0.0), None);
    }
}
