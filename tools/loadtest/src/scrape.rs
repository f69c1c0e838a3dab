//! The server's own account of itself: `GET /metrics`, asked on a thread of its own, so that the traffic never waits.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use stage::http::exchange;

use crate::options::Server;
use crate::os::Clock;

/// Longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Questions put to a server that has no place for one at the moment, and the pause between them.
const ATTEMPTS: usize = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The metrics at one moment.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// When they were read, in nanoseconds of the run's clock.
    pub at_ns: u64,
    /// The whole object.
    pub body: Json,
}

impl Scrape {
    /// A number of the object.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.body.get(key)?.as_f64()
    }

    /// How much a number has grown since an earlier scrape.
    pub fn growth(&self, earlier: &Scrape, key: &str) -> Option<f64> {
        Some(self.number(key)? - earlier.number(key)?)
    }
}

/// A question under way.
#[derive(Debug)]
pub struct ScrapeRequest {
    answer: Receiver<Option<Scrape>>,
}

impl ScrapeRequest {
    /// Asks.
    pub fn begin(server: &Server, clock: Clock) -> ScrapeRequest {
        let (address, authority) = (server.address, server.authority.clone());
        let (sender, answer) = channel();
        std::thread::spawn(move || {
            let body = (0..ATTEMPTS).find_map(|tried| {
                std::thread::sleep(if tried == 0 { Duration::ZERO } else { RETRY_PAUSE });
                ask(address, &authority).ok()
            });
            // Fails when the run has ended meanwhile, and then nobody wants to know.
            let _ = sender.send(body.flatten().map(|body| Scrape { at_ns: clock.now_ns(), body }));
        });
        ScrapeRequest { answer }
    }

    /// The answer, waited for; none when the server gives no metrics.
    pub fn answer(self) -> Option<Scrape> {
        self.answer.recv().ok().flatten()
    }
}

/// The server had no place for the question; it may be asked again.
struct Busy;

/// What the server says, if anything useful.
fn ask(address: SocketAddr, authority: &str) -> Result<Option<Json>, Busy> {
    match fetch(address, authority) {
        Some(answer) if answer.starts_with(b"HTTP/1.1 503") => Err(Busy),
        answer => Ok(answer.and_then(|answer| parse(&answer))),
    }
}

fn fetch(address: SocketAddr, authority: &str) -> Option<Vec<u8>> {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    let mut answer = Vec::new();
    exchange(&[address], request.as_bytes(), Instant::now() + TIMEOUT, &mut answer).ok()?;
    Some(answer)
}

/// The body of a response, if it is JSON and all is well. It ends where the connection does.
fn parse(answer: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(answer: &str) -> Option<Scrape> {
        parse(answer.as_bytes()).map(|body| Scrape { at_ns: 0, body })
    }

    #[test]
    fn numbers_and_their_growth_are_read_from_the_object() {
        let earlier = scrape("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"ticks_total\":100}").unwrap();
        let later = scrape("HTTP/1.1 200 OK\r\n\r\n{\"ticks_total\":160,\"word\":\"x\"}").unwrap();
        assert_eq!(later.growth(&earlier, "ticks_total"), Some(60.0));
        assert_eq!(later.growth(&earlier, "word"), None);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for answer in ["", "HTTP/1.1 404 Not Found\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\nplayers 1"] {
            assert!(scrape(answer).is_none(), "{answer}");
        }
    }
}
