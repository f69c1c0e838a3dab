//! Three worlds joined by a bus that loses, doubles and reorders, and that falls apart for seconds. After it has been quiet for a
//! while, every picture must be that of its own world, and every world the same as the others wherever it looks.

use std::collections::{BTreeMap, BTreeSet};

use pixi_game_server::admission::rate::Verdict;
use pixi_game_server::cluster::{Channel, Node, Now, Outgoing, Received};
use pixi_game_server::config::Config;
use pixi_game_server::limits::{IDS_LEAD_MAX, LEASE_IDS};
use pixi_game_server::ops::metrics::{FrameOut, Metrics};
use pixi_game_server::ops::secret::Secret;
use pixi_game_server::replication::Viewer;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::wire::message::ClientMessage;
use pixi_game_server::wire::websocket::Event;
use pixi_game_server::world::{GhostUpdate, Position, World};

use super::check::Strictness;
use super::forger::forge;
use super::peer::Peer;
use super::random::Random;
use super::{SETTLE_TICKS, Simulation, TICK_RATE_HZ, seeds};

const WORLDS: usize = 3;
const WILD_TICKS: u64 = 25 * TICK_RATE_HZ;

/// Ticks between two rounds of a process.
const ROUND_TICKS: u64 = 3;

/// One process, its bus included.
struct Process {
    simulation: Simulation,
    node: Node,
    /// What has arrived, and when it is heard.
    inbox: BTreeMap<(u64, u64), Vec<u8>>,
    listens_to: BTreeSet<Channel>,
    cut_off_until: u64,
    frozen_until: u64,
}

impl Process {
    fn new(seed: u64, number: usize) -> Self {
        // Who is in a cluster gets its ids from there.
        let config = Config { cluster_url: Some(Secret::new("")), ..Config::default() };
        let mut simulation = Simulation::with(seed, Random::new(seed * 10 + number as u64), config);
        let rules = simulation.game.world().rules();
        let mut node = Node::new(number as u64 + 1, format!("node-{number}"), (rules.width, rules.height));
        // Those of the last process are the lowest: whoever joins there meets higher ones.
        let first = 1_001 + (WORLDS - number) as u32 * LEASE_IDS;
        let now = Now { ms: 0, unix_us: 0 };
        assert!(simulation.game.grant_ids(&mut node, first..first + LEASE_IDS, now), "a plausible lease");
        let listens_to = BTreeSet::from([Channel::All]);
        Self { simulation, node, inbox: BTreeMap::new(), listens_to, cut_off_until: 0, frozen_until: 0 }
    }

    fn now(&self) -> Now {
        let ms = self.simulation.now_ms();
        Now { ms, unix_us: ms * 1_000 }
    }

    fn world(&self) -> &World {
        self.simulation.game.world()
    }

    /// One tick, and what it says.
    fn step(&mut self, tick: u64, is_lied_to: bool, pool: &mut Pool) -> Vec<Outgoing> {
        let now = self.now();
        while let Some(entry) = self.inbox.first_entry().filter(|entry| entry.key().0 <= tick) {
            let heard = self.simulation.game.receive_bus_message(&mut self.node, &entry.remove(), now);
            assert!(is_lied_to || !matches!(heard, Received::Refused(_)), "{heard:?}");
        }
        self.simulation.step(pool);
        let (now, mut out) = (self.now(), Vec::new());
        if tick.is_multiple_of(ROUND_TICKS) {
            self.simulation.game.publish(&mut self.node, now, &mut out);
        }
        if self.simulation.game.update_peers(&mut self.node, now, &mut out).0 {
            self.listens_to = self.node.remote().subscriptions().iter().map(Channel::Region).collect();
            self.listens_to.insert(Channel::All);
        }
        out
    }
}

struct Cluster {
    seed: u64,
    random: Random,
    tick: u64,
    processes: Vec<Process>,
    sent: u64,
    /// A liar is on the bus in the wild time.
    has_forger: bool,
}

impl Cluster {
    fn new(seed: u64, has_forger: bool) -> Self {
        let processes = (0..WORLDS).map(|number| Process::new(seed, number)).collect();
        Self { seed, random: Random::new(seed ^ 0xc1u64), tick: 0, processes, sent: 0, has_forger }
    }

    fn step(&mut self, pool: &mut Pool, is_wild: bool) {
        self.tick += 1;
        for from in 0..WORLDS {
            if self.tick < self.processes[from].frozen_until {
                continue;
            }
            let said = self.processes[from].step(self.tick, self.has_forger, pool);
            let is_cut_off = self.tick < self.processes[from].cut_off_until;
            for Outgoing { channel, bytes } in said {
                for to in 0..WORLDS {
                    let is_reached = !is_cut_off && self.tick >= self.processes[to].cut_off_until;
                    if is_reached && self.processes[to].listens_to.contains(&channel) {
                        self.carry(to, &bytes, is_wild);
                    }
                    if is_wild && self.has_forger && self.random.chance(20) {
                        let ids = self.player_ids();
                        let forged = forge(&bytes, &ids, WORLDS as u64, &mut self.random);
                        self.carry(to, &forged, true);
                    }
                }
            }
        }
    }

    fn player_ids(&self) -> Vec<u32> {
        let own = |process: &Process| all_updates(process.world(), false).into_keys().collect::<Vec<_>>();
        self.processes.iter().flat_map(own).chain([1_001]).collect()
    }

    /// What must hold however the bus lies: nobody is there twice, no ghost has an id of the node's own, and all are inside.
    fn require_sane(&self) {
        for process in &self.processes {
            let (own, ghosts) = (all_updates(process.world(), false), all_updates(process.world(), true));
            assert_eq!(
                own.len() + ghosts.len(),
                process.world().population(),
                "SIMULATION_SEED={}",
                self.seed
            );
            for (id, ghost) in &ghosts {
                let is_sane =
                    !process.node.ids().is_own(*id) && ghost.position.x <= 2_000 && ghost.position.y <= 2_000;
                assert!(is_sane, "SIMULATION_SEED={}: {ghost:?}", self.seed);
            }
            assert!(
                process.node.ids().end() < 1_001 + IDS_LEAD_MAX + 6 * LEASE_IDS,
                "SIMULATION_SEED={}",
                self.seed
            );
        }
    }

    /// The bus: in the wild time it loses a message in ten, doubles one in ten, and holds each for up to a second.
    fn carry(&mut self, to: usize, bytes: &[u8], is_wild: bool) {
        let copies = match self.random.below(10) {
            0 if is_wild => 0,
            1 if is_wild => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let held = match self.random.below(4) {
                _ if !is_wild => 0,
                0 => self.random.below(60),
                _ => self.random.below(2),
            };
            self.sent += 1;
            self.processes[to].inbox.insert((self.tick + 1 + held, self.sent), bytes.to_vec());
        }
    }

    fn stir(&mut self) {
        for at in 0..WORLDS {
            self.processes[at].simulation.stir();
            if self.random.chance(600) {
                self.processes[at].cut_off_until = self.tick + self.random.below(6 * TICK_RATE_HZ);
            }
            if self.random.chance(1_500) {
                // Stopped, it lags behind the others' clocks from then on; what is said to it waits.
                self.processes[at].frozen_until = self.tick + self.random.below(5 * TICK_RATE_HZ);
            }
        }
    }

    fn run(mut self) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            for _ in 0..WILD_TICKS {
                self.stir();
                self.step(&mut pool, true);
                self.require_sane();
            }
            for process in &mut self.processes {
                (process.cut_off_until, process.frozen_until) = (0, 0);
                let now_ms = process.simulation.now_ms();
                for peer in &mut process.simulation.peers {
                    peer.calm_down(now_ms, &mut process.simulation.random);
                }
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool, false));
            self.check(Strictness::SomeStillWalk);
            for process in &mut self.processes {
                let now_ms = process.simulation.now_ms();
                for peer in &mut process.simulation.peers {
                    peer.stand_still(now_ms, &mut process.simulation.random);
                }
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool, false));
            self.check(Strictness::AllStand);
        });
    }

    fn check(&self, strictness: Strictness) {
        for process in &self.processes {
            process.simulation.check(strictness);
        }
        for (here, process) in self.processes.iter().enumerate() {
            let mut ghosts: BTreeMap<u32, GhostUpdate> = all_updates(process.world(), true);
            assert!(
                !ghosts.is_empty(),
                "SIMULATION_SEED={}: nobody of the other worlds to compare",
                self.seed
            );
            for (there, other) in self.processes.iter().enumerate().filter(|&(there, _)| there != here) {
                for (id, truth) in all_updates(other.world(), false) {
                    let ghost = ghosts.remove(&id);
                    if let Err(difference) = self.compare(process, truth, ghost, strictness) {
                        panic!(
                            "SIMULATION_SEED={}: {strictness:?}, world {here}, player {id} of {there}: {difference}",
                            self.seed
                        );
                    }
                }
            }
            assert!(ghosts.is_empty(), "SIMULATION_SEED={}: world {here}: nobody has {ghosts:?}", self.seed);
        }
    }

    fn compare(
        &self,
        process: &Process,
        truth: GhostUpdate,
        ghost: Option<GhostUpdate>,
        strictness: Strictness,
    ) -> Result<(), String> {
        let region = self.processes[0].node.regions().of(truth.position);
        let Some(ghost) = ghost else {
            let is_wanted = process.node.remote().subscriptions().contains(region);
            // Who walks over a border may be told of there in a moment.
            return if is_wanted && strictness == Strictness::AllStand {
                Err("missing".to_owned())
            } else {
                Ok(())
            };
        };
        let off = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
        let units = off(ghost.position.x, truth.position.x).max(off(ghost.position.y, truth.position.y));
        // The bus takes ticks, clocks differ, and a walker goes on meanwhile.
        let tolerance = if strictness == Strictness::AllStand { 0 } else { 24 };
        if units > tolerance {
            return Err(format!("{units} units off: {ghost:?}, {truth:?}"));
        }
        let looks = |told: GhostUpdate| (told.vector, told.faces_right, told.attacks);
        if looks(ghost) != looks(truth) {
            return Err(format!("{ghost:?}, {truth:?}"));
        }
        Ok(())
    }
}

fn all_updates(world: &World, ghosts: bool) -> BTreeMap<u32, GhostUpdate> {
    let slots = 0..world.slots() as u32;
    let those = slots.filter(|&slot| world.id(slot).is_some() && world.is_ghost(slot) == ghosts);
    those.map(|slot| world.ghost_update(slot, world.tick())).map(|told| (told.id, told)).collect()
}

#[test]
fn every_view_of_three_joined_worlds_is_right_after_it_settles() {
    for seed in seeds() {
        Cluster::new(seed, false).run();
    }
}

#[test]
fn whatever_a_liar_on_the_bus_does_is_over_soon_after_it() {
    for seed in seeds() {
        Cluster::new(seed, true).run();
    }
}

/// Ticks from one player that passes to the next: a few are in view at a time, fewer than the smallest view has places.
const PASSING_TICKS: u64 = 20;

impl Process {
    fn act(&mut self, slot: u32, message: ClientMessage) {
        let Simulation { game, metrics, .. } = &mut self.simulation;
        let ending =
            game.handle_event(slot, &Event::Message(message), Verdict::Accept, &mut Vec::new(), metrics);
        assert_eq!(ending, None);
    }

    /// Whether the watcher's rectangle holds this place.
    fn is_watched(&self, place: Position) -> bool {
        let slot = self.simulation.peers[0].slot;
        let (half_width, half_height) =
            self.simulation.game.viewers().viewer(slot).and_then(Viewer::half_sides).expect("a rectangle");
        let here = self.world().position(slot);
        let off = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
        off(here.x, place.x) <= half_width && off(here.y, place.y) <= half_height
    }

    fn join_watcher(&mut self) {
        let now_ms = self.simulation.now_ms();
        let Simulation { game, metrics, peers, random, .. } = &mut self.simulation;
        let mut out = Vec::new();
        let slot = game.join(None, &mut out, metrics);
        peers.push(Peer::new(slot, &out, game, now_ms, random));
    }
}

#[test]
fn an_attack_is_seen_in_every_world_however_soon_the_attacker_goes() {
    const PASSING: u64 = 30;
    let (mut cluster, mut expected) = (Cluster::new(1, false), [0; 2]);
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
        (0..2).for_each(|world| cluster.processes[world].join_watcher());
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
        for (world, process) in cluster.processes[..2].iter_mut().enumerate() {
            let slot = process.simulation.peers[0].slot;
            process.act(slot, ClientMessage::Viewport { width: u16::MAX, height: u16::MAX });
            assert_eq!(process.simulation.metrics.frames_out[FrameOut::Attack], 0, "world {world}");
        }
        (0..TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
        for n in 0..PASSING {
            let slot =
                cluster.processes[0].simulation.game.join(None, &mut Vec::new(), &mut Metrics::default());
            cluster.processes[0].act(slot, ClientMessage::Attack);
            let place = cluster.processes[0].world().position(slot);
            for (count, process) in expected.iter_mut().zip(&cluster.processes) {
                *count += u64::from(process.is_watched(place));
            }
            if n % 2 == 0 {
                cluster.processes[0].act(slot, ClientMessage::AttackEnd);
            }
            // Within the tick, or within three.
            (0..n % 3).for_each(|_| cluster.step(&mut pool, false));
            cluster.processes[0].simulation.game.leave(slot);
            (0..PASSING_TICKS).for_each(|_| cluster.step(&mut pool, false));
        }
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
    });
    for (world, process) in cluster.processes[..2].iter().enumerate() {
        let frames = &process.simulation.metrics.frames_out;
        assert!(expected[world] > PASSING / 3, "world {world}: too few to prove anything");
        assert_eq!(frames[FrameOut::Attack], expected[world], "world {world}");
        assert_eq!(process.simulation.peers[0].replica.violations(), [], "world {world}");
        assert_eq!(process.world().population(), 2, "world {world}: two watchers, and nobody lingers");
    }
}
