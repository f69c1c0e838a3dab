//! Compares one replica with the world.

use std::collections::BTreeSet;

use game_client::{Facing, RemotePlayer, State};
use pixi_game_server::limits::{
    FIRST_SPRITE_LOAD_MS, INTEREST_DWELL_MS, INTEREST_LEAVE_MARGIN, KEYFRAME_AFTER_MS,
};
use pixi_game_server::replication::interest::HYSTERESIS_DISTANCE_FACTOR;
use pixi_game_server::server::core::engine::Engine;
use pixi_game_server::world::{self, Position, World};

use super::peer::Peer;
use super::replicas;

/// Required precision of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Within [`MOVING_TOLERANCE`], and only for players that have been visible for more than a sync
    /// interval.
    SomeMoving,
    /// Exactly, for all players.
    AllStopped,
}

/// Maximum error of a moving player: one client step, one unit of rounding, and a walk of five ticks. A snapshot may
/// wait five ticks for a socket that accepts single bytes or, at times, none.
const MOVING_TOLERANCE: f64 = 4.0 + 1.0 + 5.0 * 1.6;

/// Time from the enter of a player to the second snapshot after its keyframe, in milliseconds. The first one may wait for the
/// viewer's first sprite.
const SETTLED_AFTER_MS: u64 = FIRST_SPRITE_LOAD_MS as u64 + 5_000 + KEYFRAME_AFTER_MS as u64;

/// Compares one replica with the world. Players in `hostile` must only be drawn near their position.
///
/// # Errors
/// The first difference.
pub fn check(
    peer: &Peer,
    engine: &Engine,
    hostile: &BTreeSet<u32>,
    now_ms: u64,
    strictness: Strictness,
) -> Result<(), String> {
    let (replica, world) = (&peer.replica, engine.world());
    if let Some(violation) = replica.violations().first() {
        return Err(format!("{violation} (one of {})", replica.violations().len()));
    }
    if replica.own().missing_acks().len() > 0 {
        return Err(format!(
            "MOVEs {:?} were never acknowledged",
            replica.own().missing_acks().collect::<Vec<_>>()
        ));
    }
    let own_id = replica.own_id().ok_or("the client has not received its own id")?;
    let own_slot =
        slot_of(world, own_id).ok_or_else(|| format!("the client has the wrong own id: {own_id}"))?;
    if !replica.duplicates().is_empty() {
        return Err(format!("duplicates of {:?}", replica.duplicates()));
    }
    check_set(peer, own_slot, engine, hostile, now_ms)?;
    for remote in replica.remotes() {
        let slot =
            slot_of(world, remote.id).ok_or_else(|| format!("{} is gone from the world", remote.id))?;
        if hostile.contains(&remote.id) {
            check_hostile(world, slot, remote)?;
        } else if strictness == Strictness::AllStopped || now_ms - remote.entered_at_ms > SETTLED_AFTER_MS {
            check_player(world, slot, remote, strictness)?;
        }
    }
    Ok(())
}

pub fn slot_of(world: &World, id: u32) -> Option<u32> {
    (0..world.slots() as u32).find(|&slot| world.id(slot) == Some(id))
}

/// Checks that the right players are visible, by the rules of `replication::interest`.
fn check_set(
    peer: &Peer,
    own_slot: u32,
    engine: &Engine,
    hostile: &BTreeSet<u32>,
    now_ms: u64,
) -> Result<(), String> {
    let world = engine.world();
    let visible: BTreeSet<u32> = peer.replica.remotes().map(|remote| remote.id).collect();
    let viewer = engine.viewers().viewer(own_slot).ok_or("the player has no viewer")?;
    let here = world.position(own_slot);
    let is_settled = |id: u32| {
        let remote = peer.replica.remote(id).expect("it is visible");
        now_ms - remote.entered_at_ms > u64::from(INTEREST_DWELL_MS) + 500
    };
    let max_visible = engine.viewers().settings().max_visible;
    let mut farthest: f64 = 0.0;
    for &id in &visible {
        let slot = slot_of(world, id).ok_or_else(|| format!("{id} is visible but not in the world"))?;
        let there = world.position(slot);
        if is_settled(id) && !hostile.contains(&id) {
            // Interest updates happen five times a second, and a player walks 20 units in between.
            if outside(viewer.half_sides(), here, there) > i32::from(INTEREST_LEAVE_MARGIN) + 2 * 20 {
                return Err(format!("{id} is visible far outside the rectangle"));
            }
            farthest = farthest.max(distance(here, there));
        }
    }
    for slot in 0..world.slots() as u32 {
        let Some(id) = world.id(slot) else { continue };
        let there = world.position(slot);
        let clearly_inside = outside(viewer.half_sides(), here, there) <= -2 * 20;
        if slot == own_slot || visible.contains(&id) || !clearly_inside || hostile.contains(&id) {
            continue;
        }
        // Both players may walk, and diagonally.
        let clearly_nearer = distance(here, there) + 2.0 * 28.0 < farthest * HYSTERESIS_DISTANCE_FACTOR;
        if visible.len() < max_visible || clearly_nearer {
            return Err(format!(
                "{id} is not visible, {:.0} units away; {} players are visible",
                distance(here, there),
                visible.len()
            ));
        }
    }
    Ok(())
}

/// Distance of a point outside the rectangle; negative inside. A viewer without a rectangle sees everything.
fn outside(half_sides: Option<(i32, i32)>, here: Position, there: Position) -> i32 {
    let Some((half_width, half_height)) = half_sides else { return i32::MIN };
    let beyond = |a: u16, b: u16, half: i32| (i32::from(a) - i32::from(b)).abs() - half;
    beyond(here.x, there.x, half_width).max(beyond(here.y, there.y, half_height))
}

fn distance(a: Position, b: Position) -> f64 {
    (f64::from(a.x) - f64::from(b.x)).hypot(f64::from(a.y) - f64::from(b.y))
}

fn check_hostile(world: &World, slot: u32, remote: &RemotePlayer) -> Result<(), String> {
    let position = world.position(slot);
    let (dx, dy) = (remote.x - f64::from(position.x), remote.y - f64::from(position.y));
    // As in `replicas`, plus a walk of two seconds while a snapshot waits for its socket.
    let tolerance = f64::from(replicas::LEAPING) + 2.0 * 96.0;
    if dx.abs() > tolerance || dy.abs() > tolerance {
        return Err(format!("the hostile player {} is drawn ({dx:.1}, {dy:.1}) units off", remote.id));
    }
    Ok(())
}

fn check_player(
    world: &World,
    slot: u32,
    remote: &RemotePlayer,
    strictness: Strictness,
) -> Result<(), String> {
    let (position, vector) = (world.position(slot), world.vector(slot));
    let tolerance = if strictness == Strictness::AllStopped { 0.0 } else { MOVING_TOLERANCE };
    let (dx, dy) = (remote.x - f64::from(position.x), remote.y - f64::from(position.y));
    if dx.abs() > tolerance || dy.abs() > tolerance {
        return Err(format!("{} is drawn ({dx:.1}, {dy:.1}) units off: {remote:?}, {vector:?}", remote.id));
    }
    if (remote.vector.dx(), remote.vector.dy()) != (vector.dx(), vector.dy()) {
        return Err(format!(
            "{} moves {:?} in the replica and {vector:?} in the world",
            remote.id, remote.vector
        ));
    }
    if (remote.facing == Facing::Right) != world.is_facing_right(slot) {
        return Err(format!("{} faces {:?} in the replica only", remote.id, remote.facing));
    }
    let state = match world.state(slot) {
        world::State::Idle => State::Idle,
        world::State::Moving => State::Moving,
        world::State::Attacking => State::Attacking,
    };
    if remote.state != state {
        return Err(format!("{} is {:?} in the replica and {state:?} in the world", remote.id, remote.state));
    }
    Ok(())
}
