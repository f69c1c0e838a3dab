//! Pipelined requests that are cheap to send and expensive to answer, on many connections, at a bounded byte rate.

use std::time::Duration;

use super::{Figure, Site, Ticker};
use crate::hostile::requester::{Requester, Requests};

/// Bytes per second over all connections.
const BYTES_PER_S: usize = 1_000_000;

/// Bursts per second and connection.
const BURSTS_PER_S: usize = 10;

/// Groups of peers; the groups send one after the other.
const GROUPS: usize = 10;

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    let request = format!("HEAD /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", site.server.authority);
    let burst = request.repeat((BYTES_PER_S / site.peers / BURSTS_PER_S / request.len()).max(1));
    let mut peers: Vec<Requester> = (0..site.peers).map(|_| Requester::new(site.server.address)).collect();
    let mut beat = Ticker::every(Duration::from_secs(1) / (BURSTS_PER_S * GROUPS) as u32);
    for group in (0..GROUPS).cycle() {
        if site.is_over() {
            break;
        }
        for peer in peers.iter_mut().skip(group).step_by(GROUPS) {
            peer.act(burst.as_bytes());
        }
        beat.sleep();
    }
    let requests = peers.iter().fold(Requests::default(), |sum, peer| sum.plus(peer.requests));
    let a_second = |count: u64| count as f64 / site.seconds();
    vec![
        Figure::new("requests sent per second", a_second(requests.bytes_sent) / request.len() as f64),
        Figure::new("requests answered per second", a_second(requests.answered)),
        Figure::new("requests refused per second", a_second(requests.refused)),
        Figure::count("connections of the attacker closed by the server", requests.ended),
    ]
}
