//! The cost of a publish round for the owner, and for the node that receives it. Rounds are 50 ms apart, and a tenth of all
//! players turn in each, as players do that send two MOVEs per second.

mod crowd;
mod quick;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Throughput};
use pixi_game_server::cluster::region::RegionSet;
use pixi_game_server::cluster::status::Status;
use pixi_game_server::cluster::{Node, Now, Outgoing};
use pixi_game_server::limits::{LEASE_IDS, PLAYER_ID_FIRST};
use pixi_game_server::world::World;

/// Ticks per round.
const TICKS: u32 = 3;

/// One player in this many turns per round.
const TURNS_ONE_IN: usize = 10;

fn main() {
    let mut criterion = quick::criterion();
    for is_receiving in [false, true] {
        let mut group = criterion.benchmark_group("cluster");
        for players in crowd::POPULATIONS {
            let mut pair = Pair::new(players);
            group.throughput(Throughput::Elements(players as u64));
            let name = if is_receiving { "receive a round" } else { "publish a round" };
            group.bench_function(BenchmarkId::new(name, players), |bencher| {
                bencher.iter_custom(|rounds| pair.run(rounds, is_receiving));
            });
            assert_eq!(pair.there.ghosts(), players, "the receiver has a ghost of every player");
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A node that owns all players, and a node that has ghosts of them.
struct Pair {
    here: World,
    there: World,
    publisher: Node,
    receiver: Node,
    round: u64,
    random: crowd::Random,
}

impl Pair {
    fn new(players: usize) -> Self {
        let rules = crowd::rules();
        let size = (rules.width, rules.height);
        let [mut publisher, receiver] = [1, 2].map(|id| Node::new(id, format!("node-{id}"), size));
        let mut random = crowd::Random::new();
        let (mut here, there) = (World::new(rules.clone()), World::new(rules));
        here.require_granted_ids();
        assert!(publisher.grant(
            PLAYER_ID_FIRST..PLAYER_ID_FIRST + LEASE_IDS,
            Now { ms: 0, unix_us: 0 },
            &mut here
        ));
        crowd::populate(&mut here, players, &mut random);
        let mut pair = Self { here, there, publisher, receiver, round: 0, random };
        let mut all = RegionSet::empty(pair.receiver.regions());
        (0..pair.receiver.regions().count() as u32).for_each(|region| all.insert(region));
        let (now, mut out) = (pair.now(), Vec::new());
        pair.receiver.update_subscriptions(&all, now, &mut pair.there, &mut out);
        // A node without known peers publishes nothing, so it must receive one round first.
        pair.receiver.publish_due(&pair.there, Some(Status::default()), now, &mut out);
        for Outgoing { bytes, .. } in out {
            pair.publisher.receive(&bytes, now, &mut pair.here);
        }
        pair
    }

    fn now(&self) -> Now {
        Now { ms: self.round * 50, unix_us: self.round * 50_000 }
    }

    /// Runs rounds. Returns the time that the measured side spent on them.
    fn run(&mut self, rounds: u64, is_receiving: bool) -> Duration {
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
            // The publisher stops without heartbeats of a peer.
            let (now, mut heartbeats) = (self.now(), Vec::new());
            self.receiver.publish_due(&self.there, Some(Status::default()), now, &mut heartbeats);
            for Outgoing { bytes, .. } in heartbeats {
                self.publisher.receive(&bytes, now, &mut self.here);
            }
            let mut published = Vec::new();
            let status = self.publisher.is_heartbeat_due(now).then(Status::default);
            let start = Instant::now();
            black_box(&mut self.publisher).publish_due(&self.here, status, now, &mut published);
            if !is_receiving {
                elapsed += start.elapsed();
            }
            let start = Instant::now();
            for Outgoing { bytes, .. } in &published {
                black_box(&mut self.receiver).receive(bytes, now, &mut self.there);
            }
            if is_receiving {
                elapsed += start.elapsed();
            }
        }
        elapsed
    }
}
