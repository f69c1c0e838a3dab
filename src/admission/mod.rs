//! Who is let in, judged by address: how many connections an address may hold, how fast it may open them, and whose
//! word is believed about which address that is.
//!
//! * [`limiter`]: the limits themselves, exact for connections held. [`buckets`]: rates, bounded in memory.
//! * [`trust`]: which peers are proxies, and who stands behind them.
//!
//! Pure: no sockets and no clock; `server::peer_address` brings addresses and time. An address is a *network* here: one IPv4
//! address, however it is written, or the 64-bit prefix of an IPv6 address, since whoever has one address of such a
//! network has them all. Ports don't matter.

pub mod buckets;
pub mod limiter;
pub mod origins;
pub mod rate;
pub mod trust;

use std::net::IpAddr;

/// What limits are keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// One IPv4 address.
    V4(u32),
    /// An IPv6 network of 64 bits.
    V6(u64),
}

impl Network {
    /// The network of an address; an IPv4 address mapped into IPv6 counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Whom a connection counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// Whether it is the client's own. Otherwise it is that of a proxy that did not say clearly who stands behind it,
    /// and has no privileges.
    pub is_own: bool,
}

impl Client {
    /// A client that is known by its own address.
    pub fn known(address: IpAddr) -> Self {
        Self { address, is_own: true }
    }

    /// Whoever stands behind this proxy, which does not say it clearly.
    pub fn behind(proxy: IpAddr) -> Self {
        Self { address: proxy, is_own: false }
    }

    /// Whether the client is on this machine, and says so itself.
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
    fn loopback_is_told_by_the_clients_own_address_alone() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(Client::known(address).is_loopback(), "{address}");
            assert!(!Client::behind(address).is_loopback(), "{address}");
        }
        assert!(!Client::known("192.0.2.1".parse().unwrap()).is_loopback());
    }
}
