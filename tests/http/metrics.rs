//! `/metrics`: JSON for operators and old dashboards, and the Prometheus text format.

use game_client::Vector;
use openmetrics_parser::openmetrics::parse_openmetrics;
use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{PrometheusType, PrometheusValue};

use crate::support::http::{get, get_with};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, folder, wait_for};

/// A server that has acked three MOVEs of its only player.
fn with_traffic() -> (Server, Client) {
    let server = Server::start();
    let mut client = Client::join(&server);
    for _ in 0..3 {
        client.step(Vector::ZERO);
    }
    wait_for(&mut client, "the acks", Client::is_answered);
    (server, client)
}

#[test]
fn the_counters_follow_the_traffic() {
    let (server, client) = with_traffic();
    let metrics = server.metrics();
    assert_eq!(metrics["players"], 1);
    assert_eq!(metrics["messages_in_total"], 3);
    assert_eq!(metrics["frames_out"]["ack"], 3);
    assert_eq!(metrics["frames_out"]["game_state"], 1);
    assert_eq!(metrics["messages_out_total"], 4);
    assert_eq!(metrics["max_visible"], 128);
    assert!(metrics["bytes_in_total"].as_u64() > Some(3 * 20), "{metrics}");
    assert!(metrics["resident_bytes"].as_u64() > Some(500_000), "{metrics}");
    let earlier = metrics["ticks_total"].as_u64();
    drop(client);
    wait_until("later ticks without players", || {
        let metrics = server.metrics();
        metrics["ticks_total"].as_u64() > earlier && metrics["players"] == 0
    });
}

/// Value of a gauge in a Prometheus exposition.
fn gauge(text: &str, name: &str) -> f64 {
    let exposition = parse_prometheus(text).unwrap_or_else(|error| panic!("{error:?} in\n{text}"));
    let family = &exposition.families.get(name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    assert_eq!(family.family_type, PrometheusType::Gauge, "{name}");
    assert!(!family.help.is_empty(), "{name}");
    let sample = family.iter_samples().next().expect("a sample");
    let PrometheusValue::Gauge(value) = &sample.value else { panic!("{name} is no gauge") };
    value.as_f64()
}

#[test]
fn the_prometheus_format_parses() {
    let (server, _client) = with_traffic();
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    let by_path = get(server.address(), "/metrics/prometheus");
    let by_header = get_with(server.address(), "/metrics", &["Accept: text/plain;version=0.0.4"]);
    for response in [by_path, by_header] {
        assert_eq!((response.status, response.header("content-type")), (200, Some(plain)));
        assert!((gauge(response.text(), "pixi_players") - 1.0).abs() < f64::EPSILON);
    }
}

#[test]
fn an_open_metrics_client_receives_open_metrics() {
    let (server, _client) = with_traffic();
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5,*/*;q=0.1";
    for path in ["/metrics", "/metrics/prometheus"] {
        let response = get_with(server.address(), path, &[accept]);
        let kind = response.header("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let exposition = parse_openmetrics(response.text()).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(exposition.families.contains_key("pixi_players"));
    }
}

#[test]
fn the_accept_field_selects_the_format() {
    let server = Server::start();
    let (json, text) = ("application/json", "text/plain; version=0.0.4; charset=utf-8");
    for (accept, kind) in [
        ("text/*", text),
        ("text/*;q=0.5, application/json;q=0.2", text),
        ("text/plain", text),
        ("text/*, */*;q=0.1", text),
        ("*/*", json),
        ("application/json", json),
        ("text/html,application/xhtml+xml,*/*;q=0.8", json),
    ] {
        let response = get_with(server.address(), "/metrics", &[&format!("Accept: {accept}")]);
        assert_eq!(response.header("content-type"), Some(kind), "{accept}");
        assert_eq!(response.text().starts_with("# "), kind == text, "{accept}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn configured_and_effective_values_are_both_exported() {
    let site = folder("counted-files");
    std::fs::write(site.join("one.bin"), [0; 1_000]).expect("a file");
    std::fs::hard_link(site.join("one.bin"), site.join("two.bin")).expect("a second name");
    let settings = Settings::new().set("TICK_RATE", 30).set("BATCH_INTERVAL_MS", 100).set("MAX_VISIBLE", 64);
    let settings = settings.set("MAX_CONNECTIONS", 50).set("STATIC_DIR", site.to_str().expect("UTF-8"));
    let server = settings.start();
    let expected = [
        ("tick_rate_configured_hz", 30),
        ("flush_interval_configured_ms", 100),
        ("max_visible_configured", 64),
        ("governor_level_max", 3),
        ("players_max", 50),
        ("static_bytes", 1_000),
    ];
    for (key, value) in expected {
        assert_eq!(server.count(key), value, "{key}");
    }
    // Without load they are the effective values.
    assert_eq!((server.count("flush_interval_ms"), server.count("max_visible")), (100, 64));
    assert_eq!(server.metrics()["build_info"]["version"], env!("CARGO_PKG_VERSION"));
    let text = get(server.address(), "/metrics/prometheus").text().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "pixi_tick_rate_configured_hertz 30",
        "pixi_flush_interval_configured_seconds 0.1",
        &format!("pixi_build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(text.lines().any(|exported| exported == line), "{line}");
    }
}

#[test]
fn the_peak_of_players_stays_when_they_leave() {
    let server = Server::start();
    let clients: Vec<Client> = (0..3).map(|_| Client::join(&server)).collect();
    server.wait_for_players(3);
    drop(clients);
    server.wait_for_players(0);
    let _client = Client::join(&server);
    server.wait_for_players(1);
    assert_eq!(server.count("players_peak"), 3);
}
