//! Bytes that the server sends to 120 idle viewers because of one player's messages, counted in whole frames, in virtual
//! time.

use game_client::{ClientMessage, Facing, Vector};
use pixi_game_server::config::Config;

use super::TICK_RATE_HZ;
use super::arena::Arena;

const VIEWERS: usize = 120;

/// Measured time, after all players have settled.
const MEASURED_S: u64 = 30;

fn config() -> Config {
    let spawn = Config { spawn_min_x: 400, spawn_max_x: 900, ..Config::default() };
    Config { spawn_min_y: 400, spawn_max_y: 900, spawn_seed: Some(1), ..spawn }
}

/// Bytes sent and caused by one player that sends `message(arena, player, count)` at this rate.
fn cost(per_s: u64, mut message: impl FnMut(&Arena, usize, u32) -> ClientMessage) -> (u64, u64) {
    let mut result = (0, 0);
    Arena::run(&config(), |arena, pool| {
        for _ in 0..VIEWERS {
            arena.join(pool);
            arena.step(pool);
        }
        let hostile = arena.join(pool);
        arena.run_for(pool, 15_000);
        let out = |arena: &Arena| arena.players.iter().map(|viewer| viewer.bytes_out).sum::<u64>();
        let before = out(arena);
        let mut sent = 0;
        for tick in 1..=MEASURED_S * TICK_RATE_HZ {
            while sent < tick * per_s / TICK_RATE_HZ {
                let next = message(arena, hostile, sent as u32);
                arena.send(pool, hostile, &next);
                sent += 1;
            }
            arena.step(pool);
        }
        assert_eq!(arena.metrics().rate_limited_total, 0, "within the rate limit");
        arena.assert_no_violations();
        result = (arena.players[hostile].bytes_in, out(arena) - before);
    });
    result
}

fn facing(count: u32) -> ClientMessage {
    ClientMessage::Direction(if count.is_multiple_of(2) { Facing::Left } else { Facing::Right })
}

/// A kind of message pattern: its name and its next message.
type Kind = (&'static str, fn(&Arena, usize, u32) -> ClientMessage);

const ATTACK: ClientMessage = ClientMessage::Attack { aim: None };

fn walk(vector: Vector, sequence: u32) -> ClientMessage {
    ClientMessage::Move { vector, sequence, claim: None }
}

const KINDS: [Kind; 10] = [
    ("turns", |_, _, count| facing(count)),
    ("joins", |_, _, _| ClientMessage::Join),
    ("jumps", |arena, player, sequence| {
        let at = arena.position(player);
        let claim = Some((u32::from(at.x) - 18, u32::from(at.y)));
        ClientMessage::Move { vector: Vector::RIGHT, sequence, claim }
    }),
    ("leaps to and fro", |arena, player, sequence| {
        let at = arena.position(player);
        let by = if sequence.is_multiple_of(2) { 40 } else { -40 };
        let claim = Some((u32::from(at.x).saturating_add_signed(by), u32::from(at.y)));
        ClientMessage::Move { vector: Vector::ZERO, sequence, claim }
    }),
    ("vectors", |_, _, count| {
        walk(if count.is_multiple_of(2) { Vector::LEFT } else { Vector::RIGHT }, count)
    }),
    ("attacks", |_, _, _| ATTACK),
    (
        "attacks and ends",
        |_, _, count| if count.is_multiple_of(2) { ATTACK } else { ClientMessage::AttackEnd },
    ),
    ("attacks, ends, vectors", |_, _, count| match count % 3 {
        0 => ATTACK,
        1 => ClientMessage::AttackEnd,
        _ => walk(Vector::RIGHT, count),
    }),
    ("attacks and turns", |_, _, count| if count.is_multiple_of(2) { ATTACK } else { facing(count / 2) }),
    ("viewports", |_, _, count| {
        let side = if count.is_multiple_of(2) { 100 } else { 2_000 };
        ClientMessage::Viewport { width: side, height: side }
    }),
];

/// Turning 19 times a second, just below the flush rate, is the most expensive honest behavior per byte: each
/// turn is sent to every viewer.
const TURNS_PER_S: u64 = 19;

/// The allowed messages per second.
const ALLOWED_PER_S: u64 = 60;

#[test]
fn no_message_is_amplified_much_more_than_a_turn() {
    let (turns_in, turns_out) = cost(TURNS_PER_S, |_, _, count| facing(count));
    let yardstick = turns_out as f64 / turns_in as f64;
    for (name, message) in KINDS {
        for per_s in [5, TURNS_PER_S, ALLOWED_PER_S] {
            let (bytes_in, bytes_out) = cost(per_s, message);
            let ratio = bytes_out as f64 / bytes_in as f64;
            println!("{name}, {per_s}/s: {} B/s out, x{ratio:.0}", bytes_out / MEASURED_S);
            if per_s < TURNS_PER_S {
                // The remaining cost is one snapshot per viewer and sync interval, which any change causes.
                assert!(bytes_out as f64 <= 1.1 * turns_out as f64, "{name}, {per_s}/s: {bytes_out} bytes");
            } else {
                assert!(
                    ratio <= 1.05 * yardstick,
                    "{name}, {per_s}/s: x{ratio:.0}, a turn costs x{yardstick:.0}"
                );
            }
            let is_allowed = per_s == ALLOWED_PER_S;
            assert!(!is_allowed || ratio <= 200.0, "{name} at the allowed rate: x{ratio:.0}");
        }
    }
}

#[test]
fn many_jumping_players_cause_at_most_one_snapshot_per_viewer_in_two_seconds() {
    const JUMPERS: usize = 15;
    const VIEWERS: usize = 30;
    Arena::run(&config(), |arena, pool| {
        for _ in 0..VIEWERS + JUMPERS {
            arena.join(pool);
            arena.step(pool);
        }
        arena.run_for(pool, 10_000);
        let snapshots = |arena: &Arena| -> Vec<u64> {
            arena.players[..VIEWERS].iter().map(|viewer| viewer.snapshots).collect()
        };
        let (before, mut sequence) = (snapshots(arena), 0);
        for tick in 0..MEASURED_S * TICK_RATE_HZ {
            // Each player jumps rarely, so that some of them may jump at any time.
            let jumper = VIEWERS + (tick / 16) as usize % JUMPERS;
            if tick % 16 == 0 {
                sequence += 1;
                let at = arena.position(jumper);
                let claim = Some((u32::from(at.x) - 18, u32::from(at.y)));
                arena.send(pool, jumper, &ClientMessage::Move { vector: Vector::RIGHT, sequence, claim });
            }
            arena.step(pool);
        }
        for (after, before) in snapshots(arena).into_iter().zip(before) {
            let most = MEASURED_S / 2 + 1;
            assert!(after - before <= most, "{} snapshots in {MEASURED_S} s", after - before);
            assert!(after - before > MEASURED_S / 4, "{} snapshots: did no player jump?", after - before);
        }
        arena.assert_no_violations();
    });
}
