//! A node among forged and lost messages.

use super::*;
use crate::limits::{LEASE_CONFLICTS_MAX, LEASE_IDS};
use crate::world::testing::world_of;

#[test]
fn a_lease_of_possibly_used_ids_is_refused() {
    let (mut node, mut world) = (Node::new(1, "node".to_owned(), (2000, 2000)), world_of(&[]));
    world.require_granted_ids();
    let now = Now { ms: 0, unix_us: 0 };
    assert!(!node.grant(0..16_384, now, &mut world));
    assert_eq!((world.ids_left(), node.ids().end()), (0, 0), "ids start at the first player id");
    assert!(node.grant(5_000..5_010, now, &mut world));
    assert!(!node.grant(5_005..6_000, now, &mut world));
    assert!(!node.grant(2_000..3_000, now, &mut world));
    assert_eq!((world.ids_left(), node.ids().end()), (10, 5_010));
}

const NOW: Now = Now { ms: 0, unix_us: 0 };

/// A node with the ids from 5,000, of which one player has the first.
fn node_with_ids(id: NodeId) -> (Node, World) {
    let (mut node, mut world) = (Node::new(id, format!("node-{id}"), (2000, 2000)), world_of(&[]));
    world.require_granted_ids();
    assert!(node.grant(5_000..5_000 + LEASE_IDS, NOW, &mut world));
    world.join();
    node.regions().overlapping(0, 0, 2000, 2000).for_each(|region| node.remote.subscribe(region));
    (node, world)
}

/// Publishes what is due at one node, and returns the results at the other.
fn exchange(from: &mut (Node, World), to: &mut (Node, World), now: Now) -> Vec<Received> {
    let mut out = Vec::new();
    let status = from.0.is_heartbeat_due(now).then(Status::default);
    from.0.publish_due(&from.1, status, now, &mut out);
    out.iter().map(|Outgoing { bytes, .. }| to.0.receive(bytes, now, &mut to.1)).collect()
}

#[test]
fn both_nodes_replace_the_unused_ids_of_one_lease() {
    let mut nodes = [1, 2].map(node_with_ids);
    let [low, high] = &mut nodes;
    exchange(low, high, NOW);
    exchange(high, low, NOW);
    for (at, (node, world)) in nodes.iter_mut().enumerate() {
        assert!(node.needs_ids() && world.ids_left() as u32 == LEASE_IDS - 1, "no join waits");
        assert_eq!(node.ids().bounds(0).min, 5_000 + LEASE_IDS, "the next ids lie above");
        let start = 5_000 + LEASE_IDS * (1 + at as u32);
        assert!(node.grant(start..start + LEASE_IDS, NOW, world) && !node.needs_ids());
        assert_eq!((world.ids_left() as u32, node.ids().conflicts()), (LEASE_IDS, 1));
    }
    let [low, high] = &mut nodes;
    exchange(high, low, NOW);
    assert_eq!((low.1.ids_left() as u32, low.0.ids().conflicts()), (LEASE_IDS, 1));
}

#[test]
fn a_forger_cannot_make_a_node_lease_without_end() {
    let (mut node, mut world) = node_with_ids(1);
    let mut end = 5_000;
    for n in 0..20 {
        let claim = Heartbeat {
            name: "forger".to_owned(),
            ids_end: end + LEASE_IDS,
            players: 0,
            status: Status::default(),
        };
        let header = Header { world: (2000, 2000), node: 9, sequence: n + 1, sent_us: 0 };
        let received = node.receive(&encode(&header, &Body::Heartbeat(claim)), NOW, &mut world);
        let is_refused = matches!(received, Received::Refused(_));
        assert_eq!(is_refused, n >= LEASE_CONFLICTS_MAX, "{n}: {received:?}");
        if node.needs_ids() {
            end += LEASE_IDS;
            assert!(node.grant(end..end + LEASE_IDS, NOW, &mut world));
        }
    }
    assert_eq!(node.ids().conflicts(), LEASE_CONFLICTS_MAX);
}

#[test]
fn players_with_the_same_id_are_closed_by_one_node_with_tags() {
    for has_tags in [false, true] {
        let [mut low, mut high] = [1, 2].map(|id| {
            let (node, world) = node_with_ids(id);
            (if has_tags { node.require_fresh() } else { node }, world)
        });
        exchange(&mut low, &mut high, NOW);
        let [at_low, at_high] = [exchange(&mut high, &mut low, NOW), exchange(&mut low, &mut high, NOW)];
        let slots = if has_tags { vec![0] } else { vec![] };
        assert!(at_high.contains(&Received::SharedIds(slots)), "{at_high:?}");
        assert!(at_low.contains(&Received::SharedIds(vec![])), "{at_low:?}");
        if has_tags {
            high.1.remove(0);
            for ms in [10_000, 20_000] {
                exchange(&mut low, &mut high, Now { ms, ..NOW });
            }
            assert_eq!((high.1.ghosts(), high.1.players()), (1, 0), "the other node's player is shown");
        }
    }
}
