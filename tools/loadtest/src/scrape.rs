//! Scrapes the server's metrics: `GET /metrics`, on a separate thread, so that the traffic never waits. Those of several servers of
//! one world become one.

use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use game_client::endpoint::Target;
use game_client::http::get_from;
use serde_json::{Value as Json, json};

use crate::options::Options;
use crate::os::Clock;

/// Longest wait for a complete response.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Attempts while the server responds with 503, and the pause between them.
const ATTEMPTS: usize = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The metrics at one time.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// Time of the scrape, in nanoseconds of the run's clock.
    pub at_ns: u64,
    /// The JSON object.
    pub body: Json,
}

impl Scrape {
    /// Returns a number of the object.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.body.get(key)?.as_f64()
    }
}

/// A pending scrape.
pub type Pending = JoinHandle<Option<Scrape>>;

/// Returns the servers that are scraped.
pub fn targets(options: &Options) -> Vec<Target> {
    if options.metrics.is_empty() {
        return vec![options.server.clone()];
    }
    options.metrics.iter().map(|address| Target::at(*address)).collect()
}

/// Starts a scrape. Its result is `None` if a server provides no metrics.
pub fn begin(servers: &[Target], clock: Clock) -> Pending {
    let servers = servers.to_vec();
    thread::spawn(move || {
        let bodies = servers.iter().map(request).collect::<Option<Vec<Json>>>()?;
        let body = bodies.into_iter().reduce(|one, other| merged("", &one, &other))?;
        Some(Scrape { at_ns: clock.now_ns(), body })
    })
}

/// Merges the metrics of two servers: sums of counts, and the worst of the others.
fn merged(name: &str, one: &Json, other: &Json) -> Json {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let pair = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            let number = match name {
                "max_visible" | "tick_rate_hz" => pair.0.min(pair.1),
                "flush_interval_ms" | "governor_level" | "tick_p99_ns" | "ticks_total" => pair.0.max(pair.1),
                _ => pair.0 + pair.1,
            };
            // A count stays a whole number.
            if one.is_f64() || other.is_f64() { json!(number) } else { json!(number as i64) }
        }
        (Json::Object(one), Json::Object(other)) => {
            let members = one.iter().map(|(name, value)| {
                (name.clone(), other.get(name).map_or(value.clone(), |other| merged(name, value, other)))
            });
            Json::Object(members.collect())
        }
        _ => one.clone(),
    }
}

/// Requests the metrics, again while the server is busy. Returns `None` if the response is not usable.
fn request(server: &Target) -> Option<Json> {
    for _ in 0..ATTEMPTS {
        let deadline = Instant::now() + TIMEOUT;
        let response = get_from(&[server.address], &server.authority, "/metrics", deadline).ok()?;
        match response.status {
            200 => return serde_json::from_str(&response.body).ok(),
            503 => sleep(RETRY_PAUSE),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_servers_are_added_and_the_worst_of_the_others_is_kept() {
        let one = json!({"players": 3, "max_visible": 128, "governor_level": 1, "closed": {"left": 1}, "version": "a"});
        let other = json!({"players": 4, "max_visible": 64, "governor_level": 7, "closed": {"left": 2}, "version": "a"});
        let both = json!({"players": 7, "max_visible": 64, "governor_level": 7, "closed": {"left": 3}, "version": "a"});
        assert_eq!(merged("", &one, &other), both);
    }
}
