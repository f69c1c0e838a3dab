//! Ambiguous and oversized heads have their status, and no byte after them is read as a request.
//!
//! Each case sends a head and at once a second request, the one an attacker would smuggle. The second request
//! is answered only if the connection may stay open. Each case is sent whole and byte by byte.

use crate::support::Server;
use crate::support::raw::{FIN, PING, PONG, Raw, UPGRADE, masked};
use crate::support::server::sum;
use crate::support::wait::wait_until;

use After::{Ends, Lives, Upgraded};

/// The request after every head.
const HIDDEN: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields in a head.
const FIELDS_MAX: usize = 100;

/// State of a connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Further requests are served.
    Lives,
    /// The connection has ended with the response.
    Ends,
    /// The connection is a WebSocket.
    Upgraded,
}

struct Row {
    name: String,
    head: Vec<u8>,
    status: u16,
    after: After,
}

fn row(name: impl Into<String>, head: impl Into<Vec<u8>>, status: u16, after: After) -> Row {
    Row { name: name.into(), head: head.into(), status, after }
}

/// A request for `/health` with additional lines.
fn with(lines: &str) -> String {
    format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n\r\n")
}

fn handshake(from: &str, to: &str) -> String {
    let head = UPGRADE.replacen(from, to, 1);
    assert_ne!(head, UPGRADE);
    head
}

fn run(rows: &[Row]) {
    let server = Server::start();
    for row in rows {
        for piece in [usize::MAX, 1] {
            attempt(&server, row, piece);
        }
    }
    server.wait_for_players(0);
    let count =
        |is_counted: fn(u16) -> bool| 2 * rows.iter().filter(|row| is_counted(row.status)).count() as u64;
    let metrics = server.metrics();
    assert_eq!(sum(&metrics["refused"]), count(|status| status >= 400), "{}", metrics["refused"]);
    assert_eq!(metrics["refused"]["head_too_large"], count(|status| status == 431));
    assert_eq!(sum(&metrics["protocol_errors"]), 0, "a head was read as frames: {metrics}");
}

fn attempt(server: &Server, row: &Row, piece: usize) {
    let what = format!("{} ({})", row.name, if piece == 1 { "byte by byte" } else { "whole" });
    let mut raw = Raw::connect(server.address());
    let ping = masked(FIN | PING, b"frames?");
    let behind = if row.after == Upgraded { &ping } else { HIDDEN };
    let bytes = [&row.head[..], behind].concat();
    // After a refusal the server may stop reading.
    let _ = bytes.chunks(piece.min(bytes.len())).all(|piece| raw.send(piece));
    let response = raw.response();
    assert_eq!(response.status, row.status, "{what}: {response:?}");
    let connection = response.header("connection").unwrap_or_default();
    match row.after {
        Lives => {
            assert!(connection.starts_with("keep-alive"), "{what}: {connection}");
            assert!(raw.response().text().contains("healthy"), "{what}: the second request must be answered");
        }
        Ends => {
            assert!(connection.starts_with("close"), "{what}: {connection}");
            assert_eq!(
                String::from_utf8_lossy(&raw.read_to_end()),
                "",
                "{what}: the second request was answered"
            );
        }
        Upgraded => assert_eq!(raw.next_frame_of(PONG).payload, b"frames?", "{what}"),
    }
}

#[test]
fn lengths_and_encodings() {
    let mut rows = vec![
        row("no body", with(""), 200, Lives),
        row("length 0", with("Content-Length: 0\r\n"), 200, Lives),
        row("length 00", with("Content-Length: 00\r\n"), 200, Lives),
    ];
    rows.push(row("POST without a body", with("").replace("GET", "POST"), 405, Ends));
    for (lines, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: identity\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 44\r\n", 400),
        ("Content-Length: 44\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 0, 0\r\n", 400),
        ("Content-Length: 0,44\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: +0\r\n", 400),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: 0x2c\r\n", 400),
        ("Content-Length: 4 4\r\n", 400),
        ("Content-Length: 0.0\r\n", 400),
        ("Content-Length: \"0\"\r\n", 400),
        ("Content-Length: \u{661}\r\n", 400),
        ("Content-Length : 44\r\n", 400),
        ("Content-Length\t: 44\r\n", 400),
        (" Content-Length: 44\r\n", 400),
        ("Content-Length\r\n", 400),
        ("Content-Length: 44\r\n", 413),
        ("content-length: 44\r\n", 413),
        ("CONTENT-LENGTH:044\r\n", 413),
        ("Content-Length:\t44\t\r\n", 413),
        ("Content-Length: 18446744073709551616\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", 501),
        ("transfer-encoding:chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding:\tchunked\r\n", 501),
        ("Transfer-Encoding: \"chunked\"\r\n", 501),
        ("Transfer-Encoding:\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: \u{b}chunked\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding\t: chunked\r\n", 400),
        ("Transfer-Encoding: chun\0ked\r\n", 400),
        (" Transfer-Encoding: chunked\r\n", 400),
        ("Transfer-\r\nEncoding: chunked\r\n", 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", 400),
        ("X: y\nTransfer-Encoding: chunked\r\n", 400),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", 400),
    ] {
        rows.push(row(format!("{lines:?}"), with(lines), status, Ends));
    }
    rows.push(row("1.0 with an encoding", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 501, Ends));
    rows.push(row("1.0 with a length", "GET / HTTP/1.0\r\nContent-Length: 44\r\n\r\n", 413, Ends));
    run(&rows);
}

#[test]
fn lines_and_fields() {
    let mut rows = vec![
        row("an empty line before", format!("\r\n{}", with("")), 200, Lives),
        row("a tab in a value", with("X: a\tb\r\n"), 200, Lives),
        row(
            "Latin-1 in a value",
            [&b"GET /health HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"[..]].concat(),
            200,
            Lives,
        ),
        row("empty values", with("X:\r\nY: \r\n"), 200, Lives),
        row("bare LFs", "GET /health HTTP/1.1\nHost: a\n\n", 400, Ends),
        row("a bare LF at the end", "GET /health HTTP/1.1\r\nHost: a\r\n\n", 400, Ends),
        row("a bare LF after the request line", "GET /health HTTP/1.1\nHost: a\r\n\r\n", 400, Ends),
        row("a bare LF before", "\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", 400, Ends),
        row("bare CRs", "GET /health HTTP/1.1\rHost: a\r\r", 400, Ends),
        row("CR CR LF", "GET /health HTTP/1.1\r\r\nHost: a\r\r\n\r\r\n", 400, Ends),
    ];
    for lines in [
        "X: a\r\n b\r\n", "X: a\r\n\tb\r\n", "X:\r\n b\r\n", " X: a\r\n", "\tX: a\r\n", "X : a\r\n",
        "X\t: a\r\n", "X Y: a\r\n", ": a\r\n", "X\r\n", "X: a\0b\r\n", "X\0: a\r\n", "X: a\u{8}b\r\n",
        "X: a\u{7f}b\r\n", "X: a\rb\r\n", "X(y): a\r\n", "X\u{e9}: a\r\n", "[X]: a\r\n",
        "Host: localhost\r\n", "Host: other\r\n", "host:\r\n", "GET /hidden HTTP/1.1\r\n",
    ] {
        rows.push(row(format!("{lines:?}"), with(lines), 400, Ends));
    }
    for host in ["a, b", "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a\tb", "<a>", "\u{e9}"] {
        rows.push(row(format!("Host: {host}"), with("").replace("localhost", host), 400, Ends));
    }
    rows.push(row("an IPv6 address as Host", with("").replace("localhost", "[::1]:8108"), 200, Lives));
    rows.push(row("two Hosts of 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, Ends));
    rows.push(row("no Host", "GET /health HTTP/1.1\r\n\r\n", 400, Ends));
    rows.push(row("no Host but in the target", "GET http://localhost/health HTTP/1.1\r\n\r\n", 400, Ends));
    run(&rows);
}

#[test]
fn targets() {
    let mut rows = vec![
        row("1.0", line("GET /health HTTP/1.0"), 200, Ends),
        row("raw UTF-8", line("GET /health?\u{e9}\u{1f600} HTTP/1.1"), 200, Lives),
        row("Latin-1", [&b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat(), 400, Ends),
        row("1.0 that stays", "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, Lives),
    ];
    for (target, status) in [
        ("http://localhost/health", 200),
        ("http://elsewhere:99/health", 200),
        ("HTTPS://localhost/health", 200),
        ("/health?/../x", 200),
        ("/../health", 404),
        ("/./health", 404),
        ("//health", 404),
        ("/health/", 200),
        ("/health//", 404),
        ("/health/../health", 404),
        ("/%2e%2e/health", 404),
        ("/..%2fhealth", 404),
        ("/%68ealth", 404),
        ("/health%00", 404),
        ("/health%0d%0aX:%20y", 404),
        ("/%", 404),
        ("/%zz", 404),
        ("/../../../../../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/%c0%ae%c0%ae/etc/passwd", 404),
        ("/WS", 404),
    ] {
        rows.push(row(target, line(&format!("GET {target} HTTP/1.1")), status, Lives));
    }
    for target in [
        "localhost:8108", "localhost", "*", "health", "http:/health", "http:///health",
        "ftp://localhost/health", "ws://localhost/ws", "/health#x", "/hea\u{7f}lth", "/hea\0lth",
        "/hea\tlth", "",
    ] {
        rows.push(row(format!("target {target:?}"), line(&format!("GET {target} HTTP/1.1")), 400, Ends));
    }
    run(&rows);
}

#[test]
fn methods_and_versions() {
    let mut rows = Vec::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get", "Get", "GETS", "G", "PRI"] {
        rows.push(row(method, line(&format!("{method} /health HTTP/1.1")), 405, Ends));
    }
    for target in ["*", "/health", "http://localhost/health"] {
        rows.push(row(format!("OPTIONS {target}"), line(&format!("OPTIONS {target} HTTP/1.1")), 204, Lives));
    }
    for (name, lines, status) in [
        ("a length", "Content-Length: 44\r\n", 413),
        ("an encoding", "Transfer-Encoding: chunked\r\n", 501),
        ("an upgrade", "Upgrade: websocket\r\nConnection: upgrade\r\n", 204),
    ] {
        rows.push(row(format!("OPTIONS with {name}"), with(lines).replace("GET", "OPTIONS"), status, Ends));
    }
    rows.push(row("CONNECT", line("CONNECT localhost:22 HTTP/1.1"), 405, Ends));
    for start in [
        "GET  /health HTTP/1.1",
        "GET /health  HTTP/1.1",
        " GET /health HTTP/1.1",
        "GET /health HTTP/1.1 ",
        "GET\t/health\tHTTP/1.1",
        "GET /hea lth HTTP/1.1",
        "GET",
        "GET /health",
        "GET /health HTTP",
        "GET /health HTTP/",
        "GET /health http/1.1",
        "GET /health HTTP/1.10",
        "GET /health FTP/1.1",
        "GET\0 /health HTTP/1.1",
        "G{}T /health HTTP/1.1",
        "/health HTTP/1.1",
        "\0",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2",
        "HTTP/1.1 200 OK",
        "<policy-file-request/>\0",
    ] {
        rows.push(row(format!("{start:?}"), line(start), 400, Ends));
    }
    for version in ["0.9", "1.2", "1,1", "2.0", "2", "3", "9.9"] {
        rows.push(row(version, line(&format!("GET /health HTTP/{version}")), 505, Ends));
    }
    rows.push(row("HTTP/0.9", "GET /health\r\n", 400, Ends));
    rows.push(row("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0", 505, Ends));
    run(&rows);
}

#[test]
fn upgrades() {
    let lines = |lines: &str| handshake("\r\n\r\n", &format!("\r\n{lines}\r\n"));
    let mut rows = vec![
        row("plain", UPGRADE, 101, Upgraded),
        row("a length of 0", lines("Content-Length: 0\r\n"), 101, Upgraded),
        row("Upgrade twice", lines("Upgrade: websocket\r\n"), 101, Upgraded),
        row("Upgrade to one of a list", handshake("websocket", "other, WebSocket"), 101, Upgraded),
        row("Upgrade to one of two", lines("Upgrade: h2c\r\n"), 101, Upgraded),
        row("Connection twice", lines("Connection: keep-alive\r\n"), 101, Upgraded),
        row("not asked for", handshake("Upgrade: websocket\r\n", ""), 426, Lives),
    ];
    for (name, head, status) in [
        ("a body", lines("Content-Length: 5\r\n"), 413),
        ("an encoding", lines("Transfer-Encoding: chunked\r\n"), 501),
        ("a body in two ways", lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("Host twice", lines("Host: localhost\r\n"), 400),
        ("key twice", lines("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        ("version twice", lines("Sec-WebSocket-Version: 13\r\n"), 426),
        ("two versions", lines("Sec-WebSocket-Version: 8\r\n"), 426),
        ("an old version", handshake("Version: 13", "Version: 8"), 426),
        ("another protocol", handshake("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("websocket with a version", handshake("Upgrade: websocket", "Upgrade: websocket/13"), 426),
        ("no key", handshake("Sec-WebSocket-Key", "X-Key"), 400),
        ("a short key", handshake("ZQ==", ""), 400),
        ("Connection: close", handshake("Connection: Upgrade", "Connection: close"), 400),
        ("HTTP/1.0", handshake("HTTP/1.1", "HTTP/1.0"), 400),
        ("HTTP/2", handshake("HTTP/1.1", "HTTP/2.0"), 505),
        ("POST", handshake("GET", "POST"), 405),
        ("CONNECT", handshake("GET", "CONNECT"), 405),
        ("elsewhere", handshake("/ws", "/elsewhere"), 404),
        ("of the health", handshake("/ws", "/health"), 200),
        ("of a path below /ws", handshake("/ws", "/ws/../ws"), 404),
        ("of an encoded path", handshake("/ws", "/%77s"), 404),
        ("of a wss target", handshake("/ws", "wss://localhost/ws"), 400),
        ("folded", handshake("Upgrade: websocket", "Upgrade:\r\n websocket"), 400),
        ("spaced", handshake("Upgrade: websocket", "Upgrade : websocket"), 400),
    ] {
        rows.push(row(format!("upgrade with {name}"), head, status, Ends));
    }
    run(&rows);
}

#[test]
fn bombs() {
    let start = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ";
    let of_length = |bytes: usize| format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4));
    let fields = |count: usize| with(&"A: b\r\n".repeat(count - 1));
    let rows = [
        row("a head of the maximum length", of_length(HEAD_BYTES_MAX), 200, Lives),
        row("one byte more", of_length(HEAD_BYTES_MAX + 1), 431, Ends),
        row("one giant field", of_length(10 * HEAD_BYTES_MAX), 431, Ends),
        row("the maximum number of fields", fields(FIELDS_MAX), 200, Lives),
        row("one field more", fields(FIELDS_MAX + 1), 431, Ends),
        row("thousands of fields", fields(5_000), 431, Ends),
        row("a giant name", with(&format!("{}: y\r\n", "x".repeat(HEAD_BYTES_MAX))), 431, Ends),
        row("a giant method", format!("{} / HTTP/1.1\r\n", "G".repeat(HEAD_BYTES_MAX)), 431, Ends),
        row("a giant target", format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_BYTES_MAX)), 431, Ends),
        row("a long method", with("").replace("GET", &"G".repeat(1_000)), 405, Ends),
        row("a long target", with("").replace("health", &"x".repeat(12_000)), 404, Lives),
        row(
            "cookies of a shared domain",
            with(&format!("Cookie: {}\r\n", "a=b; ".repeat(3_000))),
            200,
            Lives,
        ),
        row("endless empty lines", "\r\n".repeat(HEAD_BYTES_MAX), 431, Ends),
        row("a long list", with(&format!("Accept: {}\r\n", "a/b,".repeat(1_500))), 200, Lives),
        row("one field many times", with(&"If-None-Match: *\r\n".repeat(FIELDS_MAX - 1)), 200, Lives),
    ];
    run(&rows);
}

#[test]
fn requests_after_an_upgrade_are_invalid_frames() {
    let server = Server::start();
    for piece in [usize::MAX, 1] {
        let mut raw = Raw::connect(server.address());
        let bytes = [UPGRADE.as_bytes(), HIDDEN, HIDDEN].concat();
        let _ = bytes.chunks(piece.min(bytes.len())).all(|piece| raw.send(piece));
        assert_eq!(raw.response().status, 101);
        assert_eq!(raw.close_code(), 1002);
    }
    wait_until("the counts", || server.metrics()["protocol_errors"]["framing"] == 2);
}
