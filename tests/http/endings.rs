//! How connections end: after every byte of their responses, or for a counted reason.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::http::request_text;
use crate::support::raw::Raw;
use crate::support::wait::wait_until;
use crate::support::{Server, Settings};

const LENGTH: usize = 4 << 20;

/// Sends a request and reads the response in pieces with pauses. Returns the connection and the bytes of body read.
fn take(address: SocketAddr, request: &str, piece: usize, pause: Duration) -> (Raw, usize) {
    let mut raw = Raw::connect(address);
    // Otherwise the kernel buffers megabytes for a slow reader.
    setsockopt(raw.stream(), sockopt::RcvBuf, &(64 << 10)).expect("a buffer");
    raw.send(request.as_bytes());
    let head = raw.head_response();
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*LENGTH.to_string())));
    let read = raw.read_slowly(LENGTH, piece, pause);
    (raw, read)
}

fn cut(server: &Server, reason: &str) -> u64 {
    server.metrics()["answers_cut"][reason].as_u64().expect("a count")
}

#[test]
fn a_closing_connection_stays_open_while_its_response_is_read() {
    let server = Settings::new().start_with_file("to-close", LENGTH);
    let address = server.address();
    let requests = [
        request_text("GET", "/file.bin", &["Connection: close"]),
        "GET /file.bin HTTP/1.0\r\n\r\n".to_owned(),
        request_text("GET", "/file.bin", &["Connection: Upgrade", "Upgrade: h2c"]),
    ];
    let readers = requests.map(|request| {
        // A whole read takes more than five seconds.
        thread::spawn(move || {
            let (mut raw, read) = take(address, &request, 32 << 10, Duration::from_millis(40));
            assert_eq!(read, LENGTH, "{request}");
            assert_eq!(raw.read_to_end(), b"", "the connection ends after the response");
        })
    });
    for reader in readers {
        reader.join().expect("a complete response");
    }
    wait_until("the connections to end", || server.metrics()["connections"]["open"] == 1);
}

#[test]
fn the_keepalive_timeout_starts_at_the_last_byte() {
    let server = Settings::new().set("KEEPALIVE_TIMEOUT_SEC", 5).start_with_file("kept-alive", LENGTH);
    let request = request_text("GET", "/file.bin", &[]);
    // The whole read takes eleven seconds, more than twice the timeout.
    let (mut raw, read) = take(server.address(), &request, 32 << 10, Duration::from_millis(85));
    assert_eq!(read, LENGTH);
    thread::sleep(Duration::from_millis(1_500));
    raw.send(request_text("GET", "/health", &[]).as_bytes());
    assert_eq!(raw.response().status, 200);
}

#[test]
fn requests_in_one_segment_with_a_fin_are_all_answered() {
    let server = Settings::new().start_with_file("one-segment", LENGTH);
    for paths in [["/health"; 9], ["/nothing"; 9], ["/file.bin"; 9]] {
        let mut raw = Raw::connect(server.address());
        let requests: String = paths.iter().map(|path| request_text("GET", path, &[])).collect();
        raw.send_and_shut_down_write(requests.as_bytes());
        for path in paths {
            let status = if path == "/nothing" { 404 } else { 200 };
            assert_eq!(raw.response().status, status, "{path}");
        }
        assert_eq!(raw.read_to_end(), b"");
    }
    let mut raw = Raw::connect(server.address());
    raw.send_and_shut_down_write(format!("{}GET /he", request_text("GET", "/health", &[])).as_bytes());
    assert_eq!(raw.response().status, 200);
    assert_eq!(raw.read_to_end(), b"", "an incomplete request is not answered");
}

#[test]
fn a_reader_below_the_minimum_rate_is_cut_and_counted() {
    let server = Settings::new().set("HTTP_MIN_RATE", 200_000).start_with_file("least-rate", LENGTH);
    let address = server.address();
    let slow = thread::spawn(move || {
        let request = request_text("GET", "/file.bin", &[]);
        take(address, &request, 1_000, Duration::from_millis(50)).1
    });
    let fast = take(address, &request_text("GET", "/file.bin", &[]), 64 << 10, Duration::from_millis(20)).1;
    assert_eq!(fast, LENGTH);
    wait_until("the slow reader to be cut", || cut(&server, "slow") == 1);
    drop(slow);
    assert_eq!((cut(&server, "stalled"), cut(&server, "displaced")), (0, 0));
}

#[test]
fn a_stalled_reader_is_cut_and_counted() {
    let server = Settings::new().set("WRITE_STALL_SEC", 1).start_with_file("no-reader", LENGTH);
    let mut stalled = [&["Connection: close"][..], &[]].map(|headers| {
        let mut raw = Raw::connect(server.address());
        raw.send(request_text("GET", "/file.bin", headers).as_bytes());
        raw
    });
    wait_until("the readers to be cut", || cut(&server, "stalled") == 2);
    assert!(stalled.iter_mut().all(|raw| raw.read_to_end().len() < LENGTH));
    wait_until("all connections to end", || server.metrics()["connections"]["open"] == 1);
}
