//! Polls servers, each on its own thread, so that a hanging server delays no other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use game_client::endpoint::{Lookup, Server};
use game_client::http;
use serde_json::Value as Json;

/// Longest time for a response, including name resolution, connecting and reading.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Most queued responses. A full queue blocks the polling threads.
const RESPONSES_MAX: usize = 64;

/// Result of one request.
#[derive(Debug, Clone)]
pub struct Response {
    /// Time of the result.
    pub at: Instant,
    /// The metrics, or the error.
    pub metrics: Result<Json, String>,
}

/// Polling threads and the queue of their results.
pub struct Poll {
    responses: Receiver<(usize, Response)>,
    interval_ms: Arc<AtomicU64>,
}

impl Poll {
    /// Starts polling. The threads end with the process.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(servers: &[Server], interval: Duration) -> io::Result<Poll> {
        let (sender, responses) = sync_channel(RESPONSES_MAX);
        let interval_ms = Arc::new(AtomicU64::new(interval.as_millis() as u64));
        for (index, server) in servers.iter().enumerate() {
            let (sender, server, interval_ms) = (sender.clone(), server.clone(), Arc::clone(&interval_ms));
            let mut lookup = Lookup::new(server.host, server.port);
            thread::Builder::new().name(format!("poll-{index}")).spawn(move || {
                loop {
                    let started = Instant::now();
                    let metrics = fetch_metrics(&mut lookup, &server.name, started + TIMEOUT);
                    if sender.send((index, Response { at: Instant::now(), metrics })).is_err() {
                        return;
                    }
                    let interval = Duration::from_millis(interval_ms.load(Ordering::Relaxed));
                    thread::sleep(interval.saturating_sub(started.elapsed()));
                }
            })?;
        }
        Ok(Poll { responses, interval_ms })
    }

    /// Returns the next result and the index of its server, if one arrives in time.
    pub fn next(&self, timeout: Duration) -> Option<(usize, Response)> {
        self.responses.recv_timeout(timeout).ok()
    }

    /// Returns the polling interval.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.load(Ordering::Relaxed))
    }

    /// Sets the polling interval. It takes effect after the next request.
    pub fn set_interval(&self, interval: Duration) {
        self.interval_ms.store(interval.as_millis() as u64, Ordering::Relaxed);
    }
}

fn fetch_metrics(lookup: &mut Lookup, authority: &str, deadline: Instant) -> Result<Json, String> {
    let addresses = lookup.addresses(deadline)?;
    let response = http::get_from(addresses, authority, "/metrics", deadline).map_err(|error| {
        lookup.forget();
        error.to_string()
    })?;
    match response.status {
        200 => serde_json::from_str(&response.body).map_err(|_| "the response is not JSON".to_owned()),
        404 => Err("no metrics at this address; with ADMIN_ADDR they are served there".to_owned()),
        status => Err(format!("the server responds with status {status}")),
    }
}
