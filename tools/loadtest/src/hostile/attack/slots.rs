//! Keep-alive and silent HTTP connections in every slot; beside them health checks, joining players, and a slow download.

use std::io::{self, ErrorKind, Read, Write};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::http;
use game_client::line::{Line, PATIENCE};

use super::{Figure, Site, Ticker};
use crate::hostile::requester::Requests;
use crate::os::begin_connect;

/// One of this many peers is silent; the others keep their connections alive.
const SILENT_ONE_IN: usize = 9;

/// Interval of requests on a connection.
const REQUEST_INTERVAL: Duration = Duration::from_millis(400);

/// Time between two probes for a free slot.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// A download reads this many bytes per interval: a megabyte per second.
const PIECE_BYTES: usize = 20_000;
const PIECE_INTERVAL: Duration = Duration::from_millis(20);

/// Receive buffer of the download. It is small, because the kernel fills it at full speed.
const DOWNLOAD_BUFFER_BYTES: usize = 64 * 1_024;

/// Time without progress after which a download counts as cut.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Counts of attempts and failures.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    tried: u64,
    failed: u64,
}

impl Tries {
    fn count<T>(&mut self, result: &io::Result<T>) {
        self.tried += 1;
        self.failed += u64::from(result.is_err());
    }
}

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    thread::scope(|scope| {
        let (upgrades, health) = (scope.spawn(|| upgrades(site)), scope.spawn(|| health(site)));
        let downloads = scope.spawn(|| downloads(site));
        let requests = hold(site);
        let done = |handle: thread::ScopedJoinHandle<Tries>| handle.join().expect("a probe does not panic");
        let (upgrades, health, downloads) = (done(upgrades), done(health), done(downloads));
        let mut figures = vec![
            Figure::count("connections of the attacker closed by the server", requests.ended),
            Figure::count("requests of the attacker answered", requests.answered),
            Figure::count("upgrades attempted", upgrades.tried).at_least(1.0),
            Figure::count("upgrades refused", upgrades.failed).at_most(0.0),
            Figure::count("health checks attempted", health.tried).at_least(1.0),
            Figure::count("health checks refused", health.failed).at_most(0.0),
        ];
        if site.download.is_some() {
            figures.push(Figure::count("downloads started", downloads.tried).at_least(1.0));
            figures.push(Figure::count("downloads cut", downloads.failed).at_most(0.0));
        }
        figures
    })
}

/// Runs the attackers.
fn hold(site: &Site) -> Requests {
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", site.server.authority);
    site.request_in_groups(REQUEST_INTERVAL, |index| {
        let is_silent = index % SILENT_ONE_IN == 0;
        if is_silent { Vec::new() } else { request.clone().into_bytes() }
    })
}

/// Joins and leaves as a player.
fn upgrades(site: &Site) -> Tries {
    probe(site, || Line::open(&site.server, None).map(Line::leave))
}

/// Requests `/health`, and fails unless the status is 200.
fn health(site: &Site) -> Tries {
    probe(site, || {
        let (address, deadline) = (site.server.address, Instant::now() + PATIENCE);
        let answer = http::get_from(&[address], &site.server.authority, "/health", deadline)?;
        if answer.status == 200 { Ok(()) } else { Err(ErrorKind::ConnectionRefused.into()) }
    })
}

fn probe(site: &Site, mut ask: impl FnMut() -> io::Result<()>) -> Tries {
    let (mut tries, mut beat) = (Tries::default(), Ticker::every(PROBE_INTERVAL));
    while !site.is_over() {
        tries.count(&ask());
        beat.sleep();
    }
    tries
}

/// Runs one download after the other. A download that the end of the run interrupts does not count.
fn downloads(site: &Site) -> Tries {
    let mut tries = Tries::default();
    let Some(path) = &site.download else { return tries };
    while !site.is_over() {
        let result = download(site, path);
        if !site.is_over() {
            tries.count(&result);
        }
        if result.is_err() {
            sleep(PROBE_INTERVAL);
        }
    }
    tries
}

/// Reads a file slowly, to its last byte.
fn download(site: &Site, path: &str) -> io::Result<()> {
    let mut stream = begin_connect(site.server.address, None, Some(DOWNLOAD_BUFFER_BYTES))?;
    // A write waits for the connection.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DOWNLOAD_PATIENCE))?;
    stream.set_write_timeout(Some(DOWNLOAD_PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", site.server.authority)?;
    let (mut beat, mut buffer) = (Ticker::every(PIECE_INTERVAL), vec![0; PIECE_BYTES]);
    let (mut head, mut left) = (Vec::new(), None);
    while left != Some(0) && !site.is_over() {
        beat.sleep();
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left = if let Some(left) = left {
            Some(usize::saturating_sub(left, count))
        } else {
            head.extend_from_slice(&buffer[..count]);
            body_left(&head)?
        };
    }
    Ok(())
}

/// Returns the number of missing body bytes, or `None` while the head is incomplete.
fn body_left(received: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&received[..end]);
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    match length.and_then(|(_, length)| length.parse::<usize>().ok()) {
        Some(length) if head.starts_with("HTTP/1.1 200 ") => {
            Ok(Some(length.saturating_sub(received.len() - end - 4)))
        }
        _ => Err(ErrorKind::ConnectionRefused.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_knows_its_missing_bytes() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(body_left(&head.as_bytes()[..20]).unwrap(), None);
        assert_eq!(body_left(head.as_bytes()).unwrap(), Some(9));
        assert_eq!(body_left(format!("{head}1234").as_bytes()).unwrap(), Some(5));
        assert!(body_left(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n").is_err());
    }
}
