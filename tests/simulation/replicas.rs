//! No sequence of claims and turns makes replicas draw a player far from its position. Once the player stops, all
//! replicas are exact again.

use game_client::{ClientMessage, Vector};
use pixi_game_server::config::{Command, Config, parse};
use pixi_game_server::limits::{
    CLAIM_DISTANCE_MAX, EXTRAPOLATION_DISTANCE_MAX, FIRST_SPRITE_LOAD_MS, FLUSH_DELAY_DISTANCE, JUMP_DISTANCE,
};
use pixi_game_server::replication::pool::Pool;

use super::arena::Arena;
use super::hostile::{Hostile, SpeedLimit};
use super::machine::random::Random;
use super::seeds;

/// Idle viewers, flushed in different ticks.
const VIEWERS: usize = 6;

/// The distance of a tick, the rounding of positions, the delay of a flush, and that of the last granted
/// vector.
const SLACK: f64 = 2.0 + 1.0 + 2.0 * 3.0 * 1.6;

/// The distance at which a drifting player jumps, and how far it may drift again until its viewers receive
/// the jump.
const DRIFTING: i32 = FLUSH_DELAY_DISTANCE + EXTRAPOLATION_DISTANCE_MAX;

/// The same for a player that leaps and swings from one side of its drawn position to the other.
pub const LEAPING: i32 = JUMP_DISTANCE + CLAIM_DISTANCE_MAX + 2 * EXTRAPOLATION_DISTANCE_MAX;

fn crowd(arena: &mut Arena, pool: &mut Pool) -> usize {
    for _ in 0..VIEWERS {
        arena.join(pool);
        arena.step(pool);
    }
    let hostile = arena.join(pool);
    arena.run_for(pool, u64::from(FIRST_SPRITE_LOAD_MS) + 1_000);
    hostile
}

fn config(at: u16) -> Config {
    let spawn = Config { spawn_min_x: at, spawn_max_x: at + 1, ..Config::default() };
    Config { spawn_min_y: 1_000, spawn_max_y: 1_001, spawn_seed: Some(1), ..spawn }
}

/// The largest current error of any viewer.
fn worst(arena: &Arena, of: usize) -> f64 {
    (0..VIEWERS).filter_map(|viewer| arena.position_error(viewer, of)).fold(0.0, f64::max)
}

#[test]
fn a_walking_player_that_claims_to_stand_is_drawn_near_its_position() {
    Arena::run(&config(500), |arena, pool| {
        let hostile = crowd(arena, pool);
        let mut farthest: f64 = 0.0;
        for sequence in 0..300 {
            let claim = Some((500, 1_000));
            arena.send(pool, hostile, &ClientMessage::Move { vector: Vector::RIGHT, sequence, claim });
            for _ in 0..6 {
                arena.step(pool);
                farthest = farthest.max(worst(arena, hostile));
            }
        }
        assert!(farthest <= f64::from(DRIFTING) + SLACK, "drawn {farthest} units off");
        arena.assert_no_violations();
    });
}

#[test]
fn vector_changes_between_two_flushes_do_not_accumulate_error() {
    for (on, off) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 5), (5, 1), (4, 5)] {
        Arena::run(&config(500), |arena, pool| {
            let hostile = crowd(arena, pool);
            let (mut farthest, mut sequence): (f64, u32) = (0.0, 0);
            for tick in 0..20 * 60 {
                let vector = match tick % (on + off) {
                    0 => Some(Vector::RIGHT),
                    phase if phase == on => Some(Vector::ZERO),
                    _ => None,
                };
                if let Some(vector) = vector {
                    sequence += 1;
                    arena.send(pool, hostile, &ClientMessage::Move { vector, sequence, claim: None });
                }
                arena.step(pool);
                farthest = farthest.max(worst(arena, hostile));
            }
            assert!(
                farthest <= f64::from(DRIFTING) + SLACK,
                "{on} on, {off} off: drawn {farthest} units off"
            );
        });
    }
}

#[test]
fn a_hostile_player_is_drawn_near_its_position() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let at = [30, 1_000, 1_970][random.below(3) as usize];
        Arena::run(&config(at), |arena, pool| {
            let player = crowd(arena, pool);
            let (mut hostile, mut limit) = (Hostile::new(None), SpeedLimit::new());
            for _ in 0..60 * 60 {
                let here = arena.position(player);
                if let Some(message) = hostile.next((here.x, here.y), &mut random) {
                    arena.send(pool, player, &message);
                }
                arena.step(pool);
                let here = arena.position(player);
                limit.observe((here.x, here.y)).unwrap_or_else(|error| panic!("{error}"));
                let worst = worst(arena, player);
                assert!(
                    worst <= f64::from(LEAPING) + SLACK,
                    "drawn {worst} units off with strategy {}",
                    hostile.strategy
                );
            }
            arena.assert_no_violations();
            let (vector, sequence) = (Vector::ZERO, hostile.sequence + 1);
            arena.send(pool, player, &ClientMessage::Move { vector, sequence, claim: None });
            arena.run_for(pool, 6_000);
            assert!(worst(arena, player) < f64::EPSILON, "the player has stopped, but not in all replicas");
        });
    }
}

#[test]
fn a_client_a_quarter_too_fast_or_too_slow_is_never_refused() {
    for (factor, jitter_ms) in [(1.24, 0), (0.76, 0), (1.0, 80), (1.1, 60), (0.9, 60)] {
        Arena::run(&config(500), |arena, pool| {
            let player = crowd(arena, pool);
            let mut random = Random::new(1);
            let (start_ms, mut at) = (arena.now_ms(), 500.0);
            let mut arrives_ms = start_ms;
            for sequence in 0..60 * 24 {
                // Ten seconds in one direction, ten seconds in the other.
                let direction = if sequence / 240 % 2 == 0 { 1 } else { -1 };
                at += 4.0 * factor * f64::from(direction);
                let sent_ms = start_ms + u64::from(sequence) * 1_000 / 24;
                arrives_ms = arrives_ms.max(sent_ms + random.below(jitter_ms + 1));
                while arena.now_ms() < arrives_ms {
                    arena.step(pool);
                }
                let vector = Vector::new(direction, 0).expect("a direction along x");
                let claim = Some((at as u32, 1_000));
                arena.send(pool, player, &ClientMessage::Move { vector, sequence, claim });
                assert_eq!(
                    arena.position(player).x,
                    at as u16,
                    "{factor} times the speed, {jitter_ms} ms of jitter: refused in step {sequence}"
                );
            }
        });
    }
}

#[test]
fn a_speed_with_a_fraction_keeps_claims_replicas_and_the_world_together() {
    let old = [("PLAYER_SPEED", "5.33"), ("SPAWN_MIN_X", "500"), ("SPAWN_MAX_X", "501")];
    let read = |name: &str| old.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
    let Ok(Command::Run(parsed, _)) = parse(std::iter::empty(), read) else { panic!("valid settings") };
    let config = Config { player_speed: parsed.player_speed, ..config(500) };
    for rounds in [f64::floor, f64::round] {
        Arena::run(&config, |arena, pool| {
            let player = crowd(arena, pool);
            let (start_ms, mut at, mut farthest): (u64, f64, f64) = (arena.now_ms(), 500.0, 0.0);
            for sequence in 0..60 * 24 {
                let direction = if sequence / 240 % 2 == 0 { 1 } else { -1 };
                at += 5.33 * f64::from(direction);
                while arena.now_ms() < start_ms + u64::from(sequence) * 1_000 / 24 {
                    arena.step(pool);
                    farthest = farthest.max(worst(arena, player));
                }
                let vector = Vector::new(direction, 0).expect("a direction along x");
                let claim = Some((rounds(at) as u32, 1_000));
                arena.send(pool, player, &ClientMessage::Move { vector, sequence, claim });
                assert_eq!(arena.position(player).x, rounds(at) as u16, "refused in step {sequence}");
            }
            assert!(
                farthest <= f64::from(FLUSH_DELAY_DISTANCE),
                "drawn {farthest} units off, without a jump"
            );
            arena.assert_no_violations();
        });
    }
}
