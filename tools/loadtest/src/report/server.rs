//! The server in the measured window, from the kernel and its metrics.

use game_client::text::thousands;
use serde::Serialize;

use super::Named;
use crate::measure::Second;
use crate::observe::Mark;
use crate::scrape::Scrape;

/// The server's resource usage and metrics.
#[derive(Debug, Default, Serialize)]
pub struct ServerAccount {
    /// CPU time, in seconds.
    pub cpu_s: Option<f64>,
    /// Cores used.
    pub cores: Option<f64>,
    /// Fraction of the time for which its main thread was runnable but not running.
    pub wait_ratio: Option<f64>,
    /// Highest resident memory at the end of a second, in bytes.
    pub resident_bytes_max: Option<u64>,
    /// Resident memory at the begin of the window, in bytes.
    pub resident_bytes_begin: Option<u64>,
    /// Resident memory at the end of the window, in bytes.
    pub resident_bytes_end: Option<u64>,
    /// Open descriptors before the first client connected.
    pub descriptors_before: Option<u64>,
    /// Open descriptors after the last client disconnected.
    pub descriptors_after: Option<u64>,
    /// CPU time per socket read or write, in microseconds.
    pub cpu_us_per_socket_call: Option<f64>,
    /// The values of [`METRICS`], as far as it provides them; `None` without metrics.
    pub metrics: Option<Named<Option<f64>>>,
}

/// A metric: its name in the report, its value, and its text, which is empty if it is not worth a word.
type Metric = (&'static str, fn(&Scrapes) -> Option<f64>, fn(f64) -> String);

/// Every metric in the report.
#[rustfmt::skip] // One row per metric.
const METRICS: [Metric; 12] = [
    ("tick_rate_hz", |window| window.per_s("ticks_total"), |hz| format!("{hz:.2} ticks/s")),
    ("ticks_skipped", |window| window.growth("ticks_skipped_total"), |count| format!("{count:.0} skipped")),
    ("tick_p99_ms", |window| Some(window.after("tick_p99_ns")? / 1e6), |ms| format!("tick p99 {ms:.2} ms")),
    ("loop_busy_ratio", |window| Some(window.per_s("loop_busy_ns_total")? / 1e9), |ratio| format!("loop busy {:.0} %", ratio * 100.0)),
    ("bandwidth_saved_ratio", |window| window.bandwidth_saved(), |ratio| format!("{:.2} % bandwidth saved", ratio * 100.0)),
    ("socket_reads_per_s", |window| window.per_s("socket_reads_total"), |rate| format!("{} reads/s", thousands(rate as u64))),
    ("socket_writes_per_s", |window| window.per_s("socket_writes_total"), |rate| format!("{} writes/s", thousands(rate as u64))),
    ("write_stalls", |window| window.growth("write_stalls_total"), |count| unless_zero(count, "writes stalled")),
    ("rate_limited", |window| window.growth("rate_limited_total"), |count| unless_zero(count, "messages rate-limited")),
    ("flush_interval_ms", |window| window.after("flush_interval_ms"), |ms| format!("flush every {ms:.0} ms")),
    ("max_visible", |window| window.after("max_visible"), |count| format!("at most {count:.0} visible")),
    ("governor_level", |window| window.after("governor_level"), |level| format!("governor at {level:.0}")),
];

/// The metrics at the begin and the end of the measured window.
struct Scrapes<'a>(&'a Scrape, &'a Scrape);

impl Scrapes<'_> {
    fn after(&self, key: &str) -> Option<f64> {
        self.1.number(key)
    }

    fn growth(&self, key: &str) -> Option<f64> {
        Some(self.1.number(key)? - self.0.number(key)?)
    }

    fn per_s(&self, key: &str) -> Option<f64> {
        Some(self.growth(key)? / ((self.1.at_ns - self.0.at_ns) as f64 / 1e9))
    }

    /// Returns the fraction of bytes saved compared with a snapshot in every tick.
    fn bandwidth_saved(&self) -> Option<f64> {
        let full = self.growth("snapshot_bytes_total").filter(|bytes| *bytes > 0.0)?;
        Some(1.0 - self.growth("bytes_out_total")? / full)
    }
}

fn unless_zero(count: f64, what: &str) -> String {
    if count > 0.0 { format!("{count:.0} {what}") } else { String::new() }
}

impl ServerAccount {
    /// Returns the account of the window between two marks and their scrapes; empty without a complete window.
    pub fn of(marks: &[Mark], scrapes: &[Option<Scrape>], timeline: &[Second]) -> ServerAccount {
        let [begin, end] = marks else { return ServerAccount::default() };
        let passed = end.since(begin);
        let seconds = passed.seconds();
        let cpu_s = passed.server.map(|usage| usage.cpu_s);
        let cores = cpu_s.map(|cpu_s| cpu_s / seconds);
        let measured = timeline.iter().filter(|second| second.measured);
        let resident = measured.filter_map(|second| second.server_resident_bytes);
        let at_end = end.server.map(|usage| usage.resident_bytes);
        let window = match scrapes {
            [Some(before), Some(after)] => Some(Scrapes(before, after)),
            _ => None,
        };
        let calls_per_s = window.as_ref().and_then(|window| {
            Some(window.per_s("socket_reads_total")? + window.per_s("socket_writes_total")?)
        });
        ServerAccount {
            cpu_s,
            cores,
            cpu_us_per_socket_call: cores.zip(calls_per_s).map(|(cores, calls)| cores / calls * 1e6),
            wait_ratio: passed.server.map(|usage| usage.waited_s / seconds),
            resident_bytes_max: resident.chain(at_end).max(),
            resident_bytes_begin: begin.server.map(|usage| usage.resident_bytes),
            resident_bytes_end: at_end,
            metrics: window
                .map(|window| Named(METRICS.map(|(name, value, _)| (name, value(&window))).into())),
            ..ServerAccount::default()
        }
    }

    /// Returns what is known about the server, in short phrases.
    pub fn phrases(&self) -> Vec<String> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let resident = self.resident_bytes_end.zip(self.resident_bytes_begin);
        let descriptors = self.descriptors_after.zip(self.descriptors_before);
        let usage = [
            self.cores.map(|cores| format!("{cores:.2} cores")),
            self.wait_ratio.map(|ratio| format!("{:.1} % without a processor", ratio * 100.0)),
            self.resident_bytes_max.map(|bytes| format!("{:.1} MiB in RAM", mib(bytes))),
            resident.map(|(end, begin)| format!("{:+.2} MiB in the window", mib(end) - mib(begin))),
            descriptors
                .map(|(after, before)| format!("{after} descriptors at the end, {before} at the start")),
            self.cpu_us_per_socket_call.map(|us| format!("{us:.2} us of CPU per socket call")),
        ];
        let values = self.metrics.iter().flat_map(|Named(values)| values);
        let metrics = METRICS.iter().zip(values).filter_map(|((.., text), (_, value))| value.map(text));
        usage.into_iter().flatten().chain(metrics).filter(|phrase| !phrase.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_those_of_the_window() {
        let scrape = |at_ns, body| Some(Scrape { at_ns, body });
        let before = scrape(1_000_000_000, json!({ "ticks_total": 100, "snapshot_bytes_total": 0 }));
        let after = scrape(
            3_000_000_000,
            json!({ "ticks_total": 220, "snapshot_bytes_total": 400,
            "bytes_out_total": "many", "max_visible": 128, "write_stalls_total": 1 }),
        );
        let mark = Mark::default();
        let account =
            ServerAccount::of(&[mark, Mark { at_ns: 2_000_000_000, ..mark }], &[before, after], &[]);
        assert_eq!(account.phrases(), ["60.00 ticks/s", "at most 128 visible"]);
        assert_eq!(ServerAccount::of(&[mark], &[], &[]).phrases(), [] as [&str; 0]);
    }
}
