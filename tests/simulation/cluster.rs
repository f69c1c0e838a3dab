//! Three worlds joined by a bus that loses, duplicates and reorders messages, and that is partitioned for
//! seconds. Once the bus is reliable again, each replica must match its world, and each world the others in
//! the regions it sees.

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
const CHAOS_TICKS: u64 = 25 * TICK_RATE_HZ;

/// Ticks between two publications of a node.
const PUBLISH_TICKS: u64 = 3;

/// One node with its bus subscription.
struct ClusterNode {
    simulation: Simulation,
    node: Node,
    /// Messages on their way, by the tick in which they are received.
    inbox: BTreeMap<(u64, u64), Vec<u8>>,
    subscriptions: BTreeSet<Channel>,
    cut_off_until: u64,
    frozen_until: u64,
}

impl ClusterNode {
    fn new(seed: u64, number: usize) -> Self {
        // With a cluster URL, player ids come from the cluster's leases.
        let config = Config { cluster_url: Some(Secret::new("")), ..Config::default() };
        let mut simulation = Simulation::with(seed, Random::new(seed * 10 + number as u64), config);
        let rules = simulation.engine.world().rules();
        let mut node = Node::new(number as u64 + 1, format!("node-{number}"), (rules.width, rules.height));
        // The last node has the lowest ids, so its new players meet ghosts with higher ids.
        let first = 1_001 + (WORLDS - number) as u32 * LEASE_IDS;
        let now = Now { ms: 0, unix_us: 0 };
        assert!(
            simulation.engine.grant_ids(&mut node, first..first + LEASE_IDS, now),
            "the lease is plausible"
        );
        let subscriptions = BTreeSet::from([Channel::All]);
        Self { simulation, node, inbox: BTreeMap::new(), subscriptions, cut_off_until: 0, frozen_until: 0 }
    }

    fn now(&self) -> Now {
        let ms = self.simulation.now_ms();
        Now { ms, unix_us: ms * 1_000 }
    }

    fn world(&self) -> &World {
        self.simulation.engine.world()
    }

    /// Runs one tick; returns the published messages.
    fn step(&mut self, tick: u64, has_forger: bool, pool: &mut Pool) -> Vec<Outgoing> {
        let now = self.now();
        while let Some(entry) = self.inbox.first_entry().filter(|entry| entry.key().0 <= tick) {
            let received = self.simulation.engine.receive_bus_message(&mut self.node, &entry.remove(), now);
            assert!(has_forger || !matches!(received, Received::Refused(_)), "{received:?}");
        }
        self.simulation.step(pool);
        let (now, mut out) = (self.now(), Vec::new());
        if tick.is_multiple_of(PUBLISH_TICKS) {
            self.simulation.engine.publish(&mut self.node, now, &mut out);
        }
        if self.simulation.engine.update_peers(&mut self.node, now, &mut out).0 {
            self.subscriptions = self.node.remote().subscriptions().iter().map(Channel::Region).collect();
            self.subscriptions.insert(Channel::All);
        }
        out
    }
}

struct Cluster {
    seed: u64,
    random: Random,
    tick: u64,
    nodes: Vec<ClusterNode>,
    sent: u64,
    /// Whether a forger writes to the bus during the chaos phase.
    has_forger: bool,
}

impl Cluster {
    fn new(seed: u64, has_forger: bool) -> Self {
        let nodes = (0..WORLDS).map(|number| ClusterNode::new(seed, number)).collect();
        Self { seed, random: Random::new(seed ^ 0xc1u64), tick: 0, nodes, sent: 0, has_forger }
    }

    fn step(&mut self, pool: &mut Pool, is_chaotic: bool) {
        self.tick += 1;
        for from in 0..WORLDS {
            if self.tick < self.nodes[from].frozen_until {
                continue;
            }
            let published = self.nodes[from].step(self.tick, self.has_forger, pool);
            let is_cut_off = self.tick < self.nodes[from].cut_off_until;
            for Outgoing { channel, bytes } in published {
                for to in 0..WORLDS {
                    let is_reached = !is_cut_off && self.tick >= self.nodes[to].cut_off_until;
                    if is_reached && self.nodes[to].subscriptions.contains(&channel) {
                        self.deliver(to, &bytes, is_chaotic);
                    }
                    if is_chaotic && self.has_forger && self.random.chance(20) {
                        let ids = self.player_ids();
                        let forged = forge(&bytes, &ids, WORLDS as u64, &mut self.random);
                        self.deliver(to, &forged, true);
                    }
                }
            }
        }
    }

    fn player_ids(&self) -> Vec<u32> {
        let own = |member: &ClusterNode| all_updates(member.world(), false).into_keys().collect::<Vec<_>>();
        self.nodes.iter().flat_map(own).chain([1_001]).collect()
    }

    /// Checks the invariants under any forged input: ids are unique, ghosts have ids of other nodes, and
    /// positions are inside the world.
    fn check_invariants(&self) {
        for member in &self.nodes {
            let (own, ghosts) = (all_updates(member.world(), false), all_updates(member.world(), true));
            assert_eq!(
                own.len() + ghosts.len(),
                member.world().population(),
                "SIMULATION_SEED={}",
                self.seed
            );
            for (id, ghost) in &ghosts {
                let is_valid =
                    !member.node.ids().is_own(*id) && ghost.position.x <= 2_000 && ghost.position.y <= 2_000;
                assert!(is_valid, "SIMULATION_SEED={}: {ghost:?}", self.seed);
            }
            assert!(
                member.node.ids().end() < 1_001 + IDS_LEAD_MAX + 6 * LEASE_IDS,
                "SIMULATION_SEED={}",
                self.seed
            );
        }
    }

    /// Delivers a message over the bus. In the chaos phase, one in ten is lost, one in ten is duplicated, and
    /// each is delayed by up to a second.
    fn deliver(&mut self, to: usize, bytes: &[u8], is_chaotic: bool) {
        let copies = match self.random.below(10) {
            0 if is_chaotic => 0,
            1 if is_chaotic => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let held = match self.random.below(4) {
                _ if !is_chaotic => 0,
                0 => self.random.below(60),
                _ => self.random.below(2),
            };
            self.sent += 1;
            self.nodes[to].inbox.insert((self.tick + 1 + held, self.sent), bytes.to_vec());
        }
    }

    fn act_randomly(&mut self) {
        for at in 0..WORLDS {
            self.nodes[at].simulation.act_randomly();
            if self.random.chance(600) {
                self.nodes[at].cut_off_until = self.tick + self.random.below(6 * TICK_RATE_HZ);
            }
            if self.random.chance(1_500) {
                // A frozen node falls behind the clocks of the others, and its messages wait.
                self.nodes[at].frozen_until = self.tick + self.random.below(5 * TICK_RATE_HZ);
            }
        }
    }

    fn run(mut self) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            for _ in 0..CHAOS_TICKS {
                self.act_randomly();
                self.step(&mut pool, true);
                self.check_invariants();
            }
            for member in &mut self.nodes {
                (member.cut_off_until, member.frozen_until) = (0, 0);
                let now_ms = member.simulation.now_ms();
                for peer in &mut member.simulation.peers {
                    peer.settle(now_ms, &mut member.simulation.random);
                }
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool, false));
            self.check(Strictness::SomeMoving);
            for member in &mut self.nodes {
                let now_ms = member.simulation.now_ms();
                for peer in &mut member.simulation.peers {
                    peer.halt(now_ms, &mut member.simulation.random);
                }
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool, false));
            self.check(Strictness::AllStopped);
        });
    }

    fn check(&self, strictness: Strictness) {
        for member in &self.nodes {
            member.simulation.check(strictness);
        }
        for (here, member) in self.nodes.iter().enumerate() {
            let mut ghosts: BTreeMap<u32, GhostUpdate> = all_updates(member.world(), true);
            assert!(
                !ghosts.is_empty(),
                "SIMULATION_SEED={}: no player of the other worlds to compare",
                self.seed
            );
            for (there, other) in self.nodes.iter().enumerate().filter(|&(there, _)| there != here) {
                for (id, truth) in all_updates(other.world(), false) {
                    let ghost = ghosts.remove(&id);
                    if let Err(difference) = self.compare(member, truth, ghost, strictness) {
                        panic!(
                            "SIMULATION_SEED={}: {strictness:?}, world {here}, player {id} of {there}: {difference}",
                            self.seed
                        );
                    }
                }
            }
            assert!(
                ghosts.is_empty(),
                "SIMULATION_SEED={}: world {here}: no node owns {ghosts:?}",
                self.seed
            );
        }
    }

    fn compare(
        &self,
        member: &ClusterNode,
        truth: GhostUpdate,
        ghost: Option<GhostUpdate>,
        strictness: Strictness,
    ) -> Result<(), String> {
        let region = self.nodes[0].node.regions().of(truth.position);
        let Some(ghost) = ghost else {
            let is_wanted = member.node.remote().subscriptions().contains(region);
            // The ghost of a player near a region border may not have been published yet.
            return if is_wanted && strictness == Strictness::AllStopped {
                Err("missing".to_owned())
            } else {
                Ok(())
            };
        };
        let off = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
        let units = off(ghost.position.x, truth.position.x).max(off(ghost.position.y, truth.position.y));
        // The bus has a latency, clocks differ, and the player keeps walking.
        let tolerance = if strictness == Strictness::AllStopped { 0 } else { 24 };
        if units > tolerance {
            return Err(format!("{units} units off: {ghost:?}, {truth:?}"));
        }
        let visible_state = |update: GhostUpdate| (update.vector, update.faces_right, update.attacks);
        if visible_state(ghost) != visible_state(truth) {
            return Err(format!("{ghost:?}, {truth:?}"));
        }
        Ok(())
    }
}

fn all_updates(world: &World, ghosts: bool) -> BTreeMap<u32, GhostUpdate> {
    let slots = 0..world.slots() as u32;
    let occupied = slots.filter(|&slot| world.id(slot).is_some() && world.is_ghost(slot) == ghosts);
    occupied.map(|slot| world.ghost_update(slot, world.tick())).map(|update| (update.id, update)).collect()
}

#[test]
fn replicas_and_ghosts_of_three_nodes_are_correct_after_settling() {
    for seed in seeds() {
        Cluster::new(seed, false).run();
    }
}

#[test]
fn the_effects_of_a_forger_on_the_bus_end_soon_after_it_stops() {
    for seed in seeds() {
        Cluster::new(seed, true).run();
    }
}

/// Ticks between two visitors: fewer are visible at a time than the smallest interest set holds.
const VISITOR_TICKS: u64 = 20;

impl ClusterNode {
    fn act(&mut self, slot: u32, message: ClientMessage) {
        let Simulation { engine, metrics, .. } = &mut self.simulation;
        let ending =
            engine.handle_event(slot, &Event::Message(message), Verdict::Accept, &mut Vec::new(), metrics);
        assert_eq!(ending, None);
    }

    /// Whether the watcher's rectangle contains this position.
    fn is_watched(&self, place: Position) -> bool {
        let slot = self.simulation.peers[0].slot;
        let (half_width, half_height) = self
            .simulation
            .engine
            .viewers()
            .viewer(slot)
            .and_then(Viewer::half_sides)
            .expect("the watcher has a rectangle");
        let here = self.world().position(slot);
        let off = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
        off(here.x, place.x) <= half_width && off(here.y, place.y) <= half_height
    }

    fn join_watcher(&mut self) {
        let now_ms = self.simulation.now_ms();
        let Simulation { engine, metrics, peers, random, .. } = &mut self.simulation;
        let mut out = Vec::new();
        let slot = engine.join(None, &mut out, metrics);
        peers.push(Peer::new(slot, &out, engine, now_ms, random));
    }
}

#[test]
fn an_attack_is_visible_on_every_node_even_if_the_attacker_leaves() {
    const VISITORS: u64 = 30;
    let (mut cluster, mut expected) = (Cluster::new(1, false), [0; 2]);
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
        (0..2).for_each(|world| cluster.nodes[world].join_watcher());
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
        for (world, member) in cluster.nodes[..2].iter_mut().enumerate() {
            let slot = member.simulation.peers[0].slot;
            member.act(slot, ClientMessage::Viewport { width: u16::MAX, height: u16::MAX });
            assert_eq!(member.simulation.metrics.frames_out[FrameOut::Attack], 0, "world {world}");
        }
        (0..TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
        for n in 0..VISITORS {
            let slot =
                cluster.nodes[0].simulation.engine.join(None, &mut Vec::new(), &mut Metrics::default());
            cluster.nodes[0].act(slot, ClientMessage::Attack);
            let place = cluster.nodes[0].world().position(slot);
            for (count, member) in expected.iter_mut().zip(&cluster.nodes) {
                *count += u64::from(member.is_watched(place));
            }
            if n % 2 == 0 {
                cluster.nodes[0].act(slot, ClientMessage::AttackEnd);
            }
            // The visitor leaves in the same tick or up to two ticks later.
            (0..n % 3).for_each(|_| cluster.step(&mut pool, false));
            cluster.nodes[0].simulation.engine.leave(slot);
            (0..VISITOR_TICKS).for_each(|_| cluster.step(&mut pool, false));
        }
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool, false));
    });
    for (world, member) in cluster.nodes[..2].iter().enumerate() {
        let frames = &member.simulation.metrics.frames_out;
        assert!(expected[world] > VISITORS / 3, "world {world}: too few to prove anything");
        assert_eq!(frames[FrameOut::Attack], expected[world], "world {world}");
        assert_eq!(member.simulation.peers[0].replica.violations(), [], "world {world}");
        assert_eq!(member.world().population(), 2, "world {world}: only the two watchers remain");
    }
}
