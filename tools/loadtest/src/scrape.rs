//! Scrapes the server's metrics: `GET /metrics`, on a separate thread, so that the traffic never waits.

use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use game_client::endpoint::Target;
use game_client::http::get_from;
use serde_json::Value as Json;

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

/// Starts a scrape. Its result is `None` if the server provides no metrics.
pub fn begin(server: &Target, clock: Clock) -> Pending {
    let server = server.clone();
    thread::spawn(move || {
        let body = request(&server)?;
        Some(Scrape { at_ns: clock.now_ns(), body })
    })
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
