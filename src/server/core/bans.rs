//! Banned networks. A ban refuses every connection and request of its network; its end is a time of day, so that it outlives the
//! process.
//!
//! Each network has at most one decision, the latest. The end of a ban is a decision as well: nodes of a cluster exchange all of
//! theirs, and agree in any order of arrival.
//!
//! Invariant: at most [`BANS_MAX`] decisions.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use crate::cluster::message::BanDecision;
use crate::limits::{BANS_MAX, DECISION_FUTURE_US_MAX, UNBAN_MEMORY_S};

/// All decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bans {
    decisions: Vec<BanDecision>,
}

fn is_in_force(decision: &BanDecision, now_s: u64) -> bool {
    decision.until_s.is_none_or(|until_s| now_s < until_s)
}

/// Whether a decision counts more than another one about the same network. Of two at the same time, the stricter one does.
fn is_newer(decision: &BanDecision, than: &BanDecision) -> bool {
    let key =
        |decision: &BanDecision| (decision.decided_us, decision.is_ban, decision.until_s.unwrap_or(u64::MAX));
    key(decision) > key(than)
}

impl Bans {
    /// Whether there is no decision.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// Whether an address is banned at this time, in seconds since 1970.
    pub fn contains(&self, address: IpAddr, now_s: u64) -> bool {
        let address = address.to_canonical();
        let mut decisions = self.decisions.iter();
        decisions.any(|ban| ban.is_ban && ban.network.contains(&address) && is_in_force(ban, now_s))
    }

    /// Returns the bans in force.
    pub fn in_force(&self, now_s: u64) -> impl Iterator<Item = &BanDecision> {
        self.decisions.iter().filter(move |ban| ban.is_ban && is_in_force(ban, now_s))
    }

    /// Returns all decisions.
    pub fn decisions(&self) -> &[BanDecision] {
        &self.decisions
    }

    /// Bans a network at this time, in microseconds since 1970.
    ///
    /// # Errors
    /// There are [`BANS_MAX`] decisions.
    pub fn ban(&mut self, network: IpNet, until_s: Option<u64>, now_us: u64) -> Result<(), String> {
        self.forget(now_us);
        let decision =
            BanDecision { network, is_ban: true, until_s, decided_us: self.time_of(network, now_us) };
        if self.apply(decision) {
            return Ok(());
        }
        Err(format!("there are {BANS_MAX} bans, and no more fit: ban wider networks, or unban some"))
    }

    /// Ends the ban of exactly this network. Returns whether there was one.
    pub fn unban(&mut self, network: IpNet, now_us: u64) -> bool {
        let now_s = now_us / 1_000_000;
        let Some(ban) = self.decisions.iter().find(|ban| ban.network == network) else { return false };
        let was_banned = ban.is_ban && is_in_force(ban, now_s);
        let decided_us = self.time_of(network, now_us);
        let until_s = Some(now_s + UNBAN_MEMORY_S);
        was_banned && self.apply(BanDecision { network, is_ban: false, until_s, decided_us })
    }

    /// Merges decisions of another node or process. Returns the networks that are banned by them.
    pub fn merge(&mut self, decisions: &[BanDecision], now_us: u64) -> Vec<IpNet> {
        self.forget(now_us);
        let now_s = now_us / 1_000_000;
        let mut banned = Vec::new();
        for decision in decisions {
            let is_plausible = decision.decided_us <= now_us + DECISION_FUTURE_US_MAX;
            if is_plausible && is_in_force(decision, now_s) && self.apply(*decision) && decision.is_ban {
                banned.push(decision.network);
            }
        }
        banned
    }

    /// Applies a decision, unless a newer one is known or there is no room. Returns whether it was applied.
    fn apply(&mut self, decision: BanDecision) -> bool {
        let has_room = self.decisions.len() < BANS_MAX;
        match self.decisions.iter_mut().find(|known| known.network == decision.network) {
            Some(known) if is_newer(&decision, known) => *known = decision,
            None if has_room => self.decisions.push(decision),
            Some(_) | None => return false,
        }
        true
    }

    /// Returns the time of a new decision, after the known one about the network.
    fn time_of(&self, network: IpNet, now_us: u64) -> u64 {
        let known = self.decisions.iter().find(|known| known.network == network);
        known.map_or(now_us, |known| now_us.max(known.decided_us + 1))
    }

    /// Forgets decisions that have ended.
    fn forget(&mut self, now_us: u64) {
        self.decisions.retain(|decision| is_in_force(decision, now_us / 1_000_000));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000;

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_ban_covers_its_network_until_its_end() {
        let mut bans = Bans::default();
        bans.ban(network("192.0.2.0/24"), Some(100), 0).unwrap();
        bans.ban(network("2001:db8::/48"), None, 0).unwrap();
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
        let wide = network("2001:db8::/48");
        assert!(bans.unban(wide, 0) && !bans.unban(wide, 0) && !bans.contains(wide.addr(), 0));
    }

    #[test]
    fn the_number_of_decisions_is_bounded_and_each_network_has_one() {
        let mut bans = Bans::default();
        for number in 0..BANS_MAX as u32 {
            bans.ban(IpNet::from(IpAddr::from(Ipv4Addr::from_bits(number))), Some(10), 0).unwrap();
        }
        assert!(bans.ban(network("10.0.0.0/8"), None, 0).is_err());
        assert_eq!(bans.ban(network("0.0.0.1/32"), None, 0), Ok(()));
        assert_eq!(bans.ban(network("10.0.0.0/8"), None, 10 * S), Ok(()), "ended bans don't count");
        assert_eq!(bans.decisions().len(), 2);
    }

    #[test]
    fn decisions_from_the_future_are_ignored() {
        let mut bans = Bans::default();
        let decision = |decided_us| BanDecision {
            network: network("10.0.0.0/8"),
            is_ban: true,
            until_s: None,
            decided_us,
        };
        assert!(bans.merge(&[decision(DECISION_FUTURE_US_MAX + 1)], 0).is_empty() && bans.is_empty());
        assert_eq!(bans.merge(&[decision(DECISION_FUTURE_US_MAX)], 0), [network("10.0.0.0/8")]);
    }

    proptest! {
        /// Nodes that learn the same decisions in any order, repeated or not, agree.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            made in prop::collection::vec((0u32..4, any::<bool>(), prop::option::of(5u64..9), 0u64..5), 1..20),
            seed: u64,
        ) {
            let decisions: Vec<BanDecision> = made
                .into_iter()
                .map(|(number, is_ban, until_s, decided_us)| {
                    let network = IpNet::from(IpAddr::from(Ipv4Addr::from_bits(number)));
                    BanDecision { network, is_ban, until_s, decided_us }
                })
                .collect();
            let mut shuffled = decisions.clone();
            shuffled.sort_by_key(|decision| seed.wrapping_mul(decision.decided_us + 7) ^ u64::from(decision.is_ban));
            let [mut one, mut other] = [Bans::default(), Bans::default()];
            one.merge(&decisions, 0);
            for decision in &decisions {
                one.merge(&[*decision], 0);
            }
            other.merge(&shuffled, 0);
            for number in 0..4 {
                let address = IpAddr::from(Ipv4Addr::from_bits(number));
                prop_assert_eq!(one.contains(address, 6), other.contains(address, 6));
            }
        }
    }
}
