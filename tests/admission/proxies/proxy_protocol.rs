//! The PROXY protocol over raw sockets: required, believed only from trusted proxies, and bounded.

use std::net::{Ipv4Addr, SocketAddr};

use super::upgrade;
use crate::support::http::request_text;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::{Server, Settings};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 2);
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

fn settings() -> Settings {
    Settings::new().set("MAX_CONNS_PER_IP", 1).set("TRUSTED_PROXIES", "127.9.0.1").set("PROXY_PROTOCOL", "on")
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 10.0.0.1 5000 443\r\n").into_bytes()
}

/// A version 2 header with this command, and TLVs after the addresses.
fn v2(command: u8, source: [u8; 4], tlv_bytes: u16) -> Vec<u8> {
    let length = (12 + tlv_bytes).to_be_bytes();
    let addresses = [&source[..], &[10, 0, 0, 1, 0, 80, 1, 187]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11][..], &length, &addresses, &vec![4; tlv_bytes.into()]].concat()
}

/// Sends bytes from an address, and returns the output of the server up to the end of the connection.
fn exchange(from: Ipv4Addr, to: SocketAddr, bytes: &[u8]) -> String {
    let mut raw = Raw::connect_from(from, to);
    raw.send(bytes);
    raw.shut_down_write();
    String::from_utf8(raw.read_to_end()).expect("text")
}

fn metrics(server: &Server) -> String {
    let request = [UNKNOWN, request_text("GET", "/metrics", &["Connection: close"]).as_bytes()].concat();
    exchange(Ipv4Addr::LOCALHOST, server.address(), &request)
}

fn assert_refused(server: &Server, count: u64) {
    let metrics = metrics(server);
    assert!(metrics.contains(&format!("\"proxy_header\":{count},")), "{count} refusals in {metrics}");
}

#[test]
fn clients_count_by_the_addresses_in_the_header() {
    let server = settings().start();
    let to = server.address();
    let spoof = ["X-Forwarded-For: 192.0.2.77", "Forwarded: for=192.0.2.78"];
    let held = [
        upgrade(PROXY, to, &v1("192.0.2.1"), &[]),
        upgrade(PROXY, to, &v1("192.0.2.2"), &[]),
        upgrade(PROXY, to, &v1("192.0.2.1"), &[]),
        upgrade(PROXY, to, &v1("192.0.2.1"), &spoof),
        upgrade(PROXY, to, &v2(0x21, [192, 0, 2, 1], 0), &[]),
        upgrade(PROXY, to, &v2(0x21, [192, 0, 2, 3], 1500), &[]),
        // LOCAL: the header describes the proxy itself, so its own address counts.
        upgrade(PROXY, to, &v2(0x20, [192, 0, 2, 4], 0), &[]),
        upgrade(PROXY, to, UNKNOWN, &[]),
    ];
    let statuses = held.each_ref().map(|(_, response)| response.status);
    assert_eq!(statuses, [101, 101, 429, 429, 429, 101, 101, 429]);
}

#[test]
fn a_header_may_arrive_byte_by_byte() {
    let server = settings().start();
    let drip = |header: Vec<u8>| {
        let mut raw = Raw::connect_from(PROXY, server.address());
        for byte in header {
            raw.send(&[byte]);
        }
        raw.send(UPGRADE.as_bytes());
        let status = raw.response().status;
        (raw, status)
    };
    let (_held, status) = drip(v1("192.0.2.1"));
    assert_eq!(status, 101);
    let (_refused, status) = drip(v2(0x21, [192, 0, 2, 1], 9));
    assert_eq!(status, 429, "the same client");
    let (_other, status) = drip(v2(0x21, [192, 0, 2, 2], 9));
    assert_eq!(status, 101);
}

#[test]
fn a_missing_or_broken_header_closes_the_connection_without_an_answer() {
    let server = settings().start();
    let get = request_text("GET", "/health", &[]).into_bytes();
    let broken = [
        get.clone(),
        [b"PROXY TCP4 192.0.2.1\r\n", &get[..]].concat(),
        [b"PROXY TCP4 192.0.2.1 10.0.0.1 1 99999\r\n", &get[..]].concat(),
        [b"PROXY ", &[b'x'; 300][..]].concat(),
        v2(0x21, [192, 0, 2, 1], 60_000)[..4096].to_vec(),
        v2(0x2f, [192, 0, 2, 1], 0),
    ];
    for bytes in &broken {
        assert_eq!(exchange(PROXY, server.address(), bytes), "", "{bytes:?}");
    }
    assert_refused(&server, broken.len() as u64);
    let get = request_text("GET", "/health", &["Connection: close"]);
    let fine = [v1("192.0.2.9"), get.into_bytes()].concat();
    assert!(exchange(PROXY, server.address(), &fine).starts_with("HTTP/1.1 200 "));
}

#[test]
fn untrusted_local_peers_may_not_send_a_header() {
    let server = settings().start();
    let get = request_text("GET", "/health", &["Connection: close"]).into_bytes();
    assert_eq!(exchange(STRANGER, server.address(), &[v1("192.0.2.1"), get.clone()].concat()), "");
    assert_eq!(exchange(STRANGER, server.address(), &get), "");
    let answer = exchange(STRANGER, server.address(), &[UNKNOWN, &get[..]].concat());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_refused(&server, 2);
}

#[test]
fn the_health_check_sends_the_header() {
    let server = settings().start();
    let check = |settings: Settings| {
        let mut command = settings.set("PORT", server.address().port()).command();
        command.arg("--health-check").output().expect("the program starts").status
    };
    assert!(check(settings()).success());
    assert!(!check(Settings::new()).success(), "without the header it is refused");
}

#[test]
fn an_endless_header_is_dropped_at_the_handshake_deadline() {
    let server = settings().start();
    let mut raw = Raw::connect_from(PROXY, server.address());
    raw.send(b"PROXY TCP4 192.0.2.1 ");
    // A complete header without a request is not a request either.
    let mut silent = Raw::connect_from(PROXY, server.address());
    silent.send(&v1("192.0.2.1"));
    assert_eq!((raw.read_to_end(), silent.read_to_end()), (vec![], vec![]));
    assert!(metrics(&server).contains("\"handshake_timeout\":2,"));
}

#[test]
fn the_cookie_is_secure_if_the_header_reports_tls() {
    let server = settings().start();
    let mut header = v2(0x21, [192, 0, 2, 1], 8);
    let at = header.len() - 8;
    for (client, is_secure) in [(1, true), (0, false)] {
        header[at..].copy_from_slice(&[0x20, 0, 5, client, 0, 0, 0, 0]);
        header[19] += 1;
        let (_raw, response) = upgrade(PROXY, server.address(), &header, &["X-Forwarded-Proto: https"]);
        let cookie = response.header("set-cookie").expect("a cookie");
        assert_eq!(cookie.ends_with("; Secure"), is_secure, "{cookie}");
    }
}
