//! METRICS.md, the alerts and the dashboard name exactly the metrics that a server exports.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value as Json;

use super::{root, text};
use crate::support::Settings;
use crate::support::debian::program;
use crate::support::http::get;
use crate::support::process::succeed;

const PAGE: &str = "docs/METRICS.md";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/dashboards/pixi-game-server.json";

/// Names of metrics in a text, without the suffixes of a histogram's series.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign| !is_part(sign)).filter(|word| word.starts_with("pixi_"));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

/// The Prometheus text of a server, and its JSON. An unreachable bus is enough: its metrics exist.
fn exported() -> (String, Json) {
    let server = Settings::new().set("CLUSTER_URL", "redis://127.0.0.1:1").start();
    (get(server.address(), "/metrics/prometheus").text().to_owned(), server.metrics())
}

/// The values of a JSON object by key; members of `connections` and `cluster` by their path.
fn by_key(json: &Json) -> Vec<(String, &Json)> {
    let object = json.as_object().expect("an object").iter();
    // The other nodes are described as a whole.
    let values =
        object.filter(|(key, _)| *key != "nodes").flat_map(|(key, value)| match (key.as_str(), value) {
            ("connections" | "cluster", Json::Object(members)) => {
                members.iter().map(|(member, value)| (format!("{key}.{member}"), value)).collect()
            }
            _ => vec![(key.clone(), value)],
        });
    values.collect()
}

/// Units on the page, by a part of the JSON key or the Prometheus name; the first that fits.
const UNITS: [(&str, &str); 7] = [
    ("_ns", "ns in JSON, s"),
    ("_ms", "ms in JSON, s"),
    ("_seconds", "s"),
    ("_hertz", "1/s"),
    ("_per_second", "1/s"),
    ("_ratio", "0 to 1"),
    ("bytes", "bytes"),
];

/// The rows that the page must have, up to the end of the help text. Both formats have the same order.
fn expected_rows(prometheus: &str, json: &Json) -> Vec<String> {
    let families: Vec<&str> = prometheus.split("# HELP ").skip(1).collect();
    let values = by_key(json);
    assert_eq!(families.len(), values.len(), "{values:?}\n{prometheus}");
    let rows = families.into_iter().zip(values).map(|(family, (key, value))| {
        let (name, help) = family.lines().next().and_then(|line| line.split_once(' ')).expect("a help text");
        let (_, kind) = family.lines().nth(1).and_then(|line| line.rsplit_once(' ')).expect("a type");
        let help = help.trim_end_matches('.');
        let label = family.split_once(&format!("\n{name}{{")).and_then(|(_, line)| line.split_once('='));
        assert_eq!(value.is_number(), label.is_none() && kind != "histogram", "{key}: {value}");
        let is_part = |part: &str| key.contains(part) || name.contains(part);
        let unit = UNITS.into_iter().find(|(part, _)| is_part(part) || kind == "histogram");
        let columns = match label.filter(|_| kind == "counter") {
            Some((label, _)) => label.to_owned(),
            None => format!("{kind} | {}", unit.map_or("", |(_, unit)| unit)),
        };
        format!("| {key} | {name} | {columns} | {help}")
    });
    rows.collect()
}

#[test]
fn the_page_repeats_every_metric_and_no_other() {
    let (prometheus, json) = exported();
    let expected = expected_rows(&prometheus, &json);
    let page = text(PAGE);
    let mut rows = Vec::new();
    for table in page.split("\n## ") {
        let first = rows.len();
        for row in table.lines().filter(|line| line.contains("| `pixi_")) {
            let row = row.replace('`', "");
            let key = row.split_inclusive('|').take(2).collect::<String>();
            let place = expected.iter().position(|start| start.starts_with(&key));
            let place = place.unwrap_or_else(|| panic!("no server exports {row}"));
            let rest = row.strip_prefix(&expected[place]);
            assert!(
                rest.is_some_and(|rest| rest.starts_with([';', ' '])),
                "{row}\ndoes not start with\n{}",
                expected[place]
            );
            rows.push(place);
        }
        assert!(rows[first..].is_sorted(), "the rows are not in the order of the server:\n{table}");
    }
    rows.sort_unstable();
    assert_eq!(rows, (0..expected.len()).collect::<Vec<_>>(), "each of {expected:#?} has one row");
}

#[test]
fn rules_and_pages_name_exported_metrics_only() {
    let (prometheus, _) = exported();
    let types = prometheus.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let known: BTreeSet<&str> = types.map(|(name, _)| name).collect();
    for path in [PAGE, ALERTS, DASHBOARD] {
        let text = text(path);
        let unknown: Vec<&str> = names(&text).difference(&known).copied().collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}, which no server exports");
    }
}

#[test]
fn the_pages_name_every_kind_and_reason() {
    let (prometheus, _) = exported();
    let pages = text(PAGE) + &text("docs/OPERATIONS.md");
    let labels = prometheus.lines().filter_map(|line| {
        let (_, rest) = ["kind", "reason", "outcome"]
            .iter()
            .find_map(|label| line.split_once(&format!("{{{label}=\"")))?;
        rest.split_once('"').map(|(label, _)| label)
    });
    let labels: BTreeSet<&str> = labels.collect();
    assert!(labels.len() > 30, "{labels:?}");
    for label in labels {
        assert!(pages.contains(&format!("`{label}`")), "no document explains {label}");
    }
}

#[test]
fn the_page_names_every_alert() {
    let (alerts, page) = (text(ALERTS), text(PAGE));
    let mut count = 0;
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("\n| `{name}` |")), "{PAGE} has no row for {name}");
        count += 1;
    }
    assert_eq!(page.matches("\n| `Game").count(), count, "a row for each alert");
}

#[test]
fn every_alert_is_tested_to_fire() {
    let tests = text("deploy/prometheus/alerts_test.yml");
    for name in text(ALERTS).lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("{{labels: '{{alertname=\"{name}\"}}', value: 1}}");
        assert!(tests.contains(&fires), "{name}");
    }
}

#[test]
fn the_dashboard_takes_configurable_limits_from_metrics() {
    let dashboard: Json = serde_json::from_str(&text(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let shown = |panel: &Json, metric: &str| {
        panel["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|target| target["expr"].as_str().is_some_and(|expr| names(expr).contains(metric)))
    };
    for (metric, limit) in [
        ("pixi_tick_rate_hertz", "pixi_tick_rate_configured_hertz"),
        ("pixi_tick_duration_seconds", "pixi_tick_rate_configured_hertz"),
        ("pixi_flush_interval_seconds", "pixi_flush_interval_configured_seconds"),
        ("pixi_max_visible", "pixi_max_visible_configured"),
        ("pixi_governor_level", "pixi_governor_level_max"),
    ] {
        let of_metric: Vec<&Json> = panels.iter().filter(|panel| shown(panel, metric)).collect();
        assert!(!of_metric.is_empty(), "{metric} is charted");
        assert!(of_metric.iter().all(|panel| shown(panel, limit)), "{metric} without {limit}");
        // A description must not contain a number that depends on the configuration.
        for panel in of_metric {
            let description = panel["description"].as_str().expect("a text").replace("Above 0 ", "");
            assert!(!description.contains(|sign: char| sign.is_ascii_digit()), "{description}");
        }
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let folder = root().join("deploy/prometheus");
    for arguments in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        succeed(Command::new(program("promtool")).args(arguments).current_dir(&folder));
    }
}

#[test]
fn the_dashboard_is_valid_for_grafana() {
    let dashboard: Json = serde_json::from_str(&text(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "panel ids are unique");
    for panel in panels {
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().zip(place["w"].as_u64()).is_some_and(|(x, w)| x + w <= 24), "{panel}");
    }
    let source = &dashboard["templating"]["list"][0]["datasource"]["uid"];
    assert!(
        text("deploy/grafana/provisioning/datasources/prometheus.yml")
            .contains(&format!("uid: {}", source.as_str().expect("a name")))
    );
}
