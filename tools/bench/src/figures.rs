//! Figures in the load test's results, which are JSON.

use serde_json::Value as Json;

/// Returns a number by its path; `None` if it was not measured. A histogram without values has zeros, which would meet
/// every limit.
pub fn number(load: &Json, path: &str) -> Option<f64> {
    if let Some((histogram, _)) = path.rsplit_once('/').filter(|(histogram, _)| histogram.ends_with("_ms")) {
        load.pointer(histogram)?["count"].as_u64().filter(|count| *count > 0)?;
    }
    load.pointer(path)?.as_f64()
}

/// Returns the losses and errors that the load test reports; a missing verdict is an error.
pub fn problems(load: &Json) -> Vec<String> {
    match load["problems"].as_array() {
        Some(problems) => problems.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        None => vec!["the load test gave no verdict".to_owned()],
    }
}

/// Returns the load generator's statement if the generator or the machine limited the measurement.
pub fn reservation(load: &Json) -> Option<String> {
    let kept_up = load["generator"]["kept_up"] == true;
    (!kept_up).then(|| load["generator"]["statement"].as_str().unwrap_or_default().to_owned())
}

/// Returns the sum of an object's counts.
pub fn sum(counts: &Json) -> Option<u64> {
    counts.as_object()?.values().map(Json::as_u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_histogram_is_not_measured() {
        let mut load = json!({ "ack_ms": { "count": 9, "mean": 0.5 }, "server": { "cores": 0.25 } });
        assert_eq!((number(&load, "/ack_ms/mean"), number(&load, "/server/cores")), (Some(0.5), Some(0.25)));
        assert_eq!((number(&load, "/to_screen_ms/mean"), number(&load, "/server/bytes")), (None, None));
        load["ack_ms"]["count"] = json!(0);
        assert_eq!(number(&load, "/ack_ms/mean"), None);
    }

    #[test]
    fn losses_and_reservations_are_reported_and_a_missing_verdict_is_a_loss() {
        let load = json!({ "problems": ["1 MOVEs were never answered"], "generator": { "kept_up": true } });
        assert_eq!(
            (problems(&load), reservation(&load)),
            (vec!["1 MOVEs were never answered".to_owned()], None)
        );
        let slow = json!({ "problems": [], "generator": { "kept_up": false, "statement": "too slow" } });
        assert!(problems(&slow).is_empty());
        assert_eq!(reservation(&slow).as_deref(), Some("too slow"));
        assert_eq!(problems(&json!({})).len(), 1);
    }
}
