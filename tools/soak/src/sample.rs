//! A sample of the server: figures of its process from the kernel, and its own metrics.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value as Json;
use stage::http::get_json;

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

/// Metrics of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Players.
    pub players: u64,
    /// Open sockets.
    pub open: u64,
    /// Executed ticks.
    pub ticks: u64,
    /// Skipped ticks.
    pub ticks_skipped: u64,
    /// Busy time of the event loop, in nanoseconds.
    pub busy_ns: u64,
    /// Level of the load governor.
    pub governor_level: u64,
    /// Players that have joined.
    pub upgraded: u64,
    /// Closed connections of players, for all reasons.
    pub closed: u64,
    /// Players dropped because they made no read progress.
    pub stalled: u64,
    /// Connections of players closed by a fault of the server.
    pub internal_errors: u64,
    /// Connections and requests refused.
    pub refused: u64,
    /// Protocol errors of clients.
    pub protocol_errors: u64,
    /// Messages over the rate limit.
    pub rate_limited: u64,
    /// Panics of workers.
    pub worker_panics: u64,
    /// Log lines dropped.
    pub log_lines_dropped: u64,
}

impl Sample {
    /// Names of the columns of [`Sample::row`].
    pub const HEADS: &'static str = "at_s,resident_bytes,descriptors,threads,waited_s,stolen_s,players,open,ticks,\
        ticks_skipped,busy_ns,governor_level,upgraded,closed,stalled,internal_errors,refused,protocol_errors,rate_limited,\
        worker_panics,log_lines_dropped";

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
        for column in 0..Own::COLUMNS {
            row.push(',');
            row.extend(own.map(|own| own[column].to_string()));
        }
        row
    }
}

impl Own {
    const COLUMNS: usize = 15;

    fn of(metrics: &Json) -> Option<Own> {
        let number = |path: &str| metrics.pointer(path)?.as_u64();
        Some(Own {
            players: number("/players")?,
            open: number("/connections/open")?,
            ticks: number("/ticks_total")?,
            ticks_skipped: number("/ticks_skipped_total")?,
            busy_ns: number("/loop_busy_ns_total")?,
            governor_level: number("/governor_level")?,
            upgraded: number("/connections/upgraded_total")?,
            closed: sum(metrics.get("closed")?)?,
            stalled: number("/closed/stalled")?,
            internal_errors: number("/closed/internal_error")?,
            refused: sum(metrics.get("refused")?)?,
            protocol_errors: sum(metrics.get("protocol_errors")?)?,
            rate_limited: number("/rate_limited_total")?,
            worker_panics: number("/worker_panics_total")?,
            log_lines_dropped: number("/log_lines_dropped_total")?,
        })
    }

    fn columns(&self) -> [u64; Own::COLUMNS] {
        [
            self.players,
            self.open,
            self.ticks,
            self.ticks_skipped,
            self.busy_ns,
            self.governor_level,
            self.upgraded,
            self.closed,
            self.stalled,
            self.internal_errors,
            self.refused,
            self.protocol_errors,
            self.rate_limited,
            self.worker_panics,
            self.log_lines_dropped,
        ]
    }

    /// Difference between joined players and the sum of present and closed ones; 0 if all counts are exact.
    pub fn unaccounted(&self) -> u64 {
        self.upgraded.abs_diff(self.players + self.closed)
    }
}

/// Returns the number of open descriptors of a process, or `None` if it has ended.
pub fn descriptors(pid: u32) -> Option<u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as u64)
}

fn sum(object: &Json) -> Option<u64> {
    object.as_object()?.values().map(Json::as_u64).sum()
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
        let columns = Sample::HEADS.split(',').count();
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
