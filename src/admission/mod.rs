//! Admission by peer address: concurrent connections, connection rates, and the proxies trusted to report addresses.
//!
//! * [`limiter`]: the limits of an address; concurrent connections are counted exactly.
//! * [`buckets`]: rates by address, in bounded memory.
//! * [`trust`]: trusted proxies, and the client address that they report.
//! * [`origins`]: the web pages that may open a game connection.
//! * [`port_group`]: the fair share of a process that shares its port.
//! * [`rate`]: the message rate of a player.
//!
//! Pure: no sockets and no clock; `server::peer_address` passes in addresses and time. Limits apply to a
//! *network*: one IPv4 address in any notation, or the 64-bit prefix of an IPv6 address. A client with one
//! IPv6 address usually controls its whole prefix. Ports are ignored.

pub mod buckets;
pub mod limiter;
pub mod origins;
pub mod port_group;
pub mod rate;
pub mod trust;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The unit to which limits apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Network {
    /// One IPv4 address.
    V4(u32),
    /// The 64-bit prefix of an IPv6 address.
    V6(u64),
}

impl Network {
    /// Returns the network of an address. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl From<Network> for IpAddr {
    /// The first address of the network.
    fn from(network: Network) -> Self {
        match network {
            Network::V4(address) => Self::from(Ipv4Addr::from_bits(address)),
            Network::V6(prefix) => Self::from(Ipv6Addr::from_bits(u128::from(prefix) << 64)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = IpAddr::from(*self);
        if address.is_ipv4() { address.fmt(out) } else { write!(out, "{address}/64") }
    }
}

/// The client to which a connection is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client's address, or that of its proxy.
    pub address: IpAddr,
    /// Whether `address` is the client's own. Otherwise it is the address of a trusted proxy that did not
    /// identify its client unambiguously, and the client has no privileges.
    pub is_own: bool,
}

impl Client {
    /// A client with a known address.
    pub fn known(address: IpAddr) -> Self {
        Self { address, is_own: true }
    }

    /// A client with an unknown address behind this proxy.
    pub fn behind(proxy: IpAddr) -> Self {
        Self { address: proxy, is_own: false }
    }

    /// Whether the client itself is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_own && self.address.to_canonical().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn a_network_is_one_ipv4_address_or_64_bits_of_ipv6() {
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("::1"), network("0.0.0.1"));
    }

    #[test]
    fn loopback_requires_the_clients_own_address() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(Client::known(address).is_loopback(), "{address}");
            assert!(!Client::behind(address).is_loopback(), "{address}");
        }
        assert!(!Client::known("192.0.2.1".parse().unwrap()).is_loopback());
    }
}
