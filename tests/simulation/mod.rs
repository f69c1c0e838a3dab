//! A seeded simulation of wire, engine and replication without sockets.
//!
//! Dozens of clients join, walk, attack, turn, resize their viewports, stall, leave and lose their
//! connections. The network has delays, and sockets accept and deliver arbitrary amounts. After settling, the
//! replica of each client must equal the world. A replica is built only from the received bytes, by the rules
//! of the browser client.
//!
//! The tolerances are those of `replication::interest`. All players inside the viewer's rectangle are
//! visible, or else every visible one is at most 1 / 0.7 times as far as the nearest invisible one. No player
//! is visible more than 48 units outside the rectangle. While some players move, positions may be off by a
//! client step and the delay of a snapshot; once all have stopped, they are exact.
//!
//! A failure prints its seed: `SIMULATION_SEED=<seed> cargo test simulation` repeats that run.
//! `SIMULATION_SEEDS=1000` runs more seeds than the default.

mod among_hostile;
mod amplification;
mod arena;
mod check;
mod cluster;
mod faults;
mod forger;
mod honest;
mod hostile;
pub mod peer;
pub mod random;
mod replicas;
mod shim;
mod short_stays;
mod stalls;

use std::io::ErrorKind;
use std::ops::Range;

use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::engine::Engine;

use among_hostile::Hostiles;
use check::Strictness;
use peer::Peer;
use random::Random;

const TICK_RATE_HZ: u64 = 60;
const SEEDS_BY_DEFAULT: u64 = 12;
const PLAYERS_MAX: usize = 60;
const CHAOS_TICKS: u64 = 40 * TICK_RATE_HZ;
/// Covers a sync interval, the loading time of the first sprite, a keyframe and an interest update.
const SETTLE_TICKS: u64 = 10 * TICK_RATE_HZ;

/// The state of one run.
struct Simulation {
    seed: u64,
    random: Random,
    tick: u64,
    engine: Engine,
    metrics: Metrics,
    peers: Vec<Peer>,
    hostiles: Hostiles,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self::with(seed, Random::new(seed), Config::default())
    }

    /// One of the worlds of a seed, with its own random generator.
    fn with(seed: u64, mut random: Random, config: Config) -> Self {
        let mut config = Config { spawn_seed: Some(seed), ..config };
        // Ranges from all players visible to many more candidates than capacity. Never more than the players
        // of one world: a larger snapshot would take longer on these sockets.
        config.max_visible = [6, 20, 128][random.below(3) as usize].min(PLAYERS_MAX);
        config.spawn_max_x = [300, 900, 2000][random.below(3) as usize];
        config.spawn_max_y = config.spawn_max_x;
        let engine = Engine::new(&config, 0, 0);
        Self {
            seed,
            random,
            tick: 0,
            engine,
            metrics: Metrics::default(),
            peers: Vec::new(),
            hostiles: Hostiles::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.tick * 1000 / TICK_RATE_HZ
    }

    /// Runs one tick: clients act, the network delivers, the world steps, viewers are flushed.
    fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        let now_ms = self.now_ms();
        for peer in &mut self.peers {
            peer.act(now_ms, &mut self.random);
            let delivered =
                peer.deliver_to_server(now_ms, &mut self.engine, &mut self.metrics, &mut self.random);
            peer.has_left |= delivered.is_err();
        }
        let (left, stayed) =
            std::mem::take(&mut self.peers).into_iter().partition(|peer: &Peer| peer.has_left);
        self.peers = stayed;
        for peer in left {
            let peer: Peer = peer;
            self.hostiles.save_hostile(&peer, &self.engine);
            self.engine.leave(peer.slot);
        }
        self.engine.step(1, &mut self.metrics);
        self.check_speed_limits();
        let peers = &self.peers;
        let mut can_be_written =
            |slot: u32| peers.iter().any(|peer| peer.slot == slot && peer.connection.is_write_ready());
        self.engine.begin_flush_round();
        let mut written: Vec<(u32, Vec<u8>)> = Vec::new();
        while !self.engine.viewers().is_flush_round_over() {
            self.engine.flush_batch(pool, &mut can_be_written, &mut self.metrics);
            while let Some((segment, frames)) = pool.batch().next_segment() {
                written.push((segment.slot, frames.to_vec()));
            }
        }
        for (slot, frames) in written {
            let peer = self.peers.iter_mut().find(|peer| peer.slot == slot);
            let peer = peer.expect("only writable viewers are flushed");
            peer.has_left |= peer.connection.write(&frames, now_ms, &mut self.metrics).is_err();
        }
        for peer in &mut self.peers {
            peer.transmit(now_ms, &mut self.random);
            peer.deliver_to_client(now_ms);
        }
    }

    /// Random joins, leaves, disconnects and client actions.
    fn act_randomly(&mut self) {
        let now_ms = self.now_ms();
        if self.peers.len() < PLAYERS_MAX && self.random.chance(8) {
            let mut out = Vec::new();
            let slot = self.engine.join(None, &mut out, &mut self.metrics);
            self.peers.push(Peer::new(slot, &out, &self.engine, now_ms, &mut self.random));
        }
        if self.peers.len() > 2 && self.random.chance(150) {
            let index = self.random.below(self.peers.len() as u64) as usize;
            if self.random.chance(2) {
                self.peers[index].has_left = true;
            } else {
                let kinds = [ErrorKind::ConnectionReset, ErrorKind::TimedOut];
                self.peers[index].connection.stream.break_with(kinds[self.random.below(2) as usize]);
            }
        }
        for peer in &mut self.peers {
            peer.act_randomly(now_ms, &mut self.random);
        }
    }

    fn run(mut self) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            for _ in 0..CHAOS_TICKS {
                self.act_randomly();
                self.step(&mut pool);
            }
            // First no client acts any more, but drifting players keep moving.
            let now_ms = self.now_ms();
            for peer in &mut self.peers {
                peer.settle(now_ms, &mut self.random);
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool));
            self.check(Strictness::SomeMoving);
            let now_ms = self.now_ms();
            for peer in &mut self.peers {
                peer.halt(now_ms, &mut self.random);
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool));
            self.check(Strictness::AllStopped);
        });
    }

    fn check(&self, strictness: Strictness) {
        assert!(self.peers.len() > 5, "seed {}: too few players for a meaningful check", self.seed);
        for peer in &self.peers {
            if peer.hostile.is_some() {
                continue;
            }
            let hostile = &self.hostiles.ids;
            if let Err(difference) = check::check(peer, &self.engine, hostile, self.now_ms(), strictness) {
                let player = peer.replica.own_id();
                panic!(
                    "SIMULATION_SEED={}: {strictness:?}, replica of player {player:?}: {difference}",
                    self.seed
                );
            }
        }
        let dropped = if self.hostiles.target_count == 0 { self.metrics.rate_limited_total } else { 0 };
        let faults = self.metrics.protocol_errors.total() + dropped;
        assert_eq!(faults, 0, "SIMULATION_SEED={}: messages of honest clients were refused", self.seed);
    }
}

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS_BY_DEFAULT),
    }
}

#[test]
fn every_replica_is_correct_after_settling() {
    for seed in seeds() {
        Simulation::new(seed).run();
    }
}
