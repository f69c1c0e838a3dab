//! The metrics as JSON and as Prometheus text. Both are made from one description of every metric, so that none can be
//! in one and missing in the other.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value as Json, json};

use super::{ClusterGauges, Configured, Gauges, Metrics, window::Histogram};

/// Goes before every Prometheus name.
const PREFIX: &str = "pixi_";

/// How to render.
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
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The body of `/health`.
pub fn health_json(status: &str, uptime_s: u64, players: u64, cluster: Option<&str>) -> String {
    let cluster = cluster.map_or(String::new(), |cluster| format!(r#","cluster":"{cluster}""#));
    format!(r#"{{"status":"{status}","uptime_seconds":{uptime_s},"players":{players}{cluster}}}"#)
}

/// The body of `/metrics`.
pub fn render(metrics: &Metrics, gauges: &Gauges, format: Format) -> String {
    let described = describe(metrics, gauges);
    match format {
        Format::Json => render_json(&described),
        Format::Prometheus => render_text(&described, false),
        Format::OpenMetrics => render_text(&described, true),
    }
}

/// One metric, for all formats.
struct Metric<'a> {
    /// The JSON key; `a.b` is the key `b` in the object `a`.
    key: &'static str,
    /// The Prometheus name where it isn't what [`Metric::name`] makes of the key.
    name: Option<&'static str>,
    help: &'static str,
    value: Value<'a>,
}

enum Value<'a> {
    Counter(u64),
    Gauge(u64),
    Ratio(f64),
    /// Nanoseconds in JSON, seconds in Prometheus.
    CounterNs(u64),
    /// As above.
    GaugeNs(u64),
    /// Milliseconds in JSON, seconds in Prometheus.
    GaugeMs(u64),
    /// One counter for each value of the label that comes first.
    Kinds(&'static str, Vec<(&'static str, u64)>),
    Histogram(&'a Histogram),
    /// What does not change, as the label that comes first; its number is 1.
    Info(&'static str, &'static str),
}
use Value::{Counter, CounterNs, Gauge, GaugeMs, GaugeNs, Info, Kinds, Ratio};

fn metric<'a>(key: &'static str, help: &'static str, value: Value<'a>) -> Metric<'a> {
    Metric { key, name: None, help, value }
}

impl Metric<'_> {
    fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// The Prometheus name: by convention units are base units, in full, and counters end in `_total`.
    fn name(&self) -> String {
        if let Some(name) = self.name {
            return format!("{PREFIX}{name}");
        }
        let name = self.key.replace('.', "_").replace("_hz", "_hertz");
        match &self.value {
            CounterNs(_) | GaugeNs(_) => format!("{PREFIX}{}", name.replace("_ns", "_seconds")),
            GaugeMs(_) => format!("{PREFIX}{}", name.replace("_ms", "_seconds")),
            Kinds(..) => format!("{PREFIX}{name}_total"),
            _ => format!("{PREFIX}{name}"),
        }
    }
}

/// Every metric, in the order of the JSON keys.
fn describe<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    let mut described = describe_load(metrics, gauges);
    described.extend(describe_traffic(metrics, gauges));
    described.extend(describe_configured(&gauges.configured));
    described.extend(describe_kinds(metrics, gauges));
    if let Some(cluster) = &gauges.cluster {
        described.extend(describe_cluster(metrics, cluster));
    }
    described
}

/// Players, ticks and load.
fn describe_load<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    let tick = metrics.tick_percentiles();
    vec![
        metric("players", "Players in the world.", Gauge(gauges.players)),
        metric("tick_duration_ns", "Duration of the last tick.", GaugeNs(metrics.tick_duration_ns()))
            .named("last_tick_duration_seconds"),
        metric(
            "events_per_second",
            "Game messages received a second, lately.",
            Ratio(metrics.events_per_second()),
        ),
        metric("uptime_seconds", "Time since the start.", Gauge(gauges.uptime_ms / 1000)),
        metric("goroutines", "Threads of the process.", Gauge(gauges.threads)).named("threads"),
        metric("tick_rate_hz", "Ticks a second, lately.", Ratio(metrics.tick_rate_hz())),
        metric("tick_p50_ns", "Median duration of the last ticks.", GaugeNs(tick.p50_ns)),
        metric("tick_p99_ns", "99th percentile of the last ticks' durations.", GaugeNs(tick.p99_ns)),
        metric("tick_max_ns", "Longest duration of the last ticks.", GaugeNs(tick.max_ns)),
        metric("ticks_total", "Ticks run.", Counter(metrics.ticks_total())),
        metric("ticks_skipped_total", "Ticks missed and made up for.", Counter(metrics.ticks_skipped_total)),
        metric("loop_busy_ratio", "Part of the time not waited, lately.", Ratio(metrics.loop_busy_ratio())),
        metric("flush_interval_ms", "Time between two flushes.", GaugeMs(gauges.flush_interval_ms)),
        metric("max_visible", "Most players a client is shown.", Gauge(gauges.max_visible)),
    ]
}

/// Messages, bytes, system calls and what else is counted in one number.
fn describe_traffic<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    vec![
        metric("messages_in_total", "Game messages received.", Counter(metrics.messages_in_total)),
        metric("messages_out_total", "Game messages sent.", Counter(metrics.messages_out_total)),
        metric("bytes_in_total", "Bytes read from sockets.", Counter(metrics.bytes_in_total)),
        metric("bytes_out_total", "Bytes written to sockets.", Counter(metrics.bytes_out_total)),
        metric("socket_reads_total", "Reads from sockets.", Counter(metrics.socket_reads_total)),
        metric("socket_writes_total", "Writes to sockets.", Counter(metrics.socket_writes_total)),
        metric("write_stalls_total", "Writes not taken in full.", Counter(metrics.write_stalls_total)),
        metric("resident_bytes", "Memory of the process that is in RAM.", Gauge(gauges.resident_bytes)),
        metric("cpu_ns_total", "Processor time of the process.", CounterNs(gauges.cpu_ns_total)),
        metric(
            "bandwidth_saved_ratio",
            "Part of the snapshot bytes that was not sent.",
            Ratio(metrics.bandwidth_saved_ratio()),
        ),
        metric(
            "snapshot_bytes_total",
            "Bytes that full states at every tick would have cost.",
            Counter(metrics.snapshot_bytes_total),
        ),
        metric("visibility_rate_hz", "Visibility computations a second.", Gauge(gauges.visibility_rate_hz)),
        metric(
            "rounds_overrun_total",
            "Ticks that found the round before them unfinished.",
            Counter(metrics.rounds_overrun_total),
        ),
        metric("governor_level", "Rungs the load governor stands above 0.", Gauge(gauges.governor_level)),
        metric(
            "governor_climbs_total",
            "Climbs of the load governor.",
            Counter(gauges.governor_climbs_total),
        ),
        metric(
            "rate_limited_total",
            "Messages and pings over the rate limit.",
            Counter(metrics.rate_limited_total),
        ),
        metric("worker_panics_total", "Contained panics of workers.", Counter(metrics.worker_panics_total)),
        metric("log_lines_dropped_total", "Log lines dropped.", Counter(metrics.log_lines_dropped_total)),
        metric("static_bytes", "Bytes of the static files in memory.", Gauge(gauges.static_bytes)),
        metric("resumes_remembered", "Players who may come back.", Gauge(gauges.resumes_remembered)),
        metric(
            "resume_store_failures_total",
            "Failed writes of players' places.",
            Counter(gauges.resume_store_failures_total),
        ),
        metric("loop_busy_ns_total", "Time the loop did not wait.", CounterNs(metrics.busy_ns_total)),
        metric("tick_durations", "Durations of all ticks.", Value::Histogram(metrics.ticks.histogram()))
            .named("tick_duration_seconds"),
    ]
}

/// Connections and what is counted by kind.
fn describe_kinds<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    vec![
        metric(
            "answers_cut",
            "HTTP answers that ended before their last byte.",
            Kinds("reason", metrics.responses_truncated.iter().collect()),
        ),
        metric("frames_out", "Frames sent.", Kinds("kind", metrics.frames_out.iter().collect())),
        metric(
            "protocol_errors",
            "Protocol errors.",
            Kinds("kind", metrics.protocol_errors.iter().collect()),
        ),
        metric(
            "connections.accepted_total",
            "Connections accepted.",
            Counter(metrics.connections_accepted_total),
        ),
        metric(
            "connections.accept_exhausted_total",
            "Times the kernel had no descriptor or memory for a connection.",
            Counter(metrics.accept_exhausted_total),
        ),
        metric(
            "connections.upgraded_total",
            "WebSocket handshakes.",
            Counter(metrics.connections_upgraded_total),
        ),
        metric(
            "connections.forwarding_unclear_total",
            "WebSocket handshakes with unclear forwarded addresses.",
            Counter(metrics.forwarding_unclear_total),
        ),
        metric("connections.open", "Open sockets.", Gauge(gauges.connections_open)),
        metric("connections.http_requests_total", "HTTP requests.", Counter(metrics.http_requests_total)),
        metric(
            "connections.idle_displaced_total",
            "Idle HTTP connections closed to make room.",
            Counter(metrics.idle_displaced_total),
        ),
        metric("refused", "Refused requests.", Kinds("reason", metrics.refused.iter().collect())),
        metric("closed", "Ended game connections.", Kinds("reason", metrics.closed.iter().collect())),
        metric("resumes", "Tickets shown.", Kinds("outcome", metrics.reconnects.iter().collect())),
    ]
}

/// What the others are held against: a rule that takes its thresholds from here holds for every configuration.
fn describe_configured(configured: &Configured) -> Vec<Metric<'static>> {
    vec![
        metric("tick_rate_configured_hz", "Ticks a second, as configured.", Gauge(configured.tick_rate_hz)),
        metric(
            "flush_interval_configured_ms",
            "Time between two flushes, as configured.",
            GaugeMs(configured.flush_interval_ms),
        ),
        metric(
            "max_visible_configured",
            "Most players a client is shown, as configured.",
            Gauge(configured.max_visible),
        ),
        metric(
            "governor_level_max",
            "Highest level of the load governor.",
            Gauge(configured.governor_level_max),
        ),
        metric("players_max", "Most players in the world.", Gauge(configured.players_max)),
        metric("build_info", "The server's version.", Info("version", env!("CARGO_PKG_VERSION"))),
    ]
}

/// The other processes of the world, and the bus between them.
fn describe_cluster<'a>(metrics: &'a Metrics, cluster: &ClusterGauges) -> Vec<Metric<'a>> {
    vec![
        metric("cluster.up", "Whether the bus answers.", Gauge(u64::from(cluster.is_up))),
        metric("cluster.peers", "Other processes.", Gauge(cluster.peers)),
        metric("cluster.peer_players", "Players of other processes.", Gauge(cluster.peer_players)),
        metric("cluster.ghosts", "Players of others that are shown here.", Gauge(cluster.ghosts)),
        metric("cluster.regions", "Regions listened to.", Gauge(cluster.regions)),
        metric("cluster.ids_left", "Newcomers there are ids for.", Gauge(cluster.ids_left)),
        metric(
            "cluster.resyncs_total",
            "Differences put right by snapshots.",
            Counter(cluster.resyncs_total),
        ),
        metric("cluster.bus_messages_out_total", "Messages said.", Counter(cluster.messages_out_total)),
        metric("cluster.bus_messages_in_total", "Messages heard.", Counter(cluster.messages_in_total)),
        metric("cluster.bus_bytes_out_total", "Bytes said.", Counter(cluster.bytes_out_total)),
        metric("cluster.bus_bytes_in_total", "Bytes heard.", Counter(cluster.bytes_in_total)),
        metric("cluster.bus_refused_total", "Messages not listened to.", Counter(metrics.bus_refused_total)),
        metric(
            "cluster.bus_dropped_total",
            "Messages there was no room for.",
            Counter(cluster.dropped_total),
        ),
        metric(
            "cluster.bus_implausible_total",
            "Claims on the bus that were not believed.",
            Counter(cluster.implausible_total),
        ),
        metric(
            "cluster.bus_unauthenticated_total",
            "Messages and places without a valid tag.",
            Counter(cluster.unauthenticated_total),
        ),
        metric("cluster.bus_failures_total", "Connections that broke.", Counter(cluster.failures_total)),
        metric("cluster.bus_delays", "From saying to hearing.", Value::Histogram(&metrics.bus_delays))
            .named("cluster_bus_delay_seconds"),
    ]
}

fn render_json(described: &[Metric]) -> String {
    let mut root = Map::new();
    for metric in described {
        match metric.key.split_once('.') {
            None => {
                root.insert(metric.key.to_owned(), json_value(&metric.value));
            }
            Some((object, key)) => {
                // Creates the object where its first member comes.
                root.entry(object).or_insert_with(|| json!({}))[key] = json_value(&metric.value);
            }
        }
    }
    Json::Object(root).to_string()
}

fn json_value(value: &Value) -> Json {
    match value {
        Counter(count) | Gauge(count) | CounterNs(count) | GaugeNs(count) | GaugeMs(count) => json!(count),
        // Four decimals: more would be noise.
        Ratio(ratio) => json!((ratio * 1e4).round() / 1e4),
        Kinds(_, counts) => counts.iter().map(|&(name, count)| (name, count)).collect(),
        Info(label, text) => json!({ *label: text }),
        Value::Histogram(histogram) => {
            let buckets: Json = histogram.cumulative().map(|(ns, count)| (ns.to_string(), count)).collect();
            json!({ "le_ns": buckets, "count": histogram.count(), "sum_ns": histogram.sum_ns() })
        }
    }
}

/// Prometheus text format 0.0.4, or `OpenMetrics` 1.0, which names a counter's family without its `_total` and ends
/// with a mark.
fn render_text(described: &[Metric], open_metrics: bool) -> String {
    let mut out = String::new();
    for metric in described {
        write_metric(&mut out, metric, open_metrics).expect("a String takes whatever is written");
    }
    if open_metrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_metric(out: &mut String, metric: &Metric, open_metrics: bool) -> fmt::Result {
    let name = metric.name();
    let (kind, family) = match &metric.value {
        Counter(_) | CounterNs(_) | Kinds(..) if open_metrics => ("counter", name.trim_end_matches("_total")),
        Counter(_) | CounterNs(_) | Kinds(..) => ("counter", name.as_str()),
        Info(..) if open_metrics => ("info", name.trim_end_matches("_info")),
        Gauge(_) | GaugeNs(_) | GaugeMs(_) | Ratio(_) | Info(..) => ("gauge", name.as_str()),
        Value::Histogram(_) => ("histogram", name.as_str()),
    };
    writeln!(out, "# HELP {family} {}\n# TYPE {family} {kind}", metric.help)?;
    match &metric.value {
        Counter(count) | Gauge(count) => writeln!(out, "{name} {count}"),
        Ratio(ratio) => writeln!(out, "{name} {ratio}"),
        Info(label, text) => writeln!(out, "{name}{{{label}=\"{text}\"}} 1"),
        CounterNs(ns) | GaugeNs(ns) => writeln!(out, "{name} {}", seconds(*ns)),
        GaugeMs(ms) => writeln!(out, "{name} {}", seconds(ms * 1_000_000)),
        Kinds(label, counts) => {
            counts.iter().try_for_each(|(kind, count)| writeln!(out, "{name}{{{label}=\"{kind}\"}} {count}"))
        }
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
