//! The cost of replication: the fan-outs of one flush interval on one thread, in a crowd of walking players
//! that change direction now and then.
//!
//! "Looks" in the benchmark ids means interest updates, and "changes" deltas: the ids stay comparable with
//! earlier results.

// Prints counts next to criterion's figures.
#![allow(clippy::print_stdout)]

mod crowd;
mod quick;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use crowd::Random;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::replication::{FrameCounts, Scene, Settings, Viewers};
use pixi_game_server::world::{Rules, Vector};

/// Average number of vector changes per second and player.
const VECTOR_CHANGES_PER_S: usize = 2;

/// Ticks over which the players join: the sync interval. Snapshots and the ends of dwell times are then
/// spread over flush rounds as in production.
const JOIN_TICKS: usize = 300;

/// Ticks in which every viewer gets a snapshot.
const WARM_UP_TICKS: usize = 300;

/// The longest flush interval of the load governor, in milliseconds, and its interest update rate at that
/// interval.
const FLUSH_INTERVAL_DEGRADED_MS: u32 = 150;
const INTEREST_UPDATES_DEGRADED_HZ: u32 = 1;

/// Cycles over which the printed counts are averaged.
const CYCLES_COUNTED: usize = 10;

fn main() {
    let mut criterion = quick::criterion();
    for players in crowd::POPULATIONS {
        std::thread::scope(|scope| {
            let pool = Pool::spawn(scope, 1).expect("a single thread needs no worker");
            fan_out(&mut criterion, Stage::new(pool, players));
        });
    }
    criterion.final_summary();
}

fn fan_out(criterion: &mut Criterion, mut stage: Stage) {
    let players = stage.players;
    let mut group = criterion.benchmark_group("view");
    group.throughput(Throughput::Elements(stage.players as u64));
    stage.describe("looks and changes");
    group.bench_function(BenchmarkId::new("looks and changes", players), |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| stage.busy_cycle()).sum());
    });
    // The governor's longest intervals: few flushes are interest updates, and much has changed since the last
    // one.
    let pace = stage.scene.world.rules().pace;
    let configured = stage.viewers.settings().clone();
    stage
        .viewers
        .settings_mut()
        .set_quality(pace, FLUSH_INTERVAL_DEGRADED_MS, INTEREST_UPDATES_DEGRADED_HZ, configured.max_visible);
    group.throughput(Throughput::Elements(stage.players as u64));
    stage.settle();
    stage.describe("stretched");
    group.bench_function(BenchmarkId::new("stretched", players), |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| stage.busy_cycle()).sum());
    });
    *stage.viewers.settings_mut() = configured;
    group.throughput(Throughput::Elements(stage.players as u64));
    // No interest updates: interest sets stay as they are.
    stage.viewers.settings_mut().interest_interval = u64::MAX;
    stage.settle();
    stage.describe("changes");
    group.bench_function(BenchmarkId::new("changes", players), |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| stage.busy_cycle()).sum());
    });
    group.finish();
}

/// A world, its viewers, and the random inputs that drive it.
struct Stage {
    players: usize,
    random: Random,
    scene: Arc<Scene>,
    viewers: Viewers,
    pool: Pool,
    // Frames, flushed viewers and bytes of the last round or cycle.
    counts: FrameCounts,
    flushed: usize,
    bytes: usize,
}

impl Stage {
    fn new(pool: Pool, players: usize) -> Self {
        let rules = crowd::rules();
        // The default settings, except that first sprites load soon: the state of most players, after a shorter warm-up.
        let mut settings = Settings::new(rules.pace, 128, 50, 5, 1000);
        settings.first_sprite_load = rules.pace.ticks(1_000);
        let scene = Arc::new(Scene::new(rules));
        let mut stage = Self {
            players: 0,
            random: Random::new(),
            scene,
            viewers: Viewers::new(settings),
            pool,
            counts: FrameCounts::default(),
            flushed: 0,
            bytes: 0,
        };
        for tick in 1..=JOIN_TICKS {
            stage.join_until(players * tick / JOIN_TICKS);
            stage.round();
        }
        stage.settle();
        stage
    }

    fn settle(&mut self) {
        for _ in 0..WARM_UP_TICKS {
            self.round();
        }
    }

    fn join_until(&mut self, players: usize) {
        let newcomers = players - self.players;
        let (slots, mut out, mut counts) =
            (self.players as u32..players as u32, Vec::new(), FrameCounts::default());
        let scene = Arc::get_mut(&mut self.scene).expect("the pool keeps no reference");
        crowd::populate(&mut scene.world, newcomers, &mut self.random);
        for slot in slots {
            out.clear();
            self.viewers.join(scene, slot, None, &mut out, &mut counts);
        }
        self.players = players;
    }

    /// Runs one tick; returns the duration of its fan-out.
    fn round(&mut self) -> Duration {
        self.steer_some();
        let scene = self.scene_mut();
        scene.world.step(1);
        scene.refresh();
        self.counts = FrameCounts::default();
        (self.flushed, self.bytes) = (0, 0);
        self.viewers.begin_flush_round(&self.scene);
        let mut elapsed = Duration::ZERO;
        while !self.viewers.is_flush_round_over() {
            let start = Instant::now();
            self.pool.flush_batch(&self.scene, &mut self.viewers, &mut |_| true);
            elapsed += start.elapsed();
            self.take_frames();
        }
        elapsed
    }

    fn scene_mut(&mut self) -> &mut Scene {
        Arc::get_mut(&mut self.scene).expect("the pool keeps no reference")
    }

    /// Changes the vectors of some players, so that their viewers have deltas. Players outside the spawn area
    /// walk back, so that the density stays the same.
    fn steer_some(&mut self) {
        let Rules { spawn, pace, .. } = *self.scene.world.rules();
        for _ in 0..self.players * VECTOR_CHANGES_PER_S / pace.tick_rate_hz as usize {
            let slot = self.random.below(self.players) as u32;
            let (position, vector) = (self.scene.world.position(slot), self.random.direction());
            let homewards = |at: u16, min: u16, max: u16, otherwise: i8| match at {
                at if at < min => 1,
                at if at >= max => -1,
                _ => otherwise,
            };
            let dx = homewards(position.x, spawn.min_x, spawn.max_x, vector.dx());
            let dy = homewards(position.y, spawn.min_y, spawn.max_y, vector.dy());
            self.scene_mut().world.apply(slot, crowd::walk(Vector::new(dx, dy)));
        }
    }

    /// Takes the frames of a batch, as the server does.
    fn take_frames(&mut self) {
        let batch = self.pool.batch();
        batch.counts().for_each(|counts| self.counts.add(counts));
        while let Some((segment, frames)) = batch.next_segment() {
            assert!(!segment.failed, "slot {} was not encoded", segment.slot);
            self.bytes += frames.len();
            self.flushed += 1;
        }
    }

    /// Runs one flush interval, in which nearly every viewer is flushed; returns the duration of its
    /// fan-outs.
    fn busy_cycle(&mut self) -> Duration {
        let (mut counts, mut flushed, mut bytes, mut elapsed) =
            (FrameCounts::default(), 0, 0, Duration::ZERO);
        for _ in 0..self.viewers.settings().flush_interval {
            elapsed += self.round();
            counts.add(&self.counts);
            flushed += self.flushed;
            bytes += self.bytes;
        }
        (self.counts, self.flushed, self.bytes) = (counts, flushed, bytes);
        assert!(flushed * 10 >= self.players * 9, "{flushed} of {} were flushed", self.players);
        elapsed
    }

    /// Prints the average content of a cycle.
    fn describe(&mut self, name: &str) {
        let (mut total, mut bytes, mut flushed) = (FrameCounts::default(), 0, 0);
        for _ in 0..CYCLES_COUNTED {
            self.busy_cycle();
            total.add(&self.counts);
            bytes += self.bytes;
            flushed += self.flushed;
        }
        let each = |frames: u64| frames / CYCLES_COUNTED as u64;
        println!(
            "view/{name}/{}: in a cycle {} viewers, seeing {} players each, get {} bytes: {} movement, {} joined, \
             {} left, {} game_state",
            self.players,
            flushed / CYCLES_COUNTED,
            self.viewers.visible_total() / self.players,
            bytes / CYCLES_COUNTED,
            each(total.movement),
            each(total.joined),
            each(total.left),
            each(total.game_state),
        );
    }
}
