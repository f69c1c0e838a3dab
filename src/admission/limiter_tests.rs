//! The limiter against a model, with injected time, and with a million addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::limits::RATED_ADDRESSES_MAX;

const MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000 * MS;

fn limiter(connections_max: u32, per_s: u32, burst: u32) -> AddressLimiter {
    AddressLimiter::new(
        AddressLimits {
            connections_max,
            rate: Rate { per_s, burst, exempts_loopback: false },
            ..AddressLimits::default()
        },
        7,
    )
}

fn v4(bits: u32) -> Client {
    Client::known(IpAddr::V4(Ipv4Addr::from_bits(bits)))
}

fn is_admitted(limiter: &mut AddressLimiter, client: Client, now_ns: u64) -> bool {
    limiter.admit(client, now_ns).is_ok()
}

#[test]
fn admits_a_burst_and_then_the_rate() {
    let mut limiter = limiter(0, 50, 100);
    let passed = (0..300).filter(|_| is_admitted(&mut limiter, v4(1), 0)).count();
    assert_eq!(passed, 100);
    let passed = (1..=1000).filter(|ms| is_admitted(&mut limiter, v4(1), ms * MS)).count();
    assert_eq!(passed, 50, "one every 20 ms");
    assert!(is_admitted(&mut limiter, v4(2), 0), "other addresses are unaffected");
}

#[test]
fn a_refusal_carries_retry_after_and_takes_no_token() {
    let mut limiter = limiter(0, 1, 3);
    for _ in 0..3 {
        assert!(is_admitted(&mut limiter, v4(1), 0));
    }
    for _ in 0..100 {
        assert_eq!(limiter.admit(v4(1), 0), Err(Refusal::RateExceeded { retry_after_s: 1 }));
    }
    assert!(is_admitted(&mut limiter, v4(1), NS_PER_S));
    assert_eq!(limiter.admit(v4(1), NS_PER_S), Err(Refusal::RateExceeded { retry_after_s: 1 }));
}

#[test]
fn without_limits_everything_is_admitted_and_only_connections_are_tracked() {
    for (rate, burst) in [(0, 0), (0, 100), (50, 0)] {
        let mut limiter = limiter(0, rate, burst);
        assert!((0..1000).all(|_| is_admitted(&mut limiter, v4(1), 0)));
        assert_eq!(limiter.tracked(), (1, 0));
    }
}

#[test]
fn a_limit_set_later_counts_existing_connections() {
    let mut limiter = limiter(0, 0, 0);
    let permits: Vec<Permit> = (0..3).map(|_| limiter.admit(v4(1), 0).unwrap()).collect();
    let limits = AddressLimits { connections_max: 2, ..AddressLimits::default() };
    limiter.set_limits(limits);
    assert_eq!(limiter.admit(v4(1), 0), Err(Refusal::TooManyConnections));
    for (released, permit) in permits.into_iter().enumerate() {
        limiter.release(permit);
        assert_eq!(limiter.held(Network::V4(1)), 2 - released as u32);
    }
    assert!((0..2).all(|_| is_admitted(&mut limiter, v4(1), 0)));
    assert_eq!(limiter.admit(v4(1), 0), Err(Refusal::TooManyConnections));
}

#[test]
fn loopback_is_exempt_but_unknown_clients_behind_it_are_not() {
    let rate = Rate { per_s: 1, burst: 1, exempts_loopback: true };
    let limits = AddressLimits { rate, ..AddressLimits::default() };
    let mut limiter = AddressLimiter::new(limits, 7);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!((0..100).all(|_| is_admitted(&mut limiter, Client::known(loopback), 0)));
    assert!(is_admitted(&mut limiter, Client::behind(loopback), 0));
    assert!(!is_admitted(&mut limiter, Client::behind(loopback), 0));
    assert!(is_admitted(&mut limiter, v4(1), 0));
    assert!(!is_admitted(&mut limiter, v4(1), 0));
}

#[test]
fn an_ipv6_network_shares_one_bucket() {
    let mut limiter = limiter(0, 1, 10);
    let host = |host: u128| Client::known(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host)));
    assert_eq!((0..1000).filter(|&n| is_admitted(&mut limiter, host(n << 30), 0)).count(), 10);
}

#[test]
fn a_million_addresses_fit_the_table() {
    let mut limiter = limiter(1, 50, 100);
    let victim = v4(0);
    let mut refused_at = 0;
    for bits in 1..=1_000_000 {
        // One address per microsecond: a bucket is full again only after the next forty thousand addresses
        // have connected, which is more than the table holds.
        let now_ns = u64::from(bits) * 1000;
        let permit = limiter.admit(v4(bits), now_ns).expect("a fresh address");
        limiter.release(permit);
        refused_at +=
            u32::from(limiter.admit(v4(bits), now_ns).map(|permit| limiter.release(permit)).is_err());
    }
    let (held, rated) = limiter.tracked();
    assert_eq!(held, 0, "no connection is held");
    assert!((RATED_ADDRESSES_MAX / 2..=RATED_ADDRESSES_MAX).contains(&rated), "{rated}");
    assert_eq!(refused_at, 0);
    assert!(is_admitted(&mut limiter, victim, NS_PER_S), "the next client is admitted");
}

#[test]
fn many_addresses_do_not_evict_an_empty_bucket() {
    let mut limiter = limiter(0, 50, 100);
    while is_admitted(&mut limiter, v4(0), 0) {}
    for bits in 1..=500_000 {
        assert!(is_admitted(&mut limiter, v4(bits), 0));
    }
    assert!(!is_admitted(&mut limiter, v4(0), 0));
    assert!(is_admitted(&mut limiter, v4(0), 20 * MS));
}

#[test]
fn loopback_may_hold_any_number_if_exempt() {
    let limits = AddressLimits { connections_max: 2, exempts_loopback: true, ..AddressLimits::default() };
    let mut limiter = AddressLimiter::new(limits, 7);
    let loopback = IpAddr::V4(Ipv4Addr::new(127, 1, 2, 3));
    assert!((0..100).all(|_| is_admitted(&mut limiter, Client::known(loopback), 0)));
    assert!((0..2).all(|_| is_admitted(&mut limiter, v4(1), 0)));
    assert_eq!(limiter.admit(v4(1), 0), Err(Refusal::TooManyConnections));
}

proptest! {
    /// Against a naive model: the counts stay exact, and no address remains at the end.
    #[test]
    fn connections_held_are_exact(
        connections_max in 1_u32..5,
        steps in prop::collection::vec((0_u32..6, any::<bool>(), any::<prop::sample::Index>()), 0..300),
    ) {
        let mut limiter = limiter(connections_max, 0, 0);
        let mut permits: Vec<(u32, Permit)> = Vec::new();
        for (bits, enters, index) in steps {
            let held = permits.iter().filter(|(known, _)| *known == bits).count() as u32;
            if enters {
                match limiter.admit(v4(bits), 0) {
                    Ok(permit) => {
                        prop_assert!(held < connections_max);
                        permits.push((bits, permit));
                    }
                    Err(refusal) => {
                        prop_assert_eq!(refusal, Refusal::TooManyConnections);
                        prop_assert_eq!(held, connections_max);
                    }
                }
            } else if !permits.is_empty() {
                let (_, permit) = permits.swap_remove(index.index(permits.len()));
                limiter.release(permit);
            }
            for bits in 0..6 {
                let held = permits.iter().filter(|(known, _)| *known == bits).count() as u32;
                prop_assert_eq!(limiter.held(Network::V4(bits)), held);
            }
        }
        for (_, permit) in permits {
            limiter.release(permit);
        }
        prop_assert_eq!(limiter.tracked(), (0, 0));
    }

    /// Every interval has at most the burst plus the rate. A client that keeps to the rate is never refused.
    #[test]
    fn the_rate_holds_over_every_interval(
        rate in 1_u32..200,
        burst in 1_u32..50,
        gaps in prop::collection::vec(0_u64..200 * MS, 1..200),
    ) {
        let (mut limiter, mut patient) = (limiter(0, rate, burst), limiter(0, rate, 1));
        let (mut now_ns, mut admitted) = (5, Vec::new());
        for gap in gaps {
            now_ns += gap;
            if is_admitted(&mut limiter, v4(1), now_ns) {
                admitted.push(now_ns);
            }
        }
        for (from, &start_ns) in admitted.iter().enumerate() {
            for (to, &end_ns) in admitted.iter().enumerate().skip(from) {
                let allowed = f64::from(burst) + (end_ns - start_ns) as f64 * f64::from(rate) / 1e9 + 0.01;
                prop_assert!((to - from + 1) as f64 <= allowed);
            }
        }
        let pause_ns = NS_PER_S.div_ceil(u64::from(rate));
        prop_assert!((0..100).all(|n| is_admitted(&mut patient, v4(1), n * pause_ns)));
    }
}

#[test]
fn connections_to_other_processes_count_towards_the_limit() {
    let mut limiter = limiter(10, 0, 0);
    let network = Network::of(v4(1).address);
    limiter.set_elsewhere(HashMap::from([(network, 8)]));
    let permits: Vec<Permit> = (0..3).filter_map(|_| limiter.admit(v4(1), 0).ok()).collect();
    assert_eq!(permits.len(), 2);
    assert!(is_admitted(&mut limiter, v4(2), 0), "other addresses are unaffected");
    limiter.set_elsewhere(HashMap::from([(network, u32::MAX)]));
    assert!(!is_admitted(&mut limiter, v4(1), 0));
    limiter.set_elsewhere(HashMap::new());
    assert!(is_admitted(&mut limiter, v4(1), 0));
    for permit in permits {
        limiter.release(permit);
    }
}

#[test]
fn the_addresses_with_most_connections_are_found() {
    let mut limiter = limiter(0, 0, 0);
    for (address, count) in [(1, 1), (2, 5), (3, 3), (4, 2)] {
        assert!((0..count).all(|_| is_admitted(&mut limiter, v4(address), 0)));
    }
    let mut most = limiter.most_held(2);
    most.sort_by_key(|&(_, count)| count);
    assert_eq!(most, [(Network::V4(3), 3), (Network::V4(2), 5)]);
    assert_eq!(limiter.most_held(9).len(), 4);
}
