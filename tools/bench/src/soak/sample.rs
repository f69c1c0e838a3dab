//! A sample of the server: figures of its process from the kernel, and its own metrics.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::figures::sum;
use crate::kernel::{self, Usage};
use crate::stage::Server;

/// Columns of the process.
const PROCESS: [&str; 5] = ["resident_bytes", "descriptors", "threads", "waited_s", "stolen_s"];

/// Columns of the server's metrics, and their JSON pointers. The counts of an object are summed.
const METRICS: [(&str, &str); 15] = [
    ("players", "/players"),
    ("open", "/connections/open"),
    ("ticks", "/ticks_total"),
    ("ticks_skipped", "/ticks_skipped_total"),
    ("busy_ns", "/loop_busy_ns_total"),
    ("governor_level", "/governor_level"),
    ("upgraded", "/connections/upgraded_total"),
    ("closed", "/closed"),
    ("stalled", "/closed/stalled"),
    ("internal_errors", "/closed/internal_error"),
    ("refused", "/refused"),
    ("protocol_errors", "/protocol_errors"),
    ("rate_limited", "/rate_limited_total"),
    ("worker_panics", "/worker_panics_total"),
    ("log_lines_dropped", "/log_lines_dropped_total"),
];

/// State of the server. Totals count from its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Values by column. Those of the metrics are absent without a response in time.
    pub values: BTreeMap<&'static str, f64>,
}

impl Sample {
    /// Samples the process and requests the server's metrics. Returns `None` if the process has ended.
    pub fn take(server: &Server, at_s: f64) -> Option<Sample> {
        let pid = server.process.id();
        let metrics = server.metrics().ok();
        let usage = Usage::of(pid)?;
        let process = [
            usage.resident_bytes as f64,
            kernel::descriptors(pid)? as f64,
            kernel::threads(pid)? as f64,
            usage.waited_s,
            kernel::stolen_s(),
        ];
        let own = metrics.as_ref().and_then(metrics_of).into_iter().flatten();
        Some(Sample { at_s, values: PROCESS.into_iter().zip(process).chain(own).collect() })
    }

    /// Returns the value of a column.
    pub fn value(&self, column: &str) -> Option<f64> {
        self.values.get(column).copied()
    }

    /// Returns the names of the columns of [`Sample::row`].
    pub fn heads() -> String {
        ["at_s"].into_iter().chain(columns()).collect::<Vec<_>>().join(",")
    }

    /// Formats a row of comma-separated values.
    pub fn row(&self) -> String {
        let values =
            columns().map(|column| self.value(column).map_or(String::new(), |value| value.to_string()));
        [format!("{:.1}", self.at_s)].into_iter().chain(values).collect::<Vec<_>>().join(",")
    }
}

fn columns() -> impl Iterator<Item = &'static str> {
    PROCESS.into_iter().chain(METRICS.map(|(column, _)| column))
}

/// Returns all metrics, or `None` if one is missing.
fn metrics_of(metrics: &Json) -> Option<Vec<(&'static str, f64)>> {
    let count = |value: &Json| value.as_u64().or_else(|| sum(value));
    let of =
        |(column, pointer): &(&'static str, &str)| Some((*column, count(metrics.pointer(pointer)?)? as f64));
    METRICS.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_has_every_column_and_a_missing_metric_is_no_response() {
        let mut metrics = json!({
            "players": 10, "ticks_total": 60, "ticks_skipped_total": 1, "loop_busy_ns_total": 5, "governor_level": 0,
            "connections": { "open": 12, "upgraded_total": 15 }, "closed": { "reset": 3, "stalled": 0, "internal_error": 1 },
            "refused": { "full": 2 }, "protocol_errors": {}, "rate_limited_total": 0, "worker_panics_total": 0,
            "log_lines_dropped_total": 9
        });
        let values = metrics_of(&metrics).unwrap().into_iter().collect();
        let sample = Sample { at_s: 5.04, values };
        assert_eq!(sample.row(), "5.0,,,,,,10,12,60,1,5,0,15,4,0,1,2,0,0,0,9");
        assert_eq!(sample.row().split(',').count(), Sample::heads().split(',').count());
        metrics["closed"] = json!(null);
        assert_eq!(metrics_of(&metrics), None);
    }
}
