//! Renders the metrics as JSON and as Prometheus text.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value as Json, json};

use super::{Gauges, Metrics, describe, window::Histogram};

/// Prefix of every Prometheus name.
const PREFIX: &str = "pixi_";

/// Units in keys: ending, ending of the base unit that Prometheus wants instead, and units in one base unit.
const UNITS: [(&str, &str, f64); 3] =
    [("_ns", "_seconds", 1e9), ("_ms", "_seconds", 1e3), ("_hz", "_hertz", 1.0)];

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Prometheus text exposition 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns the value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What `/health` says about the cluster of its node.
#[derive(Clone, Copy, Debug)]
pub struct ClusterHealth<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// `ok` or `degraded`.
    pub state: &'a str,
    /// Players of all nodes, as far as this one knows.
    pub players_in_world: u64,
}

/// Renders the body of `/health`, with the cluster if there is one.
pub fn health_json(status: &str, uptime_s: u64, players: u64, cluster: Option<ClusterHealth<'_>>) -> String {
    let cluster = cluster.map_or(String::new(), |ClusterHealth { node, state, players_in_world }| {
        format!(r#","node":"{node}","cluster":"{state}","players_in_world":{players_in_world}"#)
    });
    format!(r#"{{"status":"{status}","uptime_seconds":{uptime_s},"players":{players}{cluster}}}"#)
}

/// Renders the body of `/metrics`.
pub fn render(metrics: &Metrics, gauges: &Gauges, format: Format) -> String {
    let mut described = describe(metrics, gauges);
    if let (Some(node), false) = (&gauges.node, format == Format::Json) {
        let help = " Name of this node in its world.";
        described.push(Metric {
            key: "node",
            name: Some("node_info"),
            help,
            value: Info("node", node.clone()),
        });
    }
    match format {
        Format::Json => render_json(&described, gauges),
        Format::Prometheus => render_text(&described, false),
        Format::OpenMetrics => render_text(&described, true),
    }
}

/// Description and value of a metric, for all formats.
pub(super) struct Metric<'a> {
    /// JSON key; `a.b` is the key `b` in the object `a`.
    pub key: &'static str,
    /// Prometheus name without its prefix, where it differs from the name that [`Metric::name`] derives from the key.
    pub name: Option<&'static str>,
    /// The help text as a doc comment: after a space, with variables in backticks.
    pub help: &'static str,
    pub value: Value<'a>,
}

pub(super) enum Value<'a> {
    Counter(u64),
    Gauge(u64),
    /// A gauge with decimals.
    Float(f64),
    /// Label, and one counter per label value.
    Labelled(&'static str, Vec<(&'static str, u64)>),
    /// Durations: nanoseconds in JSON, seconds in Prometheus.
    Histogram(&'a Histogram),
    /// A label and its value; the number is 1.
    Info(&'static str, String),
}
use Value::{Counter, Float, Gauge, Info, Labelled};

impl Metric<'_> {
    /// Returns the Prometheus name. By convention it spells out base units, and the name of a counter ends in `_total`.
    fn name(&self) -> String {
        let name = self.name.map_or_else(|| self.key.replace('.', "_"), str::to_owned);
        let name = UNITS.iter().fold(name, |name, (unit, base, _)| name.replace(unit, base));
        let total = if matches!(self.value, Labelled(..)) { "_total" } else { "" };
        format!("{PREFIX}{name}{total}")
    }

    /// Returns a value in the unit of Prometheus.
    fn scale(&self, count: u64) -> String {
        let unit = UNITS.iter().find(|(unit, ..)| self.key.contains(unit));
        unit.map_or_else(|| count.to_string(), |(.., per_base)| (count as f64 / per_base).to_string())
    }
}

fn render_json(described: &[Metric], gauges: &Gauges) -> String {
    let mut root = Map::new();
    for metric in described {
        match metric.key.split_once('.') {
            None => {
                root.insert(metric.key.to_owned(), json_value(&metric.value));
            }
            Some((object, key)) => {
                // The first member creates the object.
                root.entry(object).or_insert_with(|| json!({}))[key] = json_value(&metric.value);
            }
        }
    }
    root.extend(gauges.node.iter().map(|node| ("node".to_owned(), json!(node))));
    root.extend(gauges.nodes.iter().map(|nodes| ("nodes".to_owned(), nodes.clone())));
    Json::Object(root).to_string()
}

fn json_value(value: &Value) -> Json {
    match value {
        Counter(count) | Gauge(count) => json!(count),
        // More than four decimals would be noise.
        Float(value) => json!((value * 1e4).round() / 1e4),
        Labelled(_, counts) => counts.iter().map(|&(name, count)| (name, count)).collect(),
        Info(label, value) => json!({ *label: value }),
        Value::Histogram(histogram) => {
            let buckets: Json = histogram.cumulative().map(|(ns, count)| (ns.to_string(), count)).collect();
            json!({ "le_ns": buckets, "count": histogram.count(), "sum_ns": histogram.sum_ns() })
        }
    }
}

/// Renders Prometheus text 0.0.4, or `OpenMetrics` 1.0, which ends with `# EOF` and drops `_total` from families.
fn render_text(described: &[Metric], open_metrics: bool) -> String {
    let mut out = String::new();
    for metric in described {
        write_metric(&mut out, metric, open_metrics).expect("writing to a String does not fail");
    }
    if open_metrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_metric(out: &mut String, metric: &Metric, open_metrics: bool) -> fmt::Result {
    let name = metric.name();
    // OpenMetrics names a family without the suffix of its samples.
    let (kind, suffix) = match &metric.value {
        Counter(_) | Labelled(..) => ("counter", "_total"),
        Info(..) if open_metrics => ("info", "_info"),
        Gauge(_) | Float(_) | Info(..) => ("gauge", ""),
        Value::Histogram(_) => ("histogram", ""),
    };
    let family = name.strip_suffix(suffix).filter(|_| open_metrics).unwrap_or(&name);
    let help = metric.help.trim_start().replace('`', "");
    writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}")?;
    match &metric.value {
        Counter(count) | Gauge(count) => writeln!(out, "{name} {}", metric.scale(*count)),
        Float(value) => writeln!(out, "{name} {value}"),
        Info(label, value) => writeln!(out, "{name}{{{label}=\"{value}\"}} 1"),
        Labelled(label, counts) => counts
            .iter()
            .try_for_each(|(value, count)| writeln!(out, "{name}{{{label}=\"{value}\"}} {count}")),
        Value::Histogram(histogram) => write_histogram(out, &name, histogram),
    }
}

fn write_histogram(out: &mut String, name: &str, histogram: &Histogram) -> fmt::Result {
    for (bound_ns, count) in histogram.cumulative() {
        writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", seconds(bound_ns))?;
    }
    let (count, sum_s) = (histogram.count(), seconds(histogram.sum_ns()));
    writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
    writeln!(out, "{name}_sum {sum_s}\n{name}_count {count}")
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
