//! A player whose network stalls for seconds, as its viewers see it. The player keeps walking, jumps at most once, and is
//! then drawn at its true position.

use std::ops::Range;

use game_client::{ClientMessage, PlayerId, Vector};
use pixi_game_server::config::Config;
use pixi_game_server::limits::JUMP_DISTANCE;

use super::arena::Arena;
use crate::support::recording::{Event, recorded_lines};

const VIEWERS: usize = 3;

/// Time after which viewers have received a jump: the minimum pause between two snapshots, and a second.
const SETTLED_AFTER_MS: u64 = 3_500;

/// A walking player may be drawn too far to one side before its change is sent, and to the other side before
/// it jumps.
const WALKER: f64 = 2.0 * JUMP_DISTANCE as f64;

/// The recorded browser walked up to a quarter slower than it claimed, and a player jumps at most once in
/// four seconds.
const RECORDED: f64 = 24.0 * 4.0;

/// The distance of a tick, the rounding of positions, and the delay of a flush.
const SLACK: f64 = 2.0 + 1.0 + 3.0 * 1.6;

/// The steps of page A in the recording: milliseconds since the first one, and the vector.
fn recorded_steps() -> Vec<(u64, Vector)> {
    let of_page_a = recorded_lines().into_iter().filter(|line| line.page == 'A');
    let steps: Vec<_> = of_page_a
        .filter_map(|line| match line.event {
            Event::Sent(payload) => match ClientMessage::decode(&payload) {
                Ok(ClientMessage::Move { vector, .. }) => Some((line.at_ms, vector)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let first_ms = steps[0].0;
    steps.into_iter().map(|(at_ms, vector)| (at_ms - first_ms, vector)).collect()
}

/// A key that is held for this many milliseconds.
fn held_key(held_ms: u64) -> Vec<(u64, Vector)> {
    let steps = held_ms * 24 / 1_000;
    let walk = (0..steps).map(|step| (step * 1_000 / 24, Vector::RIGHT));
    walk.chain([(held_ms, Vector::ZERO)]).collect()
}

/// The viewers of a player.
struct Observers {
    player: usize,
    id: PlayerId,
    before: Vec<(f64, f64)>,
    /// Number of jumps seen by each viewer.
    jumps: Vec<u32>,
}

impl Observers {
    fn new(arena: &Arena, player: usize) -> Self {
        let id = arena.players[player].replica.own_id().expect("it has received its id");
        let mut observers = Self { player, id, before: vec![(0.0, 0.0); VIEWERS], jumps: Vec::new() };
        observers.update(arena);
        observers.jumps = vec![0; VIEWERS];
        observers
    }

    /// Updates where the player is drawn, and counts the viewers that saw a jump.
    fn update(&mut self, arena: &Arena) {
        for (viewer, before) in self.before.iter_mut().enumerate() {
            let remote = arena.players[viewer].replica.remote(self.id).expect("it is visible");
            let gone = (remote.x - before.0).abs().max((remote.y - before.1).abs());
            *before = (remote.x, remote.y);
            if let Some(jumps) = self.jumps.get_mut(viewer) {
                *jumps += u32::from(gone > f64::from(JUMP_DISTANCE));
            }
        }
    }

    /// The largest error of any viewer.
    fn error(&self, arena: &Arena) -> f64 {
        (0..VIEWERS).filter_map(|viewer| arena.position_error(viewer, self.player)).fold(0.0, f64::max)
    }
}

/// Plays the steps. With `has_stall`, the network holds back the player's messages during `stall`.
///
/// Returns the maximum number of jumps that a viewer sees within `within_ms` after the end of the stall. From
/// [`SETTLED_AFTER_MS`] after it on, all viewers must draw the player within the tolerance.
fn play(steps: &[(u64, Vector)], stall: &Range<u64>, has_stall: bool, within_ms: u64, tolerance: f64) -> u32 {
    let spawn = Config { spawn_min_x: 500, spawn_max_x: 501, ..Config::default() };
    let config = Config { spawn_min_y: 700, spawn_max_y: 701, spawn_seed: Some(1), ..spawn };
    let mut most = 0;
    Arena::run(&config, |arena, pool| {
        for _ in 0..VIEWERS {
            arena.join(pool);
            arena.step(pool);
        }
        let player = arena.join(pool);
        arena.run_for(pool, 23_000);
        let (start_ms, mut next) = (arena.now_ms(), steps.iter().peekable());
        let (mut observers, mut was_held) = (Observers::new(arena, player), false);
        while arena.now_ms() - start_ms < stall.end + 12_000 {
            let now_ms = arena.now_ms() - start_ms;
            let is_held = has_stall && stall.contains(&now_ms);
            match (was_held, is_held) {
                (false, true) => arena.stall(player),
                (true, false) => arena.resume(pool, player),
                _ => {}
            }
            was_held = is_held;
            while let Some((_, vector)) = next.next_if(|(at_ms, _)| *at_ms <= now_ms) {
                let message = arena.players[player].replica.step(*vector);
                arena.send(pool, player, &message);
            }
            arena.step(pool);
            observers.update(arena);
            if now_ms < stall.end {
                observers.jumps.fill(0);
            } else if now_ms <= stall.end + within_ms {
                most = observers.jumps.iter().copied().max().unwrap_or(0);
            }
            if now_ms > stall.end + SETTLED_AFTER_MS {
                let error = observers.error(arena);
                assert!(error <= tolerance + SLACK, "{stall:?}: {error} units off at {now_ms} ms");
            }
        }
        // A hidden tab sends nothing more: the player stops, and the next snapshot corrects its position.
        arena.run_for(pool, 9_000);
        let error = observers.error(arena);
        assert!(error < f64::EPSILON, "{stall:?}: still drawn {error} units off");
    });
    most
}

#[test]
fn a_stall_adds_at_most_one_jump_to_a_recorded_walk() {
    let steps = recorded_steps();
    assert!(steps.len() > 300 && steps.last().is_some_and(|(at_ms, _)| *at_ms > 20_000));
    for stall_ms in [3_000, 5_000, 10_000] {
        for from_ms in (500..20_000).step_by(1_300) {
            let stall = from_ms..from_ms + stall_ms;
            // The recorded browser was sometimes so slow that its player jumped even without a stall.
            let without = play(&steps, &stall, false, 2_000, RECORDED);
            let with = play(&steps, &stall, true, 2_000, RECORDED);
            assert!(with <= without + 1, "{stall:?}: {with} jumps with the stall, {without} without");
        }
    }
}

#[test]
fn a_key_held_or_released_in_a_stall_causes_at_most_one_jump() {
    for stall_ms in [3_000, 5_000, 10_000] {
        for held_ms in [1_500, 3_000, 4_500, 9_000, 14_000] {
            let stall = 1_000..1_000 + stall_ms;
            let jumps = play(&held_key(held_ms), &stall, true, SETTLED_AFTER_MS, WALKER);
            assert!(jumps <= 1, "held for {held_ms} ms, stalled for {stall_ms} ms: {jumps} jumps seen");
        }
    }
}

#[test]
fn the_first_sprite_loads_before_a_snapshot_despite_pauses_of_the_server() {
    let spawn = Config { spawn_min_x: 500, spawn_max_x: 501, ..Config::default() };
    let config = Config { spawn_min_y: 700, spawn_max_y: 701, spawn_seed: Some(1), ..spawn };
    // Ticks of two pauses: before the first JOINED is written, and before the client takes it.
    for (before, after) in [(0, 0), (0, 5), (0, 14), (0, 60), (4, 0), (14, 14)] {
        for phase in 0..12 {
            Arena::run(&config, |arena, pool| {
                let watcher = arena.join(pool);
                (0..phase).for_each(|_| arena.step(pool));
                arena.set_full(watcher, true);
                let walker = arena.join(pool);
                let walk = ClientMessage::Move { vector: Vector::RIGHT, sequence: 1, claim: None };
                arena.send(pool, walker, &walk);
                arena.suspend(pool, before, |_| {});
                arena.run_for(pool, 6_000);
                arena.suspend(pool, after, |arena| arena.set_full(watcher, false));
                arena.run_for(pool, 16_000);
                let watcher = &arena.players[watcher];
                assert_eq!(watcher.snapshots, 2, "pauses {before} and {after}, phase {phase}");
                assert_eq!(watcher.replica.violations(), [], "pauses {before} and {after}, phase {phase}");
            });
        }
    }
}
