//! Pipelined requests that are cheap to send and expensive to answer, on many connections, at a bounded byte rate.

use std::time::Duration;

use super::{Figure, Site};

/// Bytes per second over all connections.
const BYTES_PER_S: usize = 1_000_000;

/// Bursts per second and connection, and their interval.
const BURSTS_PER_S: usize = 10;
const BURST_INTERVAL: Duration = Duration::from_millis(1_000 / BURSTS_PER_S as u64);

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    let request = format!("HEAD /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", site.server.authority);
    let burst = request.repeat((BYTES_PER_S / site.peers / BURSTS_PER_S / request.len()).max(1));
    let requests = site.request_in_groups(BURST_INTERVAL, |_| burst.clone().into_bytes());
    let a_second = |count: u64| count as f64 / site.seconds();
    vec![
        Figure::new("requests sent per second", a_second(requests.bytes_sent) / request.len() as f64),
        Figure::new("requests answered per second", a_second(requests.answered)),
        Figure::new("requests refused per second", a_second(requests.refused)),
        Figure::count("connections of the attacker closed by the server", requests.ended),
    ]
}
