//! The cost of a tick in which every player walks, and of a MOVE.

mod crowd;
mod quick;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use pixi_game_server::world::{Input, Position, Vector, World};

/// Ticks that the players walk in one direction before they turn around. 96 units keep every player away from the edge of
/// the world, where walking would cost less.
const TICKS_ONE_WAY: u64 = 60;

fn main() {
    let mut criterion = quick::criterion();
    step(&mut criterion);
    apply_move(&mut criterion);
    criterion.final_summary();
}

fn crowded(players: usize) -> World {
    let mut world = World::new(crowd::rules());
    crowd::populate(&mut world, players, &mut crowd::Random::new());
    world
}

fn positions(world: &World) -> Vec<Position> {
    (0..world.slots() as u32).map(|slot| world.position(slot)).collect()
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("world");
    for players in crowd::POPULATIONS {
        let mut world = crowded(players);
        group.throughput(Throughput::Elements(players as u64));
        group.bench_function(BenchmarkId::new("step", players), |bencher| {
            bencher.iter_custom(|ticks| walk_and_turn(&mut world, ticks));
        });
        let before = positions(&world);
        world.step(1);
        assert!(
            positions(&world).iter().zip(before).all(|(now, before)| *now != before),
            "every player walks"
        );
    }
    group.finish();
}

/// Steps the world, timed. The turns in between are not timed.
fn walk_and_turn(world: &mut World, ticks: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = ticks;
    while left > 0 {
        let stretch = left.min(TICKS_ONE_WAY);
        // Out and back are equally long.
        for _ in 0..2 {
            let start = Instant::now();
            for _ in 0..stretch {
                black_box(&mut *world).step(1);
            }
            elapsed += start.elapsed();
            turn_around(world);
        }
        left -= stretch;
    }
    elapsed / 2
}

fn turn_around(world: &mut World) {
    for slot in 0..world.slots() as u32 {
        let vector = world.vector(slot);
        world.apply(slot, crowd::walk(Vector::new(-vector.dx(), -vector.dy())));
    }
}

/// Applies one MOVE per player, as browsers send them: the same vector again, and a claim a few units off.
fn apply_move(criterion: &mut Criterion) {
    let players = 10_000;
    let mut world = crowded(players);
    let mut group = criterion.benchmark_group("world");
    group.throughput(Throughput::Elements(players as u64));
    group.bench_function(BenchmarkId::new("apply move", players), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for round in 0..rounds {
                let claims = next_claims(&mut world, round);
                let start = Instant::now();
                for (slot, &(input, _)) in (0..).zip(&claims) {
                    black_box(world.apply(slot, black_box(input)));
                }
                elapsed += start.elapsed();
                let accepted =
                    positions(&world).iter().zip(&claims).filter(|(now, claim)| **now == claim.1).count();
                assert_eq!(accepted, players, "every claim is accepted");
            }
            elapsed
        });
    });
    group.finish();
}

/// Advances the world by one client step. Returns for every player a claim one unit ahead of the simulated position, or
/// one unit behind it.
fn next_claims(world: &mut World, round: u64) -> Vec<(Input, Position)> {
    // Two or three ticks at 60 Hz, which is 2.5 on average.
    world.step(2 + (round % 2) as u32);
    if round % 24 == 23 {
        turn_around(world);
    }
    let lead = if round.is_multiple_of(2) { 1 } else { -1 };
    let claim = |slot: u32| {
        let (position, vector) = (world.position(slot), world.vector(slot));
        let ahead = |at: u16, direction: i8| at.saturating_add_signed(i16::from(direction) * lead);
        let claimed = Position { x: ahead(position.x, vector.dx()), y: ahead(position.y, vector.dy()) };
        (Input::Move { vector, claim: Some((u32::from(claimed.x), u32::from(claimed.y))) }, claimed)
    };
    (0..world.slots() as u32).map(claim).collect()
}
