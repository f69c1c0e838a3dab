//! Counters and gauges of the server. The table here declares each of them once; the fields and all renderings derive from it.
//!
//! One [`Metrics`] belongs to the event loop's thread, so its counters are plain integers. The caller passes times in, as
//! nanoseconds of a monotonic clock. [`render()`] produces the JSON and Prometheus texts.

mod labels;
mod render;
mod window;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use labels::{Closed, Counters, FrameOut, Kind, ProtocolViolation, Reconnect, Refused, Truncation};
pub use render::{ClusterHealth, Format, health_json, render};
use render::{Metric, Value};
pub use window::TickPercentiles;
use window::{Histogram, LoadSample, LoadWindow, TickWindow};

/// The label value of `build_info`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

macro_rules! field {
    (Flag) => { bool };
    ([$label:ident]) => { Counters<$label, { $label::VALUES.len() }> };
    ($number:ident) => { u64 };
}

macro_rules! value {
    (Flag, $value:expr) => {
        Value::Gauge(u64::from($value))
    };
    ([$label:ident], $value:expr) => {
        Value::Labelled($label::LABEL, $value.iter().collect())
    };
    (Info, $value:expr) => {
        Value::Info("version", $value.to_owned())
    };
    ($kind:ident, $value:expr) => {
        Value::$kind($value)
    };
}

macro_rules! first {
    ($first:expr, $($rest:tt)*) => {
        $first
    };
}

/// Declares the metrics in the order of the JSON keys, one row each:
///
/// ```text
/// /// Help text.
/// source.field: Kind = "JSON key" as "Prometheus name";
/// ```
///
/// The source is the struct of the field: [`Metrics`], [`Gauges`], [`Configured`] or [`ClusterGauges`]. `ticks` reads a field
/// of [`TickPercentiles`], `fn` calls a method of [`Metrics`]. The kind is a variant of [`Value`], `Flag` for a gauge of 0 or
/// 1, or in brackets the label of a counter. The default key is the field's name; the default name and the unit follow from
/// the key, see [`Metric`].
macro_rules! metrics {
    ($(
        #[doc = $help:literal]
        $(metrics.$metric:ident)? $(gauges.$gauge:ident)? $(configured.$configured:ident)? $(cluster.$cluster:ident)?
        $(ticks.$percentile:ident)? $(fn $method:ident)? $(const $constant:ident)?
        : $kind:tt $(= $key:literal)? $(as $name:literal)?;
    )+) => {
        /// Counters since the start. The caller increments the public fields.
        #[derive(Debug, Default, Serialize, Deserialize)]
        pub struct Metrics {
            $($(#[doc = $help] pub $metric: field!($kind),)?)+
            bus_delays: Histogram,
            ticks: TickWindow,
            load: LoadWindow,
        }

        /// Measurements the event loop takes for each rendering.
        #[derive(Clone, Debug, Default)]
        pub struct Gauges {
            $($(#[doc = $help] pub $gauge: field!($kind),)?)+
            /// Configured values of several of these gauges.
            pub configured: Configured,
            /// Measurements of the cluster, with `CLUSTER_URL`.
            pub cluster: Option<ClusterGauges>,
            /// Name of this node, with `CLUSTER_URL`.
            pub node: Option<String>,
            /// All nodes of the world with their load, for JSON.
            pub nodes: Option<Json>,
        }

        /// Configured values of the gauges with the same names, for alert thresholds that fit every configuration.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Configured {
            $($(#[doc = $help] pub $configured: field!($kind),)?)+
        }

        /// Measurements of the cluster.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct ClusterGauges {
            $($(#[doc = $help] pub $cluster: field!($kind),)?)+
        }

        /// Describes every metric, those of the cluster only with a cluster.
        fn describe<'a>(metrics: &'a Metrics, gauges: &Gauges) -> Vec<Metric<'a>> {
            let (ticks, configured) = (metrics.tick_percentiles(), gauges.configured);
            let cluster = gauges.cluster.unwrap_or_default();
            let mut described = vec![$(Metric {
                key: first!(
                    $($key,)? $(stringify!($metric),)? $(stringify!($gauge),)? $(stringify!($configured),)?
                    $(concat!("cluster.", stringify!($cluster)),)? $(stringify!($method),)?
                ),
                name: first!($(Some($name),)? None,),
                help: $help,
                value: value!(
                    $kind,
                    $(metrics.$metric)? $(gauges.$gauge)? $(configured.$configured)? $(cluster.$cluster)?
                    $(ticks.$percentile)? $(metrics.$method())? $($constant)?
                ),
            },)+];
            described.retain(|metric| gauges.cluster.is_some() || !metric.key.starts_with("cluster."));
            described
        }
    };
}

metrics! {
    // Players, ticks and load.
    /// Players in the world.
    gauges.players: Gauge;
    /// Duration of the last tick, without writing to clients.
    fn tick_duration_ns: Gauge as "last_tick_duration_seconds";
    /// Game messages received per second over the last 5 s.
    fn events_per_second: Float;
    /// Time since the start.
    gauges.uptime_seconds: Gauge;
    /// Threads of the process.
    gauges.threads: Gauge = "goroutines" as "threads";
    /// Ticks per second over the last 5 s.
    fn tick_rate_hz: Float;
    /// Median duration of the last 1,024 ticks.
    ticks.p50_ns: Gauge = "tick_p50_ns";
    /// 99th percentile of the durations of the last 1,024 ticks.
    ticks.p99_ns: Gauge = "tick_p99_ns";
    /// Longest duration of the last 1,024 ticks.
    ticks.max_ns: Gauge = "tick_max_ns";
    /// Ticks run.
    fn ticks_total: Counter;
    /// Takeovers by which the game came to this process, all processes before it included.
    metrics.takeovers_total: Counter;
    /// Takeovers that failed: the old process went on.
    metrics.takeovers_failed_total: Counter;
    /// Ticks more than three periods late, which a later step made up for.
    metrics.ticks_skipped_total: Counter;
    /// Fraction of the last 5 s in which the event loop was busy.
    fn loop_busy_ratio: Float;
    /// Time between two flushes to a client, longer under load.
    gauges.flush_interval_ms: Gauge;
    /// Maximum number of players shown to a client, lower under heavy load.
    gauges.max_visible: Gauge;

    // Messages, bytes and system calls.
    /// Game messages received.
    metrics.messages_in_total: Counter;
    /// Game messages sent.
    metrics.messages_out_total: Counter;
    /// Bytes read from sockets.
    metrics.bytes_in_total: Counter;
    /// Bytes written to sockets.
    metrics.bytes_out_total: Counter;
    /// System calls that read from sockets.
    metrics.socket_reads_total: Counter;
    /// System calls that write to sockets.
    metrics.socket_writes_total: Counter;
    /// Writes that the kernel accepted only in part or not at all.
    metrics.write_stalls_total: Counter;
    /// Resident memory of the process.
    gauges.resident_bytes: Gauge;
    /// CPU time of the process.
    gauges.cpu_ns_total: Counter;
    /// Fraction of the snapshot bytes that was not sent.
    fn bandwidth_saved_ratio: Float;
    /// Bytes that snapshots to every client at every tick would have cost.
    metrics.snapshot_bytes_total: Counter;

    // Load shedding, sessions and the process.
    /// Interest updates per client and second.
    gauges.visibility_rate_hz: Gauge;
    /// Ticks that started before the previous flush round was written.
    metrics.rounds_overrun_total: Counter;
    /// Level of the load governor, 0 is the configured quality.
    gauges.governor_level: Gauge;
    /// Times the load governor reduced quality by a level.
    gauges.governor_climbs_total: Counter;
    /// Messages and pings over the rate limit, dropped without an ack.
    metrics.rate_limited_total: Counter;
    /// MOVEs whose claimed position was not accepted; their acks have another one.
    metrics.corrections_total: Counter;
    /// Caught panics of worker threads.
    metrics.worker_panics_total: Counter;
    /// Log lines dropped because the disk or the queue was full.
    gauges.log_lines_dropped_total: Counter;
    /// Bytes of static files in memory.
    gauges.static_bytes: Gauge;
    /// Highest number of players since the start.
    metrics.players_peak: Gauge;
    /// Disconnected players whose positions are kept.
    gauges.resumes_remembered: Gauge;
    /// Failed writes of sessions to `STATE_DIR` or the bus.
    gauges.resume_store_failures_total: Counter;
    /// Time in which the event loop was busy.
    metrics.busy_ns_total: Counter = "loop_busy_ns_total";
    /// Durations of all ticks.
    fn tick_durations: Histogram as "tick_duration_seconds";

    // Configured values. An alert rule that takes its thresholds from them fits every configuration.
    /// Ticks per second, as configured.
    configured.tick_rate_hz: Gauge = "tick_rate_configured_hz";
    /// Time between two flushes to a client, as configured.
    configured.flush_interval_ms: Gauge = "flush_interval_configured_ms";
    /// Maximum number of players shown to a client, as configured.
    configured.max_visible: Gauge = "max_visible_configured";
    /// Highest level of the load governor.
    configured.governor_level_max: Gauge;
    /// Maximum number of players in the world.
    configured.players_max: Gauge;
    /// Bytes of read buffer per connection, as configured.
    configured.read_buffer_bytes: Gauge = "read_buffer_configured_bytes";
    /// Version of the server.
    const VERSION: Info = "build_info";

    // Connections and counters with labels.
    /// HTTP responses that ended before their last byte.
    metrics.responses_truncated: [Truncation] = "answers_cut";
    /// Frames sent to clients.
    metrics.frames_out: [FrameOut];
    /// Protocol violations of clients, whether or not they closed the connection.
    metrics.protocol_errors: [ProtocolViolation];
    /// Connections accepted.
    metrics.connections_accepted_total: Counter = "connections.accepted_total";
    /// Accept failures for lack of file descriptors or kernel memory.
    metrics.accept_exhausted_total: Counter = "connections.accept_exhausted_total";
    /// Completed WebSocket handshakes.
    metrics.connections_upgraded_total: Counter = "connections.upgraded_total";
    /// WebSocket handshakes whose forwarding headers did not identify the client.
    metrics.forwarding_unclear_total: Counter = "connections.forwarding_unclear_total";
    /// Open sockets.
    gauges.connections_open: Gauge = "connections.open";
    /// HTTP requests, handshakes included.
    metrics.http_requests_total: Counter = "connections.http_requests_total";
    /// Idle HTTP connections closed in favor of new ones.
    metrics.idle_displaced_total: Counter = "connections.idle_displaced_total";
    /// Refused connections and requests.
    metrics.refused: [Refused];
    /// Ended game connections.
    metrics.closed: [Closed];
    /// Session tokens presented in handshakes.
    metrics.reconnects: [Reconnect] = "resumes";

    // Other nodes of the world, and the bus between them.
    /// 1 while the bus is reachable.
    cluster.is_up: Flag = "cluster.up";
    /// Other nodes of the same world.
    cluster.peers: Gauge;
    /// Players on other nodes, as those nodes report them.
    cluster.peer_players: Gauge;
    /// Copies of other nodes' players on this node.
    cluster.ghosts: Gauge;
    /// Map regions subscribed to.
    cluster.regions: Gauge;
    /// Ids left for new players.
    cluster.ids_left: Gauge;
    /// Leases of ids given up because a peer had the same ids.
    cluster.lease_conflicts_total: Counter;
    /// Region snapshots that corrected a lost change.
    cluster.resyncs_total: Counter;
    /// Messages published on the bus.
    cluster.messages_out_total: Counter = "cluster.bus_messages_out_total";
    /// Messages received from the bus, own ones included.
    cluster.messages_in_total: Counter = "cluster.bus_messages_in_total";
    /// Bytes published on the bus.
    cluster.bytes_out_total: Counter = "cluster.bus_bytes_out_total";
    /// Bytes received from the bus.
    cluster.bytes_in_total: Counter = "cluster.bus_bytes_in_total";
    /// Bus messages ignored: other version, other world size, or malformed.
    metrics.bus_refused_total: Counter = "cluster.bus_refused_total";
    /// Bus messages dropped because a queue of this node was full.
    cluster.dropped_total: Counter = "cluster.bus_dropped_total";
    /// Values from the bus rejected as out of bounds.
    cluster.implausible_total: Counter = "cluster.bus_implausible_total";
    /// Bus messages and session records dropped without a valid tag of `CLUSTER_SECRET`.
    cluster.unauthenticated_total: Counter = "cluster.bus_unauthenticated_total";
    /// Connections to Redis that failed or broke.
    cluster.failures_total: Counter = "cluster.bus_failures_total";
    /// Delay from publishing to receipt, by the clocks of both machines.
    fn bus_delays: Histogram = "cluster.bus_delays" as "cluster_bus_delay_seconds";
}

impl Metrics {
    /// Counts a tick that ended at `now_ns` and took `duration_ns`.
    pub fn record_tick(&mut self, now_ns: u64, duration_ns: u64) {
        self.ticks.record(now_ns, duration_ns);
    }

    /// Counts a bus message by its delay from publishing to receipt, in nanoseconds.
    pub fn record_bus_delay(&mut self, delay_ns: u64) {
        self.bus_delays.record(delay_ns);
    }

    /// Samples the rates unless the last sample is less than a second old. Call it before the first tick and at each.
    pub fn sample(&mut self, now_ns: u64) {
        let (messages_in_total, busy_ns_total) = (self.messages_in_total, self.busy_ns_total);
        self.load.sample(LoadSample { at_ns: now_ns, messages_in_total, busy_ns_total });
    }

    /// Returns the ticks run since the start.
    pub fn ticks_total(&self) -> u64 {
        self.tick_durations().count()
    }

    fn tick_duration_ns(&self) -> u64 {
        self.ticks.last_duration_ns()
    }

    /// Returns percentiles of the last ticks' durations. Sorts them, so call it only to render.
    pub fn tick_percentiles(&self) -> TickPercentiles {
        self.ticks.percentiles()
    }

    /// Returns ticks per second over the last 5 s.
    pub fn tick_rate_hz(&self) -> f64 {
        self.ticks.rate_hz()
    }

    /// Returns game messages received per second over the last 5 s.
    pub fn events_per_second(&self) -> f64 {
        self.load.events_per_second()
    }

    /// Returns the fraction of the last 5 s in which the event loop was busy, 0 to 1.
    pub fn loop_busy_ratio(&self) -> f64 {
        self.load.busy_ratio()
    }

    fn tick_durations(&self) -> &Histogram {
        self.ticks.histogram()
    }

    fn bus_delays(&self) -> &Histogram {
        &self.bus_delays
    }

    fn bandwidth_saved_ratio(&self) -> f64 {
        if self.snapshot_bytes_total == 0 {
            return 0.0;
        }
        (1.0 - self.bytes_out_total as f64 / self.snapshot_bytes_total as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_saved_stays_in_its_range() {
        let mut metrics = Metrics { bytes_out_total: 100, ..Metrics::default() };
        assert!(metrics.bandwidth_saved_ratio().abs() < f64::EPSILON, "no baseline yet");
        metrics.snapshot_bytes_total = 400;
        assert!((metrics.bandwidth_saved_ratio() - 0.75).abs() < f64::EPSILON);
        metrics.bytes_out_total = 800;
        assert!(metrics.bandwidth_saved_ratio().abs() < f64::EPSILON, "never below zero");
    }
}
