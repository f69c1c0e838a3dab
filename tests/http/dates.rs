//! The `Date` header of all responses, also on connections refused before their request.

use std::time::{Duration, SystemTime};

use crate::support::http::{Response, get, request};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::{Server, Settings};

/// Largest age of a `Date`: the time between the response and its check on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[track_caller]
fn assert_dated(answer: &Response) {
    let dates: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "date").collect();
    let [(_, date)] = dates[..] else { panic!("status {}: {dates:?}", answer.status) };
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{date}");
    let at = httpdate::parse_http_date(date).expect(date);
    let off = SystemTime::now().duration_since(at).expect("no date is in the future");
    assert!(off < PATIENCE, "{date} is {off:?} ago");
}

#[test]
fn every_response_has_a_date() {
    let server = Server::start();
    let address = server.address();
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/play", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
        ("HEAD", "/nothing", 404),
        ("POST", "/health", 405),
        ("GET", "/ws", 426),
    ] {
        let answer = request(address, method, path, &[]);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_dated(&answer);
    }
    for (text, status) in [
        (UPGRADE.to_owned(), 101),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n".to_owned(), 413),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)), 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 501),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
    ] {
        let mut raw = Raw::connect(address);
        raw.send(text.as_bytes());
        let answer = raw.head_response();
        assert_eq!(answer.status, status, "{}", &text[..20]);
        assert_dated(&answer);
    }
    let tag = get(address, "/").header("etag").expect("a tag").to_owned();
    let unchanged = request(address, "GET", "/", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(unchanged.status, 304);
    assert_dated(&unchanged);
}

#[test]
fn refused_connections_receive_a_date() {
    let server = Settings::new().set("MAX_CONNECTIONS", 1).set("HTTP_RATE", 1).set("HTTP_BURST", 4).start();
    let mut players = [(); 2].map(|()| {
        let mut raw = Raw::connect(server.address());
        raw.send(UPGRADE.as_bytes());
        raw
    });
    let answers = players.each_mut().map(Raw::head_response);
    assert_eq!(answers.each_ref().map(|answer| answer.status), [101, 503]);
    answers.iter().for_each(assert_dated);
    // One of these is refused before its request is read.
    let refused = (0..20).map(|_| get(server.address(), "/health")).find(|answer| answer.status == 429);
    assert_dated(&refused.expect("the burst has an end"));
}
