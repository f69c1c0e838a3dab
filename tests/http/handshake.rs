//! The upgrade to a WebSocket: required headers and refusals.

use crate::support::http::{Response, request_text};
use crate::support::raw::{ACCEPT, Raw, UPGRADE};
use crate::support::{Client, Server, Settings};

/// The response to an upgrade in which `from` is replaced by `to`.
fn answer_to(server: &Server, from: &str, to: &str) -> Response {
    let request = UPGRADE.replacen(from, to, 1);
    assert_ne!(request, UPGRADE);
    let mut raw = Raw::connect(server.address());
    raw.send(request.as_bytes());
    if to == "HEAD" { raw.head_response() } else { raw.response() }
}

#[test]
fn a_handshake_by_the_rfc_is_accepted() {
    let server = Server::start();
    let response = Raw::exchange(server.address(), UPGRADE);
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
    assert!(response.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
    assert!(response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
}

#[test]
fn variants_of_browsers_and_proxies_are_accepted() {
    let server = Server::start();
    let variants = [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection: UPGRADE"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Host: localhost", "Host: localhost:8108\r\nOrigin: http://localhost:8108"),
        ("GET /ws HTTP", "GET /ws?room=1 HTTP"),
        ("GET /ws HTTP", "GET http://localhost/ws HTTP"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"),
    ];
    for (from, to) in variants {
        let response = answer_to(&server, from, to);
        assert_eq!((response.status, response.header("sec-websocket-extensions")), (101, None), "{to}");
    }
}

#[test]
fn an_invalid_handshake_is_refused_with_a_reason() {
    let server = Server::start();
    let cases = [
        ("Upgrade: websocket\r\n", "", 426),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Version: 13", "Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Connection: Upgrade", "Connection: keep-alive", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all!!!!!!==", 400),
        ("Host: localhost\r\n", "", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("GET", "POST", 405),
        ("GET", "HEAD", 405),
    ];
    for (from, to, status) in cases {
        let response = answer_to(&server, from, to);
        assert_eq!(response.status, status, "{from:?} -> {to:?}: {response:?}");
        assert!(to == "HEAD" || !response.text().trim().is_empty(), "a reason for {status}");
        if status == 426 {
            assert_eq!(response.header("upgrade"), Some("websocket"), "{to:?}");
            assert_eq!(response.header("sec-websocket-version"), Some("13"), "{to:?}");
        }
        if status == 405 {
            assert_eq!(response.header("allow"), Some("GET, OPTIONS"), "{to:?}");
        }
    }
    assert_eq!(server.count("players"), 0, "a refused handshake creates no player");
}

#[test]
fn a_full_server_still_answers_plain_requests() {
    let server = Settings::new().set("MAX_CONNECTIONS", 1).start();
    let _player = Client::join(&server);
    assert_eq!(Raw::exchange(server.address(), request_text("GET", "/health", &[])).status, 200);
}
