//! Requests and connections: health, 404 and 405, keep-alive, pipelining, oversized heads.

use serde_json::Value;

use crate::support::http::{get, request, request_text};
use crate::support::raw::Raw;
use crate::support::{Client, Server, Settings, wait_for};

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[test]
fn health_has_exactly_three_fields() {
    let server = Server::start();
    let _players = [Client::join(&server), Client::join(&server)];
    let response = get(server.address(), "/health");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let health: Value = serde_json::from_slice(&response.body).unwrap();
    let fields: Vec<_> = health.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["status", "uptime_seconds", "players"]);
    assert_eq!((&health["status"], &health["players"]), (&"healthy".into(), &2.into()));
    assert!(health["uptime_seconds"].is_u64());
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let server = Server::start();
    for path in ["/nothing", "/ws/x", "/health/x", "/metrics/x", "/index.html/x"] {
        let response = get(server.address(), path);
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.body.is_empty(), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "TRACE", "BREW"] {
        for path in ["/", "/health", "/metrics"] {
            let response = request(server.address(), method, path, &[]);
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    for path in ["/", "/nothing"] {
        let full = get(server.address(), path);
        let mut raw = Raw::connect(server.address());
        raw.send(request_text("HEAD", path, &[]).as_bytes());
        raw.send(request_text("GET", path, &["Connection: close"]).as_bytes());
        let head = raw.head_response();
        assert_eq!(
            (head.status, head.header("content-length")),
            (full.status, full.header("content-length"))
        );
        // A body would appear in place of this response.
        assert_eq!(raw.response().body, full.body);
    }
}

#[test]
fn a_connection_serves_several_requests() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address());
    for _ in 0..3 {
        raw.send(request_text("GET", "/health", &[]).as_bytes());
        assert_eq!(raw.response().status, 200);
        raw.send(request_text("GET", "/nothing", &[]).as_bytes());
        assert_eq!(raw.response().status, 404);
    }
    raw.send(request_text("GET", "/health", &["Connection: close"]).as_bytes());
    assert_eq!(raw.response().header("connection"), Some("close"));
    assert_eq!(raw.read_to_end(), b"");

    let mut old = Raw::connect(server.address());
    old.send(b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().status, 200);
    assert_eq!(old.read_to_end(), b"", "HTTP/1.0 closes unless asked not to");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address());
    let paths = ["/health", "/nothing", "/metrics", "/"];
    let requests: String = paths.iter().map(|path| request_text("GET", path, &[])).collect();
    raw.send(requests.repeat(10).as_bytes());
    for _ in 0..10 {
        let answers: Vec<_> = paths.iter().map(|_| raw.response()).collect();
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 404, 200, 200]);
        assert!(answers[0].text().contains("healthy"));
        assert!(answers[2].text().contains("ticks_total"));
        assert!(answers[3].text().contains("<html"));
    }
}

#[test]
fn an_oversized_head_is_refused() {
    let server = Server::start();
    let too_long =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nPad: {}\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
    let too_many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(100));
    let endless = "GET /".to_owned() + &"a".repeat(2 * HEAD_BYTES_MAX);
    for text in [too_long, too_many, endless] {
        let mut raw = Raw::connect(server.address());
        raw.send(text.as_bytes());
        assert_eq!(raw.response().status, 431, "{}...", &text[..40]);
        raw.read_to_end();
    }
    let refused = &server.metrics()["refused"];
    assert_eq!(refused["head_too_large"], 3, "{refused}");
}

#[test]
fn invalid_http_is_refused_and_closed() {
    let server = Server::start();
    let requests: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
    ];
    for bytes in requests {
        let mut raw = Raw::connect(server.address());
        raw.send(bytes);
        let response = raw.response();
        assert_eq!(response.status, 400, "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(response.header("connection"), Some("close"));
        raw.read_to_end();
    }
}

#[test]
fn silent_connections_delay_no_other_client() {
    let server = Settings::new().start();
    let mut silent: Vec<_> = (0..200).map(|_| Raw::connect(server.address())).collect();
    for raw in silent.iter_mut().step_by(2) {
        raw.send(b"GET /health HT");
    }
    let mut client = Client::join(&server);
    client.step(game_client::Vector::ZERO);
    wait_for(&mut client, "service", Client::is_answered);
    server.assert_healthy();
}

#[test]
fn hundreds_of_pipelined_requests_are_all_answered_in_order() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address());
    let requests = 500;
    let mut bytes = String::new();
    for number in 0..requests {
        let path = if number % 2 == 0 { "/health" } else { "/nowhere" };
        bytes += &request_text("GET", path, &[]);
    }
    // More than the per-poll budgets of bytes and requests.
    assert!(raw.send(bytes.as_bytes()));
    for number in 0..requests {
        let expected = if number % 2 == 0 { 200 } else { 404 };
        assert_eq!(raw.response().status, expected, "request {number}");
    }
}
