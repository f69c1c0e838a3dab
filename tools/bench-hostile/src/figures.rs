//! Figures and losses, read from the results of the load test.

use serde_json::Value as Json;

/// One figure.
pub struct Figure {
    /// Name with unit, for the report.
    pub name: &'static str,
    /// JSON pointer into the load test's results.
    path: &'static str,
    /// Factor that converts the value to its unit.
    factor: f64,
    /// Significant decimals.
    pub decimals: usize,
}

const fn figure(name: &'static str, path: &'static str, factor: f64, decimals: usize) -> Figure {
    Figure { name, path, factor, decimals }
}

/// The figure with a limit.
pub static ACK_MEAN: Figure = figure("ack round trip, mean, ms", "/ack_ms/mean", 1.0, 2);

/// The other figures, in the order of the report.
pub static OTHERS: [Figure; 14] = [
    figure("ack round trip, median, ms", "/ack_ms/p50", 1.0, 2),
    figure("ack round trip, p99, ms", "/ack_ms/p99", 1.0, 2),
    figure("ack round trip, longest, ms", "/ack_ms/max", 1.0, 1),
    figure("MOVEs a second", "/traffic/moves_per_s", 1.0, 0),
    figure("CPU of the server, % of a core", "/server/cores", 100.0, 1),
    figure("server runnable without a CPU, %", "/server/wait_ratio", 100.0, 1),
    figure("ticks a second", "/server/metrics/tick_rate_hz", 1.0, 2),
    figure("ticks skipped", "/server/metrics/ticks_skipped", 1.0, 0),
    figure("governor level at the end", "/server/metrics/governor_level", 1.0, 0),
    figure("flush interval at the end, ms", "/server/metrics/flush_interval_ms", 1.0, 0),
    figure("maximum of visible players at the end", "/server/metrics/max_visible", 1.0, 0),
    figure("messages over the rate", "/server/metrics/rate_limited", 1.0, 0),
    figure("partial writes", "/server/metrics/write_stalls", 1.0, 0),
    figure("steal time of the machine, %", "/generator/stolen_ratio", 100.0, 2),
];

impl Figure {
    /// Returns its value in these results, or `None` if it was not measured.
    pub fn of(&self, load: &Json) -> Option<f64> {
        // Without acks the times are zeros, which would meet every limit.
        if self.path.starts_with("/ack_ms/") && load.pointer("/ack_ms/count")?.as_u64()? == 0 {
            return None;
        }
        Some(load.pointer(self.path)?.as_f64()? * self.factor)
    }
}

/// Returns the losses and errors that the load test reports; a missing verdict is an error.
pub fn losses(load: &Json) -> Vec<String> {
    match load["problems"].as_array() {
        Some(problems) => problems.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        None => vec!["the load test gave no verdict".to_owned()],
    }
}

/// Returns the parts of the load test's results that the report needs: a thirtieth of the whole.
pub fn essence(load: &Json) -> Json {
    let figures = OTHERS.iter().chain([&ACK_MEAN]).map(|figure| figure.path);
    let judged = ["/started", "/problems", "/ack_ms/count", "/generator/kept_up", "/generator/statement"];
    let mut kept = Json::Null;
    for path in judged.into_iter().chain(figures) {
        let Some(value) = load.pointer(path) else { continue };
        let part = path[1..].split('/').fold(&mut kept, |part, key| &mut part[key]);
        *part = value.clone();
    }
    kept
}

/// Returns the load generator's statement if the generator limited the measurement.
pub fn reservation(load: &Json) -> Option<String> {
    let kept_up = load["generator"]["kept_up"] == true;
    (!kept_up).then(|| load["generator"]["statement"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_essence_has_every_figure_and_the_verdict() {
        let load = json!({
            "problems": ["1 connections were lost"],
            "ack_ms": { "count": 9, "mean": 0.5, "p99": 2.0, "buckets": [1, 2, 3] },
            "generator": { "kept_up": true, "stolen_ratio": 0.01, "cores": 0.5 },
            "timeline": [{ "at_s": 1 }],
        });
        let kept = essence(&load);
        let figures = OTHERS.iter().chain([&ACK_MEAN]);
        assert!(figures.into_iter().all(|figure| figure.of(&kept) == figure.of(&load)));
        assert_eq!(losses(&kept), losses(&load));
        assert_eq!(reservation(&kept), None);
        assert!(kept["timeline"].is_null() && kept["ack_ms"]["buckets"].is_null());
        assert_eq!(losses(&essence(&json!({}))).len(), 1);
    }

    #[test]
    fn figures_have_their_unit_and_are_missing_without_acks() {
        let mut load = json!({ "ack_ms": { "count": 9, "mean": 0.5 }, "server": { "cores": 0.25 } });
        assert_eq!(ACK_MEAN.of(&load), Some(0.5));
        assert_eq!(OTHERS[4].of(&load), Some(25.0));
        assert_eq!(OTHERS[6].of(&load), None);
        load["ack_ms"]["count"] = json!(0);
        assert_eq!(ACK_MEAN.of(&load), None);
    }

    #[test]
    fn losses_and_reservations_are_reported_and_a_missing_verdict_is_a_loss() {
        let load = json!({ "problems": ["1 MOVEs were never answered"], "generator": { "kept_up": true } });
        assert_eq!(losses(&load), ["1 MOVEs were never answered"]);
        assert_eq!(reservation(&load), None);
        let slow = json!({ "problems": [], "generator": { "kept_up": false, "statement": "too slow" } });
        assert!(losses(&slow).is_empty());
        assert_eq!(reservation(&slow).as_deref(), Some("too slow"));
        assert_eq!(losses(&json!({})).len(), 1);
    }
}
