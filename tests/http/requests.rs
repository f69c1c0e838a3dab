//! Requests and connections: health, 404 and 405, keep-alive, pipelining.

use serde_json::Value;

use crate::support::http::{get, request, request_text};
use crate::support::raw::Raw;
use crate::support::{Client, Server};

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
