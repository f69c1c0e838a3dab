//! The peer address of a connection: header fields and the PROXY protocol over raw sockets, then real
//! proxies, then the example configurations with TLS, and the migration from another server.

mod headers;
mod migration;
mod prefix;
pub mod programs;
mod proxy_protocol;
mod real;
mod wss;

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::http::Response;
use crate::support::raw::{Raw, upgrade_with};

/// Upgrades from an address, with bytes before the request and additional header lines.
fn upgrade(from: Ipv4Addr, to: SocketAddr, before: &[u8], headers: &[&str]) -> (Raw, Response) {
    let mut raw = Raw::connect_from(from, to);
    let request = upgrade_with(headers);
    raw.send(&[before, request.as_bytes()].concat());
    let response = raw.response();
    (raw, response)
}
