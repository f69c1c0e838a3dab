//! The metrics of a response, and rates between two of them.

use std::time::Duration;

use game_client::text::printable_json;
use serde::Serialize;
use serde_json::Value as Json;

/// The metrics of one response.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The whole object. Its strings and names are escaped for the terminal.
    metrics: Json,
}

impl Sample {
    /// Returns the sample of a response to `/metrics`.
    pub fn new(metrics: Json) -> Sample {
        Sample { metrics: printable_json(metrics) }
    }

    /// Returns the whole object.
    pub fn metrics(&self) -> &Json {
        &self.metrics
    }

    /// Returns a number by its path, with dots between names; 0 if it is absent.
    pub fn number(&self, key: &str) -> f64 {
        let value = key.split('.').try_fold(&self.metrics, |value, name| value.get(name));
        value.and_then(Json::as_f64).unwrap_or(0.0)
    }

    /// Returns the sum of an object of counts.
    pub fn sum(&self, key: &str) -> f64 {
        self.counts(key).map(|(_, count)| count).sum()
    }

    /// Returns the counts of an object.
    pub fn counts(&self, key: &str) -> impl Iterator<Item = (&str, f64)> {
        let object = self.metrics.get(key).and_then(Json::as_object);
        object.into_iter().flatten().map(|(name, count)| (name.as_str(), count.as_f64().unwrap_or(0.0)))
    }
}

/// Rates per second between two responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Game messages received.
    pub messages_in: f64,
    /// Game messages sent.
    pub messages_out: f64,
    /// Bytes read.
    pub bytes_in: f64,
    /// Bytes written.
    pub bytes_out: f64,
    /// MOVEs acknowledged.
    pub acks: f64,
    /// Write system calls.
    pub writes: f64,
    /// Partial or blocked writes.
    pub write_stalls: f64,
    /// Messages dropped for the rate limit.
    pub rate_limited: f64,
    /// Connections upgraded.
    pub joined: f64,
    /// Players disconnected.
    pub ended: f64,
    /// Connections and requests refused.
    pub refused: f64,
    /// Processor time, in cores.
    pub cores: f64,
}

impl Rates {
    /// Returns the rates between two responses, or `None` if the server was restarted or no time has passed.
    pub fn between(earlier: &Sample, later: &Sample, elapsed: Duration) -> Option<Rates> {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 || later.number("ticks_total") < earlier.number("ticks_total") {
            return None;
        }
        let of = |before: f64, after: f64| (after - before).max(0.0) / seconds;
        let rate = |key: &str| of(earlier.number(key), later.number(key));
        let rate_of_sum = |key: &str| of(earlier.sum(key), later.sum(key));
        Some(Rates {
            messages_in: rate("messages_in_total"),
            messages_out: rate("messages_out_total"),
            bytes_in: rate("bytes_in_total"),
            bytes_out: rate("bytes_out_total"),
            acks: rate("frames_out.ack"),
            writes: rate("socket_writes_total"),
            write_stalls: rate("write_stalls_total"),
            rate_limited: rate("rate_limited_total"),
            joined: rate("connections.upgraded_total"),
            ended: rate_of_sum("closed"),
            refused: rate_of_sum("refused"),
            cores: rate("cpu_ns_total") / 1e9,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(ticks: u64, acks: u64, idle: u64) -> Sample {
        Sample::new(json!({
            "ticks_total": ticks, "cpu_ns_total": ticks * 1_000_000,
            "frames_out": { "ack": acks, "joined": 7 }, "closed": { "idle": idle, "left": 1 },
        }))
    }

    #[test]
    fn rates_are_differences_over_time() {
        let rates = Rates::between(&sample(60, 10, 1), &sample(180, 50, 3), Duration::from_secs(2)).unwrap();
        assert_eq!((rates.acks, rates.ended, rates.messages_in), (20.0, 1.0, 0.0));
        assert!((rates.cores - 0.06).abs() < 1e-9);
    }

    #[test]
    fn a_restarted_server_has_no_rates() {
        assert_eq!(Rates::between(&sample(60, 10, 1), &sample(5, 0, 0), Duration::from_secs(1)), None);
        assert_eq!(Rates::between(&sample(60, 10, 1), &sample(60, 10, 1), Duration::ZERO), None);
    }

    #[test]
    fn absent_metrics_are_zero() {
        let sample = Sample::new(json!({ "players": 3, "refused": "none" }));
        assert_eq!(
            (sample.number("players"), sample.number("frames_out.ack"), sample.sum("refused")),
            (3.0, 0.0, 0.0)
        );
    }
}
