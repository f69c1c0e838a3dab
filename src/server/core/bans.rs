//! Banned networks. A ban refuses every connection and request of its network; its end is a time of day, so that it outlives the
//! process.
//!
//! Invariants: at most [`BANS_MAX`] bans, each of another network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::limits::BANS_MAX;

/// A banned network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The network.
    pub network: IpNet,
    /// Time at which it ends, in seconds since 1970; `None` for never.
    pub until_s: Option<u64>,
}

impl Ban {
    fn is_in_force(&self, now_s: u64) -> bool {
        self.until_s.is_none_or(|until_s| now_s < until_s)
    }
}

/// All bans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bans {
    bans: Vec<Ban>,
}

impl Bans {
    /// Restores bans that an earlier process wrote, as far as they are valid.
    pub fn restore(bans: Vec<Ban>) -> Self {
        let mut restored = Self::default();
        for ban in bans {
            let _ = restored.add(ban, 0);
        }
        restored
    }

    /// Whether there is no ban.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    /// Whether an address is banned at this time, in seconds since 1970.
    pub fn contains(&self, address: IpAddr, now_s: u64) -> bool {
        let address = address.to_canonical();
        self.bans.iter().any(|ban| ban.network.contains(&address) && ban.is_in_force(now_s))
    }

    /// Returns the bans in force.
    pub fn in_force(&self, now_s: u64) -> impl Iterator<Item = &Ban> {
        self.bans.iter().filter(move |ban| ban.is_in_force(now_s))
    }

    /// Adds a ban. It replaces one of the same network, and drops those that have ended.
    ///
    /// # Errors
    /// There are [`BANS_MAX`] bans.
    pub fn add(&mut self, ban: Ban, now_s: u64) -> Result<(), String> {
        self.bans.retain(|other| other.is_in_force(now_s) && other.network != ban.network);
        if self.bans.len() >= BANS_MAX {
            return Err(format!(
                "there are {BANS_MAX} bans, and no more fit: ban wider networks, or unban some"
            ));
        }
        self.bans.push(ban);
        Ok(())
    }

    /// Ends the ban of exactly this network. Returns whether there was one.
    pub fn remove(&mut self, network: IpNet) -> bool {
        let before = self.bans.len();
        self.bans.retain(|ban| ban.network != network);
        self.bans.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(network: &str, until_s: Option<u64>) -> Ban {
        Ban { network: network.parse().unwrap(), until_s }
    }

    #[test]
    fn a_ban_covers_its_network_until_its_end() {
        let mut bans = Bans::default();
        bans.add(ban("192.0.2.0/24", Some(100)), 0).unwrap();
        bans.add(ban("2001:db8::/48", None), 0).unwrap();
        for (address, now_s, is_banned) in [
            ("192.0.2.255", 99, true),
            ("::ffff:192.0.2.1", 99, true),
            ("192.0.2.255", 100, false),
            ("192.0.3.0", 99, false),
            ("2001:db8:0:7::1", u64::MAX, true),
            ("2001:db8:1::1", 0, false),
        ] {
            assert_eq!(bans.contains(address.parse().unwrap(), now_s), is_banned, "{address} at {now_s}");
        }
        assert_eq!(bans.in_force(100).count(), 1);
        assert!(
            bans.remove("2001:db8::/48".parse().unwrap()) && !bans.remove("2001:db8::/48".parse().unwrap())
        );
    }

    #[test]
    fn the_number_of_bans_is_bounded_and_the_same_network_counts_once() {
        let mut bans = Bans::default();
        for number in 0..BANS_MAX as u32 {
            bans.add(ban(&format!("{}/32", std::net::Ipv4Addr::from_bits(number)), Some(10)), 0).unwrap();
        }
        assert!(bans.add(ban("10.0.0.0/8", None), 0).is_err());
        assert_eq!(bans.add(ban("0.0.0.1/32", None), 0), Ok(()));
        assert_eq!(bans.add(ban("10.0.0.0/8", None), 10), Ok(()), "ended bans don't count");
        assert_eq!(bans.in_force(10).count(), 2);
    }
}
