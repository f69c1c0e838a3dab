//! The keep-alive timeout between two requests, and the connections that it does not apply to.

use crate::support::Settings;
use crate::support::http::{get, request_text};
use crate::support::raw::Raw;

fn ask(raw: &mut Raw) {
    raw.send(request_text("GET", "/health", &[]).as_bytes());
    assert_eq!(raw.response().status, 200);
}

#[test]
fn the_timeout_closes_idle_connections_but_not_unfinished_requests() {
    let server = Settings::new().set("KEEPALIVE_TIMEOUT_SEC", 1).start();
    let mut silent = Raw::connect(server.address());
    let mut half = Raw::connect(server.address());
    half.send(b"GET /health HT");
    let mut second_half = Raw::connect(server.address());
    second_half.send((request_text("GET", "/health", &[]) + "GET /health HT").as_bytes());
    assert_eq!(second_half.response().status, 200);
    let mut idle = Raw::connect(server.address());
    ask(&mut idle);
    assert_eq!(idle.read_to_end(), b"", "the server closes without a response");
    // These connections are older than the idle one.
    ask(&mut silent);
    for half in [&mut half, &mut second_half] {
        half.send(b"TP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(half.response().status, 200);
    }
    let metrics = server.metrics();
    assert_eq!(metrics["refused"]["handshake_timeout"], 0, "an idle connection is no handshake");
    assert_eq!(metrics["connections"]["idle_displaced_total"], 0, "no slot was needed");
}

#[test]
fn each_response_restarts_the_timeout() {
    let server = Settings::new().set("KEEPALIVE_TIMEOUT_SEC", 2).start();
    let mut asks = Raw::connect(server.address());
    // The other connection's whole timeout passes between the first and the last request of this one.
    let mut idle = Raw::connect(server.address());
    ask(&mut idle);
    idle.stream().set_nonblocking(true).expect("a socket");
    let is_open = |idle: &Raw| std::io::Read::read(&mut idle.stream(), &mut [0; 1]).is_err();
    while is_open(&idle) {
        ask(&mut asks);
    }
    ask(&mut asks);
}

#[test]
fn admin_connections_have_the_same_timeout() {
    let settings = Settings::new().set("KEEPALIVE_TIMEOUT_SEC", 1);
    let server = settings.set("ADMIN_ADDR", "127.0.0.1:0").start();
    let mut idle = Raw::connect(server.admin_address());
    ask(&mut idle);
    assert_eq!(idle.read_to_end(), b"");
    assert_eq!(get(server.admin_address(), "/health").status, 200);
}
