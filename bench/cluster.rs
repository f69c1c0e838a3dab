//! What it costs one process to tell of its players, and another one to hear of them: rounds 50 ms apart in which a tenth of all
//! players turn, as they do who send two MOVEs a second.

mod crowd;
mod quick;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Throughput};
use pixi_game_server::cluster::region::RegionSet;
use pixi_game_server::cluster::{Node, Now, Outgoing};
use pixi_game_server::limits::{LEASE_IDS, PLAYER_ID_FIRST};
use pixi_game_server::world::World;

/// Ticks of a round.
const TICKS: u32 = 3;

/// One player in so many turns in a round.
const TURNS_ONE_IN: usize = 10;

fn main() {
    let mut criterion = quick::criterion();
    for is_hearing in [false, true] {
        let mut group = criterion.benchmark_group("cluster");
        for players in crowd::POPULATIONS {
            let mut pair = Pair::new(players);
            group.throughput(Throughput::Elements(players as u64));
            let name = if is_hearing { "hear a round" } else { "tell a round" };
            group.bench_function(BenchmarkId::new(name, players), |bencher| {
                bencher.iter_custom(|rounds| pair.run(rounds, is_hearing));
            });
            assert_eq!(pair.there.ghosts(), players, "everybody is known there");
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A process with all the players, and one that shows them.
struct Pair {
    here: World,
    there: World,
    speaker: Node,
    listener: Node,
    round: u64,
    random: crowd::Random,
}

impl Pair {
    fn new(players: usize) -> Self {
        let rules = crowd::rules();
        let size = (rules.width, rules.height);
        let [mut speaker, listener] = [1, 2].map(|id| Node::new(id, format!("node-{id}"), size));
        let mut random = crowd::Random::new();
        let (mut here, there) = (World::new(rules.clone()), World::new(rules));
        here.require_granted_ids();
        assert!(speaker.grant(
            PLAYER_ID_FIRST..PLAYER_ID_FIRST + LEASE_IDS,
            Now { ms: 0, unix_us: 0 },
            &mut here
        ));
        crowd::populate(&mut here, players, &mut random);
        let mut pair = Self { here, there, speaker, listener, round: 0, random };
        let mut all = RegionSet::empty(pair.listener.regions());
        (0..pair.listener.regions().count() as u32).for_each(|region| all.insert(region));
        let (now, mut out) = (pair.now(), Vec::new());
        pair.listener.update_subscriptions(&all, now, &mut pair.there, &mut out);
        // Who has heard of nobody tells nobody.
        pair.listener.publish_due(&pair.there, now, &mut out);
        for Outgoing { bytes, .. } in out {
            pair.speaker.receive(&bytes, now, &mut pair.here);
        }
        pair
    }

    fn now(&self) -> Now {
        Now { ms: self.round * 50, unix_us: self.round * 50_000 }
    }

    /// So many rounds; the time that one side takes for them.
    fn run(&mut self, rounds: u64, is_hearing: bool) -> Duration {
        let mut elapsed = Duration::ZERO;
        for _ in 0..rounds {
            self.round += 1;
            for slot in 0..self.here.slots() {
                if (slot + self.round as usize).is_multiple_of(TURNS_ONE_IN) {
                    self.here.apply(slot as u32, crowd::walk(self.random.direction()));
                }
            }
            self.here.step(TICKS);
            self.there.step(TICKS);
            // It goes on speaking as long as it hears of the other one.
            let (now, mut beats) = (self.now(), Vec::new());
            self.listener.publish_due(&self.there, now, &mut beats);
            for Outgoing { bytes, .. } in beats {
                self.speaker.receive(&bytes, now, &mut self.here);
            }
            let mut said = Vec::new();
            let start = Instant::now();
            black_box(&mut self.speaker).publish_due(&self.here, now, &mut said);
            if !is_hearing {
                elapsed += start.elapsed();
            }
            let start = Instant::now();
            for Outgoing { bytes, .. } in &said {
                black_box(&mut self.listener).receive(bytes, now, &mut self.there);
            }
            if is_hearing {
                elapsed += start.elapsed();
            }
        }
        elapsed
    }
}
