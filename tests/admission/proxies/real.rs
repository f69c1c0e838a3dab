//! Debian's nginx and `HAProxy` in front of the server: limits apply to the client's own address.

use std::net::{Ipv4Addr, SocketAddr};

use super::programs::{Place, Proxy};
use super::upgrade;
use crate::support::raw::{BINARY, FIN};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings};

const ALICE: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 2);

/// A server that allows one connection per address. The proxies connect from 127.0.0.1.
fn server(proxy_protocol: &str) -> Server {
    let settings = Settings::new().set("TRUSTED_PROXIES", "127.0.0.1").set("PROXY_PROTOCOL", proxy_protocol);
    settings.set("MAX_CONNS_PER_IP", 1).start()
}

fn nginx(server: &Server) -> Proxy {
    let forwarded = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n";
    Proxy::nginx_before(server, "/", "", forwarded)
}

fn haproxy(server: &Server, mode: &str, frontend: &str, to_server: &str) -> Proxy {
    let place = Place::new();
    let (listen, to) = (place.address, server.address());
    let text = format!(
        "global\n maxconn 200\ndefaults\n mode {mode}\n {frontend}\n timeout connect 20s\n \
         timeout client 60s\n timeout server 60s\nlisten game\n bind {listen}\n server one {to} {to_server}\n"
    );
    Proxy::haproxy(place, &text)
}

/// Asserts one connection per client address, for any address that the client claims.
fn assert_limits_follow_clients(proxy: SocketAddr) {
    let (mut alice, response) = upgrade(ALICE, proxy, b"", &[]);
    assert_eq!(response.status, 101, "{response:?}");
    let first = alice.frame().expect("a frame");
    assert_eq!((first.first, first.payload[0]), (FIN | BINARY, 7), "GAME_STATE");
    let (_bob, response) = upgrade(BOB, proxy, b"", &[]);
    assert_eq!(response.status, 101, "another address: {response:?}");
    for spoof in [&[][..], &["X-Forwarded-For: 203.0.113.1"], &["X-Forwarded-For: 127.0.0.1"]] {
        let (_, response) = upgrade(ALICE, proxy, b"", spoof);
        assert_eq!(response.status, 429, "{spoof:?}: {response:?}");
        assert!(response.header("retry-after").is_some());
    }
    drop(alice);
    wait_until("the freed slot", || upgrade(ALICE, proxy, b"", &[]).1.status == 101);
}

/// Asserts that a field which the proxy only forwards has no effect: its senders share the proxy's own limit.
fn assert_other_field_gains_nothing(proxy: SocketAddr) {
    let spoofs = (0..5).map(|n| upgrade(ALICE, proxy, b"", &[&format!("Forwarded: for=203.0.113.{n}")]));
    let spoofs: Vec<_> = spoofs.collect();
    assert!(spoofs.iter().filter(|(_, response)| response.status == 101).count() <= 1);
}

#[test]
fn nginx_with_x_forwarded_for() {
    let server = server("off");
    let proxy = nginx(&server);
    assert_limits_follow_clients(proxy.place.address);
    assert_other_field_gains_nothing(proxy.place.address);
}

#[test]
fn haproxy_with_x_forwarded_for() {
    let server = server("off");
    let proxy = haproxy(&server, "http", "option forwardfor", "");
    assert_limits_follow_clients(proxy.place.address);
    assert_other_field_gains_nothing(proxy.place.address);
}

#[test]
fn haproxy_with_both_versions_of_the_proxy_protocol() {
    // Version 2 has TLVs after the addresses.
    let second = ("unique-id-format %pid-%Ts", "send-proxy-v2 proxy-v2-options unique-id,crc32c");
    for (frontend, to_server) in [("", "send-proxy"), second] {
        let server = server("on");
        let proxy = haproxy(&server, "tcp", frontend, to_server);
        assert_limits_follow_clients(proxy.place.address);
    }
}
