//! The cost of rebuilding the grid, once per tick while any player moves.

mod crowd;
mod quick;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use pixi_game_server::replication::grid::Grid;
use pixi_game_server::world::World;

fn main() {
    let mut criterion = quick::criterion();
    rebuild(&mut criterion);
    criterion.final_summary();
}

fn rebuild(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grid");
    for players in crowd::POPULATIONS {
        let rules = crowd::rules();
        let mut grid = Grid::new(rules.width, rules.height);
        let mut world = World::new(rules);
        crowd::populate(&mut world, players, &mut crowd::Random::new());
        group.throughput(Throughput::Elements(players as u64));
        group.bench_function(BenchmarkId::new("rebuild", players), |bencher| {
            bencher.iter(|| {
                grid.rebuild(black_box(&world));
                assert_eq!(black_box(&grid).entries().len(), players);
            });
        });
    }
    group.finish();
}
