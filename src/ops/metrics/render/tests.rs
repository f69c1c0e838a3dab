//! Both renderings, read back by an independent parser.

use std::collections::BTreeMap;

use openmetrics_parser::{
    OpenMetricsValue, PrometheusValue, openmetrics::parse_openmetrics, prometheus::parse_prometheus,
};

use super::*;
use crate::ops::metrics::window::{RATE_WINDOW_S, TICKS_KEPT};
use crate::ops::metrics::{ClusterGauges, ClusterHealth, Configured, FrameOut, Reconnect};

const MS: u64 = 1_000_000;

/// Three ticks, 20 s of uptime, and distinct values for all other tested metrics.
fn example() -> (Metrics, Gauges) {
    let mut metrics = Metrics::default();
    metrics.sample(10_000 * MS);
    metrics.record_tick(10_000 * MS, 2 * MS);
    metrics.record_tick(10_020 * MS, 300 * MS);
    metrics.record_tick(10_040 * MS, 3 * MS);
    metrics.messages_in_total = 5_000;
    metrics.bytes_out_total = 7_000;
    metrics.snapshot_bytes_total = 28_000;
    metrics.busy_ns_total = 500 * MS;
    metrics.connections_accepted_total = 8;
    metrics.frames_out[FrameOut::Ack] = 9;
    metrics.reconnects[Reconnect::Hit] = 13;
    metrics.sample(12_000 * MS);
    let gauges = Gauges {
        players: 1_000,
        uptime_seconds: 20,
        threads: 3,
        cpu_ns_total: 8_100_000_000,
        flush_interval_ms: 50,
        configured: Configured { flush_interval_ms: 100, ..Configured::default() },
        cluster: Some(ClusterGauges { is_up: true, bytes_in_total: 19, ..ClusterGauges::default() }),
        ..Gauges::default()
    };
    (metrics, gauges)
}

/// Samples of the example in both text formats.
const EXPECTED: [(&str, f64); 23] = [
    (concat!("pixi_build_info{", env!("CARGO_PKG_VERSION"), "}"), 1.0),
    ("pixi_flush_interval_configured_seconds", 0.1),
    ("pixi_cpu_seconds_total", 8.1),
    ("pixi_players", 1_000.0),
    ("pixi_last_tick_duration_seconds", 0.003),
    ("pixi_events_per_second", 2_500.0),
    ("pixi_uptime_seconds", 20.0),
    ("pixi_threads", 3.0),
    ("pixi_tick_rate_hertz", 50.0),
    ("pixi_tick_p50_seconds", 0.003),
    ("pixi_ticks_total", 3.0),
    ("pixi_loop_busy_seconds_total", 0.5),
    ("pixi_flush_interval_seconds", 0.05),
    ("pixi_bandwidth_saved_ratio", 0.75),
    ("pixi_connections_accepted_total", 8.0),
    ("pixi_frames_out_total{ack}", 9.0),
    ("pixi_resumes_total{hit}", 13.0),
    ("pixi_cluster_up", 1.0),
    ("pixi_cluster_bus_bytes_in_total", 19.0),
    ("pixi_tick_duration_seconds_bucket{0.0025}", 1.0),
    ("pixi_tick_duration_seconds_bucket{0.25}", 2.0),
    ("pixi_tick_duration_seconds_bucket{inf}", 3.0),
    ("pixi_tick_duration_seconds_sum", 0.305),
];

type Samples = BTreeMap<String, f64>;

/// Parses `$text` to samples, named as in [`EXPECTED`], and the number of families.
macro_rules! samples {
    ($parse:ident, $values:ident, $text:expr) => {{
        let exposition = $parse($text).unwrap();
        let mut samples = Samples::new();
        for (family, metrics) in &exposition.families {
            for sample in metrics.iter_samples() {
                let labels: Vec<_> = sample
                    .get_labelset()
                    .unwrap()
                    .iter_values()
                    .map(|value| format!("{{{value}}}"))
                    .collect();
                let (suffix, value) = match &sample.value {
                    $values::Counter(counter) => ("_total", counter.value.as_f64()),
                    $values::Gauge(value) => ("", value.as_f64()),
                    $values::Histogram(histogram) => {
                        for bucket in &histogram.buckets {
                            let name = format!("{family}_bucket{{{}}}", bucket.upper_bound);
                            samples.insert(name, bucket.count.as_f64());
                        }
                        ("_sum", histogram.sum.unwrap().as_f64())
                    }
                    _ if family == "pixi_build" => ("_info", 1.0),
                    _ => panic!("{family} has an unexpected type"),
                };
                let name = format!("{}{suffix}{}", family.trim_end_matches("_total"), labels.concat());
                samples.insert(name, value);
            }
        }
        (samples, exposition.families.len())
    }};
}

#[test]
fn both_text_formats_parse_to_the_values() {
    let (metrics, gauges) = example();
    let text = render(&metrics, &gauges, Format::Prometheus);
    assert!(text.contains("# TYPE pixi_ticks_total counter\npixi_ticks_total 3\n"));
    let (plain, families) = samples!(parse_prometheus, PrometheusValue, &text);
    let text = render(&metrics, &gauges, Format::OpenMetrics);
    assert!(text.contains("# TYPE pixi_ticks counter\npixi_ticks_total 3\n"));
    assert!(text.contains("# TYPE pixi_build info\npixi_build_info{version="), "{text}");
    assert!(text.ends_with("\n# EOF\n"));
    let (open, open_families) = samples!(parse_openmetrics, OpenMetricsValue, &text);

    assert_eq!(plain, open);
    assert_eq!(families, open_families);
    assert_eq!(families, describe(&metrics, &gauges).len(), "family names are unique");
    for (name, expected) in EXPECTED {
        let got = plain.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!((got - expected).abs() < 1e-9, "{name} is {got}");
    }
}

#[test]
fn json_has_the_keys_in_order_and_the_values() {
    const FIRST_KEYS: &str = "players tick_duration_ns events_per_second uptime_seconds goroutines tick_rate_hz \
        tick_p50_ns tick_p99_ns tick_max_ns ticks_total takeovers_total takeovers_failed_total ticks_skipped_total loop_busy_ratio flush_interval_ms \
        max_visible messages_in_total messages_out_total bytes_in_total bytes_out_total socket_reads_total \
        socket_writes_total write_stalls_total resident_bytes cpu_ns_total bandwidth_saved_ratio ";
    const LAST_KEYS: &str = " frames_out protocol_errors connections refused closed resumes cluster";

    let (metrics, gauges) = example();
    let root: Json = serde_json::from_str(&render(&metrics, &gauges, Format::Json)).unwrap();
    let keys = root.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert!(keys.starts_with(FIRST_KEYS) && keys.ends_with(LAST_KEYS), "{keys}");
    for (pointer, expected) in [
        ("/players", json!(1_000)),
        ("/tick_duration_ns", json!(3_000_000)),
        ("/events_per_second", json!(2_500.0)),
        ("/uptime_seconds", json!(20)),
        ("/flush_interval_ms", json!(50)),
        ("/bandwidth_saved_ratio", json!(0.75)),
        ("/frames_out/ack", json!(9)),
        ("/connections/accepted_total", json!(8)),
        ("/resumes/hit", json!(13)),
        ("/tick_durations/le_ns/2500000", json!(1)),
        ("/tick_durations/count", json!(3)),
        ("/build_info/version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(root.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn renders_before_the_first_tick() {
    let (metrics, gauges) = (Metrics::default(), Gauges::default());
    parse_prometheus(&render(&metrics, &gauges, Format::Prometheus)).unwrap();
    parse_openmetrics(&render(&metrics, &gauges, Format::OpenMetrics)).unwrap();
    let root: Json = serde_json::from_str(&render(&metrics, &gauges, Format::Json)).unwrap();
    assert_eq!(root["tick_rate_hz"], json!(0.0));
}

#[test]
fn help_texts_state_their_windows() {
    let (metrics, gauges) = example();
    let described = describe(&metrics, &gauges);
    let rates = format!("the last {RATE_WINDOW_S} s");
    let percentiles = format!("the last {},{:03} ticks", TICKS_KEPT / 1_000, TICKS_KEPT % 1_000);
    for (key, window) in [
        ("events_per_second", &rates),
        ("tick_rate_hz", &rates),
        ("loop_busy_ratio", &rates),
        ("tick_p50_ns", &percentiles),
        ("tick_p99_ns", &percentiles),
        ("tick_max_ns", &percentiles),
    ] {
        let metric = described.iter().find(|metric| metric.key == key).unwrap();
        assert!(metric.help.contains(window), "{key}: {}", metric.help);
    }
}

#[test]
fn health_is_exact() {
    assert_eq!(
        health_json("healthy", 150, 1_000, None),
        r#"{"status":"healthy","uptime_seconds":150,"players":1000}"#
    );
    assert_eq!(
        health_json("draining", 0, 0, None),
        r#"{"status":"draining","uptime_seconds":0,"players":0}"#
    );
    let clustered = r#"{"status":"healthy","uptime_seconds":0,"players":2,"node":"one","cluster":"degraded","players_in_world":9}"#;
    let cluster = ClusterHealth { node: "one", state: "degraded", players_in_world: 9 };
    assert_eq!(health_json("healthy", 0, 2, Some(cluster)), clustered);
}
