//! A seeded simulation of the whole server on a machine in memory ([`machine`]).
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
//! A failure prints the seeds up to its own: `SIMULATION_SEED=<seed> cargo test simulation` repeats that run.
//! `SIMULATION_SEEDS=1000` runs more seeds than the default.

mod among_hostile;
mod amplification;
mod arena;
mod check;
mod client;
mod cluster;
mod crowd;
mod faults;
mod forger;
mod handover;
mod honest;
mod hostile;
pub mod machine;
mod operator;
pub mod peer;
mod replicas;
mod restored_quality;
mod short_stays;
mod stalls;

use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::{Closed, Metrics};
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::Census;
use pixi_game_server::server::core::engine::Engine;

use among_hostile::Hostiles;
use check::Strictness;
use machine::random::Random;
use machine::{Host, NS_PER_MS};
use peer::Peer;

const TICK_RATE_HZ: u64 = 60;
const SEEDS_BY_DEFAULT: u64 = 12;
const PLAYERS_MAX: usize = 60;
const CHAOS_TICKS: u64 = 40 * TICK_RATE_HZ;
/// Covers a sync interval, the loading time of the first sprite, a keyframe and an interest update.
const SETTLE_TICKS: u64 = 22 * TICK_RATE_HZ;

/// Time after which the server has forgotten every client that is gone, in ticks.
const FAREWELL_TICKS: u64 = 5 * TICK_RATE_HZ;

/// Ticks between two handovers to another process, on average.
const HANDOVER_ONE_IN: u64 = 150;

/// Milliseconds from a tick to the moment in between at which clients' bytes arrive.
const BETWEEN_TICKS_MS: u64 = 8;

/// Bytes of pending replies above which a connection is not read: a few acks.
const REPLIES_BYTES_MAX: usize = 100;

/// The state of one run.
struct Simulation {
    random: Random,
    host: Host,
    peers: Vec<Peer>,
    hostiles: Hostiles,
    /// Cookies of the clients that are gone.
    cookies: Vec<String>,
    /// Responses that granted an upgrade.
    upgrades: u64,
    /// Frames that arrived.
    frames: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self::with(seed, Random::new(seed), Config::default(), |config| Host::new(seed, config))
    }

    /// One of the servers of a seed, with its own random generator.
    fn with(seed: u64, mut random: Random, config: Config, start: impl FnOnce(Config) -> Host) -> Self {
        let mut config = Config { spawn_seed: Some(seed), write_buffer_bytes: REPLIES_BYTES_MAX, ..config };
        // Ranges from all players visible to many more candidates than capacity. Never more than the players
        // of one world: a larger snapshot would take longer on these sockets.
        config.max_visible = [6, 20, 128][random.below(3) as usize].min(PLAYERS_MAX);
        config.spawn_max_x = [300, 900, 2000][random.below(3) as usize];
        config.spawn_max_y = config.spawn_max_x;
        Self {
            random,
            host: start(config),
            peers: Vec::new(),
            hostiles: Hostiles::default(),
            cookies: Vec::new(),
            upgrades: 0,
            frames: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    fn engine(&self) -> &Engine {
        self.host.core.engine()
    }

    fn metrics(&self) -> &Metrics {
        self.host.core.metrics()
    }

    /// Runs until just after the next tick: clients act, the network delivers, the server runs.
    fn step(&mut self, pool: &mut Pool) {
        let now_ms = self.now_ms();
        for peer in &mut self.peers {
            peer.act(now_ms, &mut self.random);
        }
        if self.host.has_handovers && self.random.chance(HANDOVER_ONE_IN) {
            self.host.hand_over(pool);
        }
        self.exchange(|host| host.run_for(BETWEEN_TICKS_MS * NS_PER_MS, pool));
        self.exchange(|host| host.run_for(host.next_tick_ns() + NS_PER_MS, pool));
        self.check_speed_limits();
    }

    /// A tick in which the process does not run, but its clients and the network do.
    fn step_suspended(&mut self) {
        let now_ms = self.now_ms();
        for peer in &mut self.peers {
            peer.act(now_ms, &mut self.random);
        }
        self.exchange(|host| host.suspend(1_000 * NS_PER_MS / TICK_RATE_HZ));
    }

    /// Delivers what has arrived in both directions, and lets time pass in between.
    fn exchange(&mut self, pass: impl FnOnce(&mut Host)) {
        let now_ms = self.now_ms();
        for peer in &mut self.peers {
            peer.deliver_to_server(now_ms, &mut self.random);
        }
        pass(&mut self.host);
        let now_ms = self.now_ms();
        for peer in &mut self.peers {
            peer.transmit(now_ms, &mut self.random);
            peer.deliver_to_client(now_ms, &mut self.random);
            peer.has_left |= peer.stream.is_closed;
        }
        for peer in self.peers.extract_if(.., |peer| peer.has_left) {
            peer.pipe.borrow_mut().close();
            self.upgrades += u64::from(peer.stream.status == Some(101));
            self.frames += peer.stream.frames.values().sum::<u64>();
            self.hostiles.forget(&peer);
            if peer.hostile.is_none() {
                self.cookies.extend(peer.stream.cookie);
            }
        }
    }

    /// Connects a client: a new one, one that returns, or another tab of a browser that is connected.
    fn join(&mut self) {
        // The reconnects of hostile players are counted, so honest ones don't reconnect among them.
        let cookie = match self.random.below(6) {
            _ if self.hostiles.target_count > 0 => None,
            0 | 1 => self.cookies.pop(),
            2 => {
                let index = self.random.below(self.peers.len() as u64 + 1) as usize;
                self.peers
                    .get(index)
                    .filter(|peer| peer.hostile.is_none())
                    .and_then(|peer| peer.stream.cookie.clone())
            }
            _ => None,
        };
        let peer = Peer::connect(&mut self.host, cookie.as_deref(), &mut self.random);
        self.peers.push(peer);
    }

    /// Random joins, leaves, disconnects and client actions.
    fn act_randomly(&mut self) {
        let now_ms = self.now_ms();
        if self.peers.len() < PLAYERS_MAX && self.random.chance(8) {
            self.join();
        }
        if self.peers.len() > 2 && self.random.chance(150) {
            let index = self.random.below(self.peers.len() as u64) as usize;
            self.peers[index].leave(&mut self.random);
        }
        for peer in &mut self.peers {
            peer.act_randomly(now_ms, &mut self.random);
        }
    }

    fn run(mut self) {
        self.host.has_handovers = true;
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
            self.check_counters();
            self.part(&mut pool);
        });
    }

    /// All clients leave, and the server forgets them.
    fn part(&mut self, pool: &mut Pool) {
        for peer in &mut self.peers {
            peer.leave(&mut self.random);
        }
        (0..FAREWELL_TICKS).for_each(|_| self.step(pool));
        self.check_counters();
        let closed = self.metrics().closed.total();
        assert_eq!(self.host.core.census(), Census::default());
        assert_eq!(closed, self.metrics().connections_upgraded_total);
    }

    /// Checks that the server's counters are those of the simulation.
    fn check_counters(&self) {
        let (metrics, machine) = (self.metrics(), self.host.core.system());
        let census = self.host.core.census();
        let closed = metrics.closed.total();
        assert_eq!(metrics.connections_accepted_total, machine.accepted);
        assert_eq!(metrics.bytes_in_total, machine.kernel.bytes_in.get());
        assert_eq!(metrics.bytes_out_total, machine.kernel.bytes_out.get());
        assert_eq!(census.connections, machine.kernel.open.get());
        assert_eq!(metrics.connections_upgraded_total, closed + census.players as u64);
        // A connection may break before the client has received what was sent to it.
        let upgrades =
            self.upgrades + self.peers.iter().filter(|peer| peer.stream.status == Some(101)).count() as u64;
        assert!(upgrades <= metrics.connections_upgraded_total);
        let frames =
            self.frames + self.peers.iter().flat_map(|peer| peer.stream.frames.values()).sum::<u64>();
        assert!(frames <= metrics.frames_out.total());
        assert_eq!(metrics.refused.total(), 0, "{:?}", metrics.refused);
    }

    fn check(&self, strictness: Strictness) {
        assert!(self.peers.len() > 5, "too few players for a meaningful check");
        let dropped = if self.hostiles.target_count == 0 { self.metrics().rate_limited_total } else { 0 };
        let faults = self.metrics().protocol_errors.total() + dropped;
        assert_eq!(faults, 0, "messages of honest clients were refused");
        for peer in self.peers.iter().filter(|peer| peer.hostile.is_none()) {
            let hostile = &self.hostiles.ids;
            if let Err(difference) = check::check(peer, self.engine(), hostile, self.now_ms(), strictness) {
                let player = peer.replica.own_id();
                panic!("{strictness:?}, replica of player {player:?}: {difference}");
            }
        }
        let expected = [Closed::ByPeer, Closed::Reset, Closed::Left, Closed::TakenOver];
        let expected = expected.map(|reason| self.metrics().closed[reason]).iter().sum::<u64>();
        let all: Vec<_> = self.metrics().closed.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(self.metrics().closed.total(), expected, "{all:?}");
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS_BY_DEFAULT),
    };
    seeds.inspect(|seed| println!("SIMULATION_SEED={seed}"))
}

#[test]
fn every_replica_is_correct_after_settling() {
    for seed in seeds() {
        Simulation::new(seed).run();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let fingerprint = || {
        let mut simulation = Simulation::new(7);
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            for _ in 0..CHAOS_TICKS / 2 {
                simulation.act_randomly();
                simulation.step(&mut pool);
            }
        });
        let machine = simulation.host.core.system();
        machine.kernel.fingerprints.take()
    };
    assert_eq!(fingerprint(), fingerprint());
}
