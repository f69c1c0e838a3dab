//! Trusted proxies, and the client address that they report.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::wire::forwarded::Hop;

/// Networks whose hosts are trusted to report the address of a client.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Creates a set that trusts all hosts of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// Whether a host is trusted. An IPv4-mapped IPv6 address is compared as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Returns the client behind a trusted peer that reports these hops, nearest first. The client is the
    /// first hop that is not itself a trusted proxy, since an untrusted hop may claim anything about the hops
    /// beyond it. If all hops are trusted, the client is the farthest one; without hops it is the peer.
    /// `None` if the deciding hop is hidden or malformed.
    pub fn client(&self, peer: IpAddr, hops: impl IntoIterator<Item = Hop>) -> Option<IpAddr> {
        let mut client = peer;
        for hop in hops {
            let Hop::Address(address) = hop else { return None };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        Some(client)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        TrustedProxies::new(networks.map(|network| network.parse().unwrap()).to_vec())
    }

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    fn client(hops: &[&str]) -> Option<String> {
        let hops = hops.iter().map(|hop| match *hop {
            "hidden" => Hop::Hidden,
            "malformed" => Hop::Malformed,
            address => Hop::Address(ip(address)),
        });
        trusted().client(ip("10.0.0.1"), hops).map(|address| address.to_string())
    }

    #[test]
    fn a_network_contains_only_its_hosts() {
        for (address, expected) in [
            ("10.255.0.1", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(trusted().contains(ip(address)), expected, "{address}");
        }
        assert!(!TrustedProxies::default().contains(ip("127.0.0.1")), "no host is trusted by default");
    }

    #[test]
    fn the_client_is_the_nearest_hop_that_is_not_trusted() {
        assert_eq!(client(&[]).unwrap(), "10.0.0.1", "without hops the client is the peer");
        assert_eq!(client(&["198.51.100.1"]).unwrap(), "198.51.100.1");
        assert_eq!(
            client(&["198.51.100.1", "203.0.113.9"]).unwrap(),
            "198.51.100.1",
            "hops beyond an untrusted one are ignored"
        );
        assert_eq!(client(&["10.0.0.2", "192.0.2.7", "198.51.100.1", "malformed"]).unwrap(), "198.51.100.1");
        assert_eq!(client(&["10.0.0.2", "10.0.0.3"]).unwrap(), "10.0.0.3", "all are trusted");
        assert_eq!(client(&["::ffff:198.51.100.1"]).unwrap(), "198.51.100.1");
        assert_eq!(client(&["10.0.0.2", "hidden", "198.51.100.1"]), None);
        assert_eq!(client(&["malformed"]), None);
    }

    proptest! {
        #[test]
        fn hops_reported_by_the_client_are_ignored(
            own in any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            claims in prop::collection::vec(any::<[u8; 16]>(), 0..8),
        ) {
            prop_assume!(!trusted().contains(own));
            let claimed = claims.into_iter().map(|bytes| match bytes[0] % 4 {
                0 => Hop::Hidden,
                1 => Hop::Malformed,
                _ => Hop::Address(bytes.into()),
            });
            let hops = [Hop::Address(ip("10.0.0.9")), Hop::Address(own)].into_iter().chain(claimed);
            prop_assert_eq!(trusted().client(ip("10.0.0.1"), hops), Some(own));
        }
    }
}
