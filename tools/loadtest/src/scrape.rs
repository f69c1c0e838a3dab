//! Scrapes the server's metrics: `GET /metrics`, on a separate thread, so that the traffic never waits.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use game_client::endpoint::Target;
use game_client::http::{Response, get_from};
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

    /// Returns the growth of a number since an earlier scrape.
    pub fn growth(&self, earlier: &Scrape, key: &str) -> Option<f64> {
        Some(self.number(key)? - earlier.number(key)?)
    }
}

/// A pending scrape.
#[derive(Debug)]
pub struct ScrapeRequest {
    answer: Receiver<Option<Scrape>>,
}

impl ScrapeRequest {
    /// Starts a scrape.
    pub fn begin(server: &Target, clock: Clock) -> ScrapeRequest {
        let (address, authority) = (server.address, server.authority.clone());
        let (sender, answer) = channel();
        std::thread::spawn(move || {
            let body = (0..ATTEMPTS).find_map(|tried| {
                std::thread::sleep(if tried == 0 { Duration::ZERO } else { RETRY_PAUSE });
                request(address, &authority).ok()
            });
            // Fails if the run has ended, and then the result is not needed.
            let _ = sender.send(body.flatten().map(|body| Scrape { at_ns: clock.now_ns(), body }));
        });
        ScrapeRequest { answer }
    }

    /// Waits for the result; `None` if the server provides no metrics.
    pub fn answer(self) -> Option<Scrape> {
        self.answer.recv().ok().flatten()
    }
}

/// The server is busy (503). The request may be repeated.
struct Busy;

/// Requests the metrics; `Ok(None)` if the response is not usable.
fn request(address: SocketAddr, authority: &str) -> Result<Option<Json>, Busy> {
    get_from(&[address], authority, "/metrics", Instant::now() + TIMEOUT)
        .map_or(Ok(None), |answer| read(&answer))
}

fn read(answer: &Response) -> Result<Option<Json>, Busy> {
    match answer.status {
        200 => Ok(serde_json::from_str(&answer.body).ok()),
        503 => Err(Busy),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(status: u16, body: &str) -> Option<Scrape> {
        let body = read(&Response { status, body: body.to_owned() }).ok()?;
        body.map(|body| Scrape { at_ns: 0, body })
    }

    #[test]
    fn numbers_and_their_growth_are_read_from_the_object() {
        let earlier = scrape(200, r#"{"ticks_total":100}"#).unwrap();
        let later = scrape(200, r#"{"ticks_total":160,"word":"x"}"#).unwrap();
        assert_eq!(later.growth(&earlier, "ticks_total"), Some(60.0));
        assert_eq!(later.growth(&earlier, "word"), None);
    }

    #[test]
    fn other_responses_are_ignored() {
        for (status, body) in [(404, "{}"), (503, "{}"), (200, "players 1")] {
            assert!(scrape(status, body).is_none(), "{status} {body}");
        }
    }
}
