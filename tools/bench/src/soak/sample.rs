//! A sample of the server: figures of its process from the kernel, and its own metrics.

use serde_json::Value as Json;

use crate::figures::sum;
use crate::kernel;
use crate::stage::Server;

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
    pub fn take(server: &Server, at_s: f64) -> Option<Sample> {
        let pid = server.process.id();
        let own = server.metrics().ok().as_ref().and_then(Own::of);
        Some(Sample {
            at_s,
            resident_bytes: kernel::resident_bytes(pid)?,
            descriptors: kernel::descriptors(pid)?,
            threads: kernel::threads(pid)?,
            waited_s: kernel::waited_s(pid),
            stolen_s: kernel::stolen_s(),
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

fn count(value: &Json) -> Option<u64> {
    value.as_u64().or_else(|| sum(value))
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
}
