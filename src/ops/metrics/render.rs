//! Renders the metrics as JSON and as Prometheus text. Both formats derive from one description per metric, so that neither
//! can lack a metric.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value as Json, json};

use super::{ClusterGauges, Configured, Gauges, Metrics, window::Histogram};

/// Prefix of every Prometheus name.
const PREFIX: &str = "pixi_";

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

/// Renders the body of `/health`.
pub fn health_json(status: &str, uptime_s: u64, players: u64, cluster: Option<&str>) -> String {
    let cluster = cluster.map_or(String::new(), |cluster| format!(r#","cluster":"{cluster}""#));
    format!(r#"{{"status":"{status}","uptime_seconds":{uptime_s},"players":{players}{cluster}}}"#)
}

/// Renders the body of `/metrics`.
pub fn render(metrics: &Metrics, gauges: &Gauges, format: Format) -> String {
    let described = describe(metrics, gauges);
    match format {
        Format::Json => render_json(&described),
        Format::Prometheus => render_text(&described, false),
        Format::OpenMetrics => render_text(&described, true),
    }
}

/// Description and value of a metric, for all formats.
struct Metric<'a> {
    /// JSON key; `a.b` is the key `b` in the object `a`.
    key: &'static str,
    /// Prometheus name, where it differs from the name that [`Metric::name`] derives from the key.
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
    /// Nanoseconds in JSON, seconds in Prometheus.
    GaugeNs(u64),
    /// Milliseconds in JSON, seconds in Prometheus.
    GaugeMs(u64),
    /// Label name, and one counter per label value.
    Kinds(&'static str, Vec<(&'static str, u64)>),
    Histogram(&'a Histogram),
    /// Label name and a constant label value; the number is 1.
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

    /// Returns the Prometheus name. By convention it spells out base units, and the name of a counter ends in `_total`.
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

/// Describes every metric, in the order of the JSON keys.
fn describe<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    let mut described = describe_load(metrics, gauges);
    described.extend(describe_traffic(metrics, gauges));
    described.extend(describe_operation(metrics, gauges));
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
        metric(
            "tick_duration_ns",
            "Duration of the last tick, without writing to clients.",
            GaugeNs(metrics.tick_duration_ns()),
        )
        .named("last_tick_duration_seconds"),
        metric(
            "events_per_second",
            "Game messages received per second over the last 5 s.",
            Ratio(metrics.events_per_second()),
        ),
        metric("uptime_seconds", "Time since the start.", Gauge(gauges.uptime_ms / 1000)),
        metric("goroutines", "Threads of the process.", Gauge(gauges.threads)).named("threads"),
        metric("tick_rate_hz", "Ticks per second over the last 5 s.", Ratio(metrics.tick_rate_hz())),
        metric("tick_p50_ns", "Median duration of the last 1,024 ticks.", GaugeNs(tick.p50_ns)),
        metric(
            "tick_p99_ns",
            "99th percentile of the durations of the last 1,024 ticks.",
            GaugeNs(tick.p99_ns),
        ),
        metric("tick_max_ns", "Longest duration of the last 1,024 ticks.", GaugeNs(tick.max_ns)),
        metric("ticks_total", "Ticks run.", Counter(metrics.ticks_total())),
        metric(
            "ticks_skipped_total",
            "Ticks more than three periods late, which a later step made up for.",
            Counter(metrics.ticks_skipped_total),
        ),
        metric(
            "loop_busy_ratio",
            "Fraction of the last 5 s in which the event loop was busy.",
            Ratio(metrics.loop_busy_ratio()),
        ),
        metric(
            "flush_interval_ms",
            "Time between two flushes to a client, longer under load.",
            GaugeMs(gauges.flush_interval_ms),
        ),
        metric(
            "max_visible",
            "Maximum number of players shown to a client, lower under heavy load.",
            Gauge(gauges.max_visible),
        ),
    ]
}

/// Messages, bytes and system calls.
fn describe_traffic<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    vec![
        metric("messages_in_total", "Game messages received.", Counter(metrics.messages_in_total)),
        metric("messages_out_total", "Game messages sent.", Counter(metrics.messages_out_total)),
        metric("bytes_in_total", "Bytes read from sockets.", Counter(metrics.bytes_in_total)),
        metric("bytes_out_total", "Bytes written to sockets.", Counter(metrics.bytes_out_total)),
        metric(
            "socket_reads_total",
            "System calls that read from sockets.",
            Counter(metrics.socket_reads_total),
        ),
        metric(
            "socket_writes_total",
            "System calls that write to sockets.",
            Counter(metrics.socket_writes_total),
        ),
        metric(
            "write_stalls_total",
            "Writes that the kernel accepted only in part or not at all.",
            Counter(metrics.write_stalls_total),
        ),
        metric("resident_bytes", "Resident memory of the process.", Gauge(gauges.resident_bytes)),
        metric("cpu_ns_total", "CPU time of the process.", CounterNs(gauges.cpu_ns_total)),
        metric(
            "bandwidth_saved_ratio",
            "Fraction of the snapshot bytes that was not sent.",
            Ratio(metrics.bandwidth_saved_ratio()),
        ),
        metric(
            "snapshot_bytes_total",
            "Bytes that snapshots to every client at every tick would have cost.",
            Counter(metrics.snapshot_bytes_total),
        ),
    ]
}

/// Load shedding, sessions and the process.
fn describe_operation<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    vec![
        metric(
            "visibility_rate_hz",
            "Interest updates per client and second.",
            Gauge(gauges.visibility_rate_hz),
        ),
        metric(
            "rounds_overrun_total",
            "Ticks that started before the previous flush round was written.",
            Counter(metrics.rounds_overrun_total),
        ),
        metric(
            "governor_level",
            "Level of the load governor, 0 is the configured quality.",
            Gauge(gauges.governor_level),
        ),
        metric(
            "governor_climbs_total",
            "Times the load governor reduced quality by a level.",
            Counter(gauges.governor_climbs_total),
        ),
        metric(
            "rate_limited_total",
            "Messages and pings over the rate limit, dropped without an ack.",
            Counter(metrics.rate_limited_total),
        ),
        metric(
            "worker_panics_total",
            "Caught panics of worker threads.",
            Counter(metrics.worker_panics_total),
        ),
        metric(
            "log_lines_dropped_total",
            "Log lines dropped because the disk or the queue was full.",
            Counter(metrics.log_lines_dropped_total),
        ),
        metric("static_bytes", "Bytes of static files in memory.", Gauge(gauges.static_bytes)),
        metric(
            "resumes_remembered",
            "Disconnected players whose positions are kept.",
            Gauge(gauges.resumes_remembered),
        ),
        metric(
            "resume_store_failures_total",
            "Failed writes of sessions to STATE_DIR or the bus.",
            Counter(gauges.resume_store_failures_total),
        ),
        metric(
            "loop_busy_ns_total",
            "Time in which the event loop was busy.",
            CounterNs(metrics.busy_ns_total),
        ),
        metric("tick_durations", "Durations of all ticks.", Value::Histogram(metrics.ticks.histogram()))
            .named("tick_duration_seconds"),
    ]
}

/// Connections and counters with labels.
fn describe_kinds<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
    vec![
        metric(
            "answers_cut",
            "HTTP responses that ended before their last byte.",
            Kinds("reason", metrics.responses_truncated.iter().collect()),
        ),
        metric("frames_out", "Frames sent to clients.", Kinds("kind", metrics.frames_out.iter().collect())),
        metric(
            "protocol_errors",
            "Protocol violations of clients, whether or not they closed the connection.",
            Kinds("kind", metrics.protocol_errors.iter().collect()),
        ),
        metric(
            "connections.accepted_total",
            "Connections accepted.",
            Counter(metrics.connections_accepted_total),
        ),
        metric(
            "connections.accept_exhausted_total",
            "Accept failures for lack of file descriptors or kernel memory.",
            Counter(metrics.accept_exhausted_total),
        ),
        metric(
            "connections.upgraded_total",
            "Completed WebSocket handshakes.",
            Counter(metrics.connections_upgraded_total),
        ),
        metric(
            "connections.forwarding_unclear_total",
            "WebSocket handshakes whose forwarding headers did not identify the client.",
            Counter(metrics.forwarding_unclear_total),
        ),
        metric("connections.open", "Open sockets.", Gauge(gauges.connections_open)),
        metric(
            "connections.http_requests_total",
            "HTTP requests, handshakes included.",
            Counter(metrics.http_requests_total),
        ),
        metric(
            "connections.idle_displaced_total",
            "Idle HTTP connections closed in favor of new ones.",
            Counter(metrics.idle_displaced_total),
        ),
        metric(
            "refused",
            "Refused connections and requests.",
            Kinds("reason", metrics.refused.iter().collect()),
        ),
        metric("closed", "Ended game connections.", Kinds("reason", metrics.closed.iter().collect())),
        metric(
            "resumes",
            "Session tokens presented in handshakes.",
            Kinds("outcome", metrics.reconnects.iter().collect()),
        ),
    ]
}

/// Configured values. An alert rule that takes its thresholds from them fits every configuration.
fn describe_configured(configured: &Configured) -> Vec<Metric<'static>> {
    vec![
        metric("tick_rate_configured_hz", "Ticks per second, as configured.", Gauge(configured.tick_rate_hz)),
        metric(
            "flush_interval_configured_ms",
            "Time between two flushes to a client, as configured.",
            GaugeMs(configured.flush_interval_ms),
        ),
        metric(
            "max_visible_configured",
            "Maximum number of players shown to a client, as configured.",
            Gauge(configured.max_visible),
        ),
        metric(
            "governor_level_max",
            "Highest level of the load governor.",
            Gauge(configured.governor_level_max),
        ),
        metric("players_max", "Maximum number of players in the world.", Gauge(configured.players_max)),
        metric("build_info", "Version of the server.", Info("version", env!("CARGO_PKG_VERSION"))),
    ]
}

/// Other nodes of the world, and the bus between them.
fn describe_cluster<'a>(metrics: &'a Metrics, cluster: &ClusterGauges) -> Vec<Metric<'a>> {
    vec![
        metric("cluster.up", "1 while the bus is reachable.", Gauge(u64::from(cluster.is_up))),
        metric("cluster.peers", "Other nodes of the same world.", Gauge(cluster.peers)),
        metric(
            "cluster.peer_players",
            "Players on other nodes, as those nodes report them.",
            Gauge(cluster.peer_players),
        ),
        metric("cluster.ghosts", "Copies of other nodes' players on this node.", Gauge(cluster.ghosts)),
        metric("cluster.regions", "Map regions subscribed to.", Gauge(cluster.regions)),
        metric("cluster.ids_left", "Ids left for new players.", Gauge(cluster.ids_left)),
        metric(
            "cluster.resyncs_total",
            "Region snapshots that corrected a lost change.",
            Counter(cluster.resyncs_total),
        ),
        metric(
            "cluster.bus_messages_out_total",
            "Messages published on the bus.",
            Counter(cluster.messages_out_total),
        ),
        metric(
            "cluster.bus_messages_in_total",
            "Messages received from the bus, own ones included.",
            Counter(cluster.messages_in_total),
        ),
        metric(
            "cluster.bus_bytes_out_total",
            "Bytes published on the bus.",
            Counter(cluster.bytes_out_total),
        ),
        metric("cluster.bus_bytes_in_total", "Bytes received from the bus.", Counter(cluster.bytes_in_total)),
        metric(
            "cluster.bus_refused_total",
            "Bus messages ignored: other version, other world size, or malformed.",
            Counter(metrics.bus_refused_total),
        ),
        metric(
            "cluster.bus_dropped_total",
            "Bus messages dropped because a queue of this node was full.",
            Counter(cluster.dropped_total),
        ),
        metric(
            "cluster.bus_implausible_total",
            "Values from the bus rejected as out of bounds.",
            Counter(cluster.implausible_total),
        ),
        metric(
            "cluster.bus_unauthenticated_total",
            "Bus messages and session records dropped without a valid tag of CLUSTER_SECRET.",
            Counter(cluster.unauthenticated_total),
        ),
        metric(
            "cluster.bus_failures_total",
            "Connections to Redis that failed or broke.",
            Counter(cluster.failures_total),
        ),
        metric(
            "cluster.bus_delays",
            "Delay from publishing to receipt, by the clocks of both machines.",
            Value::Histogram(&metrics.bus_delays),
        )
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
                // The first member creates the object.
                root.entry(object).or_insert_with(|| json!({}))[key] = json_value(&metric.value);
            }
        }
    }
    Json::Object(root).to_string()
}

fn json_value(value: &Value) -> Json {
    match value {
        Counter(count) | Gauge(count) | CounterNs(count) | GaugeNs(count) | GaugeMs(count) => json!(count),
        // More than four decimals would be noise.
        Ratio(ratio) => json!((ratio * 1e4).round() / 1e4),
        Kinds(_, counts) => counts.iter().map(|&(name, count)| (name, count)).collect(),
        Info(label, text) => json!({ *label: text }),
        Value::Histogram(histogram) => {
            let buckets: Json = histogram.cumulative().map(|(ns, count)| (ns.to_string(), count)).collect();
            json!({ "le_ns": buckets, "count": histogram.count(), "sum_ns": histogram.sum_ns() })
        }
    }
}

/// Renders Prometheus text format 0.0.4, or `OpenMetrics` 1.0, which names a counter's family without `_total` and ends
/// with `# EOF`.
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
