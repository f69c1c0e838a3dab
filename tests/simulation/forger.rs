//! A forger that can write to the bus: derives each false message from an overheard one.

use pixi_game_server::cluster::message::{Body, Changes, Heartbeat, decode, encode};
use pixi_game_server::cluster::status::Status;
use pixi_game_server::world::{GhostUpdate, Position, Vector};

use super::machine::random::Random;

/// Forges a message from one that a node sent. `ids` are the player ids of all nodes.
pub fn forge(overheard: &[u8], ids: &[u32], nodes: u64, random: &mut Random) -> Vec<u8> {
    let (mut header, body) = decode(overheard).expect("the message was sent by a node");
    header.node = match random.below(3) {
        0 => random.below(1 << 40) + 100,
        1 => 1 + random.below(nodes),
        _ => header.node,
    };
    header.sequence = match random.below(4) {
        0 => u64::MAX,
        1 => 0,
        2 => header.sequence + random.below(100_000),
        _ => header.sequence,
    };
    header.sent_us = if random.chance(2) { header.sent_us } else { random.below(u64::MAX) };
    let body = match random.below(8) {
        0 => Body::Shutdown,
        1 => Body::SnapshotRequest((0..random.below(200)).map(|_| random.below(100) as u32).collect()),
        2 | 3 => Body::Heartbeat(Heartbeat {
            name: "forged".to_owned(),
            ids_end: any_id(ids, random),
            players: u32::MAX,
            status: Status::default(),
        }),
        _ => lie_about_players(body, ids, random),
    };
    encode(&header, &body)
}

fn any_id(ids: &[u32], random: &mut Random) -> u32 {
    match random.below(4) {
        0 => random.below(u64::from(u32::MAX)) as u32,
        1 => u32::MAX,
        _ => ids[random.below(ids.len() as u64) as usize].saturating_add(random.below(3) as u32),
    }
}

fn lie_about_players(body: Body, ids: &[u32], random: &mut Random) -> Body {
    let mut any_players =
        || -> Vec<GhostUpdate> { (0..random.below(20)).map(|_| any_player(ids, random)).collect() };
    let (updated, moved) = (any_players(), any_players());
    match body {
        Body::Changes(changes) => Body::Changes(Changes {
            left: updated.iter().map(|update| update.id).collect(),
            moved: moved.into_iter().map(|update| (random.below(100) as u32, update)).collect(),
            updated,
            ..changes
        }),
        Body::Snapshot { region, players } => {
            let keeps_truth = random.chance(2);
            Body::Snapshot {
                region,
                players: if keeps_truth { [players, updated].concat() } else { updated },
            }
        }
        other => other,
    }
}

fn any_player(ids: &[u32], random: &mut Random) -> GhostUpdate {
    let mut part = |limit| random.below(limit) as u16;
    GhostUpdate {
        position: Position { x: part(2_500), y: part(2_500) },
        vector: Vector::new(part(3) as i8 - 1, part(3) as i8 - 1),
        faces_right: part(2) == 0,
        attacks: part(2) == 0,
        begins_attack: part(2) == 0,
        id: any_id(ids, random).max(1),
    }
}
