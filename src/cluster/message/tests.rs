//! Messages survive encoding, and any other bytes are refused.

use std::net::Ipv4Addr;

use super::*;
use crate::admission::Network;
use crate::admission::port_group::Listening;
use crate::auth::AccountHash;
use crate::cluster::status::Figures;
use crate::world::ReconciliationBudget;
use proptest::prelude::*;

prop_compose! {
    fn ghost_update()(
        id in 1u32.., x: u16, y: u16, dx in -1i8..=1, dy in -1i8..=1,
        faces_right: bool, attacks: bool, begins_attack: bool,
    ) -> GhostUpdate {
        GhostUpdate { id, position: Position { x, y }, vector: Vector::new(dx, dy), faces_right, attacks, begins_attack }
    }
}

prop_compose! {
    fn outcome()(
        x: u16, y: u16, faces_right: bool, viewport: Option<(u16, u16)>, ms in 0u64..3_000, kind in 0u8..3,
        account: Option<[u8; AccountHash::BYTES]>,
    ) -> SessionOutcome {
        let (budget, reconnected_ms_ago) = (ReconciliationBudget::EMPTY.refilled(ms), 0);
        match kind {
            0 => SessionOutcome::Active,
            1 => SessionOutcome::Unknown,
            _ => SessionOutcome::Transferred(SavedPlayer {
                x, y, faces_right, viewport, budget, reconnected_ms_ago, account: account.map(AccountHash::from_bytes),
            }),
        }
    }
}

prop_compose! {
    fn decision()(
        number: u128, is_v6: bool, prefix in 0u8..=128, is_ban: bool, until_s: Option<u64>, decided_us: u64,
    ) -> BanDecision {
        let address: IpAddr =
            if is_v6 { Ipv6Addr::from_bits(number).into() } else { Ipv4Addr::from_bits(number as u32).into() };
        let prefix = if is_v6 { prefix } else { prefix % 33 };
        let network = IpNet::new(address, prefix).unwrap().trunc();
        BanDecision { network, is_ban, until_s, decided_us }
    }
}

prop_compose! {
    fn status()(
        port_group: u64, listening in 0usize..3, is_admitting: bool, uptime_seconds: u64,
        loop_busy_ratio in 0.0f64..1.0, addresses in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..=64),
    ) -> Status {
        let network = |bits: u64| match u32::try_from(bits >> 31) {
            Ok(_) if bits.is_multiple_of(2) => Network::V4(bits as u32),
            _ => Network::V6(bits),
        };
        Status {
            port_group,
            listening: Listening::ALL[listening],
            is_admitting,
            figures: Figures { uptime_seconds, loop_busy_ratio, ..Figures::default() },
            addresses: addresses.into_iter().map(|(bits, players)| (network(bits), players)).collect(),
        }
    }
}

fn body() -> impl Strategy<Value = Body> {
    let players = || proptest::collection::vec(ghost_update(), 0..20);
    let moved = proptest::collection::vec((any::<u32>(), ghost_update()), 0..20);
    let ids = || proptest::collection::vec(any::<u32>(), 0..20);
    prop_oneof![
        (any::<u32>(), ids(), moved, players()).prop_map(|(region, left, moved, updated)| {
            Body::Changes(Changes { region, left, moved, updated })
        }),
        (any::<u32>(), players()).prop_map(|(region, players)| Body::Snapshot { region, players }),
        ("[a-z0-9-]{0,20}", any::<u32>(), any::<u32>(), status()).prop_map(
            |(name, ids_end, players, status)| {
                Body::Heartbeat(Heartbeat { name, ids_end, players, status })
            }
        ),
        Just(Body::Shutdown),
        ids().prop_map(Body::SnapshotRequest),
        (any::<u128>(), any::<u64>())
            .prop_map(|(number, owner)| Body::SessionRequest { token: SessionToken::of(number), owner }),
        (any::<u128>(), any::<u64>(), outcome()).prop_map(|(number, requester, outcome)| {
            Body::SessionReply { token: SessionToken::of(number), requester, outcome }
        }),
        proptest::collection::vec(decision(), 0..20).prop_map(Body::Bans),
    ]
}

const HEADER: Header = Header { world: (2000, 1000), node: 7, sequence: 8, sent_us: 9 };

proptest! {
    #[test]
    fn encoded_messages_decode_and_other_lengths_do_not(body in body(), cut in 1usize..40, more: u8) {
        let mut bytes = encode(&HEADER, &body);
        prop_assert_eq!(decode(&bytes), Ok((HEADER, body.clone())));
        // A message of another length decodes differently or not at all.
        let shorter = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert_ne!(decode(shorter), Ok((HEADER, body.clone())));
        bytes.push(more);
        prop_assert_ne!(decode(&bytes), Ok((HEADER, body)));
    }

    #[test]
    fn decoding_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode(&[b"PX".as_slice(), &[VERSION], &bytes].concat());
    }
}

#[test]
fn a_message_without_a_body_is_only_a_header() {
    assert_eq!(encode(&HEADER, &Body::Shutdown).len(), HEADER_BYTES);
}

#[test]
fn another_version_is_reported() {
    let mut bytes = encode(&HEADER, &Body::Shutdown);
    bytes[2] = VERSION + 1;
    assert_eq!(decode(&bytes), Err(DecodeError::Version(VERSION + 1)));
}

#[test]
fn excessive_counts_are_malformed() {
    let mut bytes = encode(&HEADER, &Body::Changes(Changes::default()));
    let at = bytes.len() - 8;
    bytes[at..].fill(0xff);
    assert_eq!(decode(&bytes), Err(DecodeError::Malformed));
}
