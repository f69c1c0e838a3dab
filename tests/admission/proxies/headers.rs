//! Forwarded addresses in header fields, believed only from trusted proxies.

use std::net::Ipv4Addr;

use super::upgrade;
use crate::support::raw::Raw;
use crate::support::{Server, Settings};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 2);

/// A server that allows one connection per address and trusts two networks.
fn server() -> Server {
    Settings::new().set("MAX_CONNS_PER_IP", 1).set("TRUSTED_PROXIES", "127.9.0.1, 10.0.0.0/8").start()
}

/// Statuses of consecutive upgrades through a proxy, whose connections all stay open.
fn statuses(server: &Server, from: Ipv4Addr, headers: &[&[&str]]) -> Vec<u16> {
    let held: Vec<(Raw, u16)> = headers
        .iter()
        .map(|headers| {
            let (raw, response) = upgrade(from, server.address(), b"", headers);
            (raw, response.status)
        })
        .collect();
    held.iter().map(|(_, status)| *status).collect()
}

#[test]
fn clients_of_a_trusted_proxy_count_by_their_own_addresses() {
    let server = server();
    let headers: &[&[&str]] = &[
        &["X-Forwarded-For: 192.0.2.1"],
        &["X-Forwarded-For: 192.0.2.2"],
        &["X-Forwarded-For: 192.0.2.1"],
        &["X-Forwarded-For: 6.6.6.6, 192.0.2.1"],
        &["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.1"],
        &["X-Forwarded-For: ::ffff:192.0.2.1"],
        &["X-Forwarded-For: 192.0.2.1:4711, 10.1.2.3"],
        &["Forwarded: for=192.0.2.1;proto=https"],
        &["Forwarded: for=192.0.2.3"],
        &["Forwarded: for=6.6.6.6, for=\"192.0.2.3:80\""],
        &["Forwarded: for=\"[2001:db8::1]:80\""],
        &["X-Forwarded-For: 2001:db8::2:3"],
        &["X-Forwarded-For: 192.0.2.4", "Forwarded: for=192.0.2.4"],
    ];
    let expected = [101, 101, 429, 429, 429, 429, 429, 429, 101, 429, 101, 429, 101];
    assert_eq!(statuses(&server, PROXY, headers), expected);
    assert_eq!(server.metrics()["connections"]["forwarding_unclear_total"], 0);
}

#[test]
fn an_unclear_forwarded_address_counts_for_the_proxy() {
    let server = server();
    let headers: &[&[&str]] = &[
        &["X-Forwarded-For: unknown"],
        &["X-Forwarded-For: 192.0.2.1, nonsense"],
        &["Forwarded: for=\"192.0.2.1"],
        &["Forwarded: for=_hidden"],
        &["X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6"],
    ];
    assert_eq!(statuses(&server, PROXY, headers), [101, 429, 429, 429, 429]);
    assert_eq!(server.metrics()["connections"]["forwarding_unclear_total"], 5);
    assert_eq!(
        statuses(&server, PROXY, &[&["X-Forwarded-For: 192.0.2.1"]]),
        [101],
        "the first client was not counted"
    );
}

#[test]
fn an_untrusted_peer_is_not_believed() {
    let server = server();
    let headers: &[&[&str]] =
        &[&["X-Forwarded-For: 192.0.2.1"], &["X-Forwarded-For: 192.0.2.2"], &["Forwarded: for=192.0.2.3"]];
    assert_eq!(statuses(&server, STRANGER, headers), [101, 429, 429]);
    let nobody_trusted = Settings::new().set("MAX_CONNS_PER_IP", 1).start();
    assert_eq!(statuses(&nobody_trusted, PROXY, headers), [101, 429, 429]);
}

#[test]
fn the_rate_applies_to_the_forwarded_address() {
    let settings = Settings::new().set("TRUSTED_PROXIES", "127.0.0.1,127.9.0.1");
    let server = settings.set("IP_CONN_RATE", 1).set("IP_CONN_BURST", 4).start();
    let one: Vec<&[&str]> = vec![&["X-Forwarded-For: 192.0.2.1"]; 30];
    let refused = statuses(&server, PROXY, &one).iter().filter(|&&status| status == 429).count();
    assert!(refused > 0, "{refused} of 30");
    assert_eq!(server.metrics()["refused"]["address_rate"], refused as u64);
    assert_eq!(statuses(&server, PROXY, &[&["X-Forwarded-For: 192.0.2.2"]]), [101]);
}

#[test]
fn the_cookie_is_secure_if_a_trusted_proxy_reports_https() {
    let server = Settings::new().set("TRUSTED_PROXIES", "127.9.0.1").start();
    let is_secure = |from, headers: &[&str]| {
        let (_raw, response) = upgrade(from, server.address(), b"", headers);
        response.header("set-cookie").expect("a cookie").ends_with("; Secure")
    };
    assert!(is_secure(PROXY, &["X-Forwarded-Proto: https"]));
    assert!(is_secure(PROXY, &["Forwarded: for=192.0.2.1;proto=https"]));
    assert!(!is_secure(PROXY, &["X-Forwarded-Proto: http"]));
    assert!(!is_secure(PROXY, &[]));
    assert!(!is_secure(STRANGER, &["X-Forwarded-Proto: https", "Forwarded: proto=https"]));
}

#[test]
fn the_cookie_has_the_https_port_if_a_trusted_proxy_reports_it() {
    let server = Settings::new().set("TRUSTED_PROXIES", "127.9.0.1").start();
    let name = |from, headers: &[&str]| {
        let (_raw, response) = upgrade(from, server.address(), b"", headers);
        let set = response.header("set-cookie").expect("a cookie");
        set.split('=').next().expect("a name").to_owned()
    };
    assert_eq!(name(PROXY, &["X-Forwarded-Proto: https"]), "pixi_resume_443");
    assert_eq!(name(PROXY, &[]), "pixi_resume_80");
    assert_eq!(name(STRANGER, &["X-Forwarded-Proto: https"]), "pixi_resume_80");
}
