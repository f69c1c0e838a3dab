//! Three worlds joined by a bus that loses, duplicates and reorders messages, and that is partitioned for
//! seconds. Once the bus is reliable again, each replica must match its world, and each world the others in
//! the regions it sees.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use game_client::ClientMessage;
use pixi_game_server::cluster::Node;
use pixi_game_server::config::Config;
use pixi_game_server::limits::{IDS_LEAD_MAX, LEASE_BOOTSTRAP_MS, LEASE_IDS};
use pixi_game_server::ops::metrics::{Closed, FrameOut, Reconnect};
use pixi_game_server::ops::secret::Secret;
use pixi_game_server::replication::Viewer;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::system::Listener;
use pixi_game_server::world::{GhostUpdate, Position, World};

use super::check::{Strictness, slot_of};
use super::client::handshake;
use super::forger::forge;
use super::machine::bus::Redis;
use super::machine::random::Random;
use super::machine::socket::Plan;
use super::machine::{Host, NS_PER_MS};
use super::peer::{BINARY, Peer};
use super::{BETWEEN_TICKS_MS, SETTLE_TICKS, Simulation, TICK_RATE_HZ, seeds};
use crate::support::raw::masked;

const WORLDS: usize = 3;
const CHAOS_TICKS: u64 = 25 * TICK_RATE_HZ;

/// More leases than the nodes take in a run. Forged claims make them give up ids, and lease others.
const LEASES_MAX: u32 = 32;

/// One node.
struct ClusterNode {
    simulation: Simulation,
    frozen_until: u64,
}

impl ClusterNode {
    fn new(seed: u64, number: usize, redis: &Rc<RefCell<Redis>>, from_ms: u64, has_secret: bool) -> Self {
        // With a cluster URL, player ids come from the cluster's leases.
        let config = Config { cluster_url: Some(Secret::new("")), ..Config::default() };
        let id = number as u64 + 1;
        let bus = Redis::connect(redis, id, from_ms);
        let start = |config: Config| {
            let node = Node::new(id, format!("node-{number}"), (config.world_width, config.world_height));
            let node = if has_secret { node.require_fresh() } else { node };
            Host::clustered(seed * 10 + id, config, node, bus)
        };
        let simulation = Simulation::with(seed, Random::new(seed * 10 + number as u64), config, start);
        Self { simulation, frozen_until: 0 }
    }

    fn node(&self) -> &Node {
        self.simulation.host.core.node().expect("it is clustered")
    }

    fn world(&self) -> &World {
        self.simulation.engine().world()
    }
}

struct Cluster {
    random: Random,
    tick: u64,
    nodes: Vec<ClusterNode>,
    redis: Rc<RefCell<Redis>>,
    /// Ids of all players, which the forger abuses.
    ids: Rc<RefCell<Vec<u32>>>,
    /// Whether a forger writes to the bus during the chaos phase.
    has_forger: bool,
}

impl Cluster {
    /// Starts the nodes, and runs until they have ids.
    fn start(seed: u64, has_forger: bool, pool: &mut Pool) -> Self {
        // The last node has the lowest ids, so its new players meet ghosts with higher ids.
        let from_ms = |number| (WORLDS - 1 - number) as u64 * 2 * LEASE_BOOTSTRAP_MS;
        Self::start_with(seed, has_forger, pool, from_ms, |_| {})
    }

    /// Starts each node at its own time, with a prepared Redis.
    fn start_with(
        seed: u64,
        has_forger: bool,
        pool: &mut Pool,
        from_ms: impl Fn(usize) -> u64,
        prepare: impl FnOnce(&mut Redis),
    ) -> Self {
        let redis = Redis::new(seed);
        // The forger has no secret, so its cluster has none.
        let start = |number| ClusterNode::new(seed, number, &redis, from_ms(number), !has_forger);
        let nodes = (0..WORLDS).map(start).collect();
        prepare(&mut redis.borrow_mut());
        let random = Random::new(seed ^ 0xc1u64);
        let mut cluster = Self { random, tick: 0, nodes, redis, ids: Rc::default(), has_forger };
        while cluster.nodes.iter().any(|member| member.world().ids_left() == 0) {
            cluster.step(pool);
            assert!(cluster.tick < CHAOS_TICKS, "no ids");
        }
        cluster
    }

    fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        self.redis.borrow_mut().now_ms = self.tick * 1_000 / TICK_RATE_HZ;
        for member in &mut self.nodes {
            if self.tick < member.frozen_until {
                // A frozen node falls behind the clocks of the others, and its messages wait.
                member.simulation.step_suspended();
            } else {
                member.simulation.step(pool);
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
            assert_eq!(own.len() + ghosts.len(), member.world().population());
            for (id, ghost) in &ghosts {
                let is_valid = !member.node().ids().is_own(*id)
                    && ghost.position.x <= 2_000
                    && ghost.position.y <= 2_000;
                assert!(is_valid, "{ghost:?}");
            }
            assert!(member.node().ids().end() < 1_001 + IDS_LEAD_MAX + LEASES_MAX * LEASE_IDS);
        }
    }

    fn act_randomly(&mut self) {
        *self.ids.borrow_mut() = self.player_ids();
        let now_ms = self.tick * 1_000 / TICK_RATE_HZ;
        for at in 0..WORLDS {
            self.nodes[at].simulation.act_randomly();
            let mut redis = self.redis.borrow_mut();
            if self.random.chance(600) {
                redis.links[at].cut_off_until_ms = now_ms + self.random.below(6_000);
            }
            if self.random.chance(1_500) {
                redis.break_link(at, now_ms + self.random.below(3_000));
            }
            if self.random.chance(1_500) {
                self.nodes[at].frozen_until = self.tick + self.random.below(5 * TICK_RATE_HZ);
            }
        }
        // A client returns to another node, at times while its connection is open.
        let [from, to] = [0, 1].map(|_| self.random.below(WORLDS as u64) as usize);
        let source = &mut self.nodes[from].simulation;
        let cookie = match self.random.below(100) {
            0 => source.cookies.pop(),
            1 => source.peers.first().and_then(|peer| peer.stream.cookie.clone()),
            _ => None,
        };
        self.nodes[to].simulation.cookies.extend(cookie);
    }

    fn begin_chaos(&self) {
        let mut redis = self.redis.borrow_mut();
        redis.is_chaotic = true;
        let ids = Rc::clone(&self.ids);
        if self.has_forger {
            redis.forger =
                Some(Box::new(move |bytes, random| forge(bytes, &ids.borrow(), WORLDS as u64, random)));
        }
    }

    fn end_chaos(&mut self) {
        let mut redis = self.redis.borrow_mut();
        (redis.is_chaotic, redis.forger) = (false, None);
        for link in &mut redis.links {
            (link.cut_off_until_ms, link.down_until_ms) = (0, 0);
        }
        for member in &mut self.nodes {
            member.frozen_until = 0;
            let now_ms = member.simulation.now_ms();
            for peer in &mut member.simulation.peers {
                peer.settle(now_ms, &mut member.simulation.random);
            }
        }
    }

    fn run(seed: u64, has_forger: bool) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            let mut cluster = Self::start(seed, has_forger, &mut pool);
            cluster.begin_chaos();
            for member in &mut cluster.nodes {
                member.simulation.host.has_handovers = true;
            }
            for _ in 0..CHAOS_TICKS {
                cluster.act_randomly();
                cluster.step(&mut pool);
                cluster.check_invariants();
            }
            cluster.end_chaos();
            (0..SETTLE_TICKS).for_each(|_| cluster.step(&mut pool));
            cluster.check(Strictness::SomeMoving);
            for member in &mut cluster.nodes {
                let now_ms = member.simulation.now_ms();
                for peer in &mut member.simulation.peers {
                    peer.halt(now_ms, &mut member.simulation.random);
                }
            }
            (0..SETTLE_TICKS).for_each(|_| cluster.step(&mut pool));
            cluster.check(Strictness::AllStopped);
            if !has_forger {
                cluster.check_sessions(&mut pool);
                cluster.check_drain(&mut pool);
            }
            for member in &mut cluster.nodes {
                let refused = member.simulation.metrics().bus_refused_total;
                assert!(has_forger || refused == 0, "{refused} messages refused");
                member.simulation.part(&mut pool);
            }
        });
    }

    /// Sessions that nodes handed out to returning clients.
    fn hits(&self) -> u64 {
        self.nodes.iter().map(|member| member.simulation.metrics().reconnects[Reconnect::Hit]).sum()
    }

    /// One node hands out a session, once.
    fn check_sessions(&mut self, pool: &mut Pool) {
        let hits = self.hits();
        let Simulation { peers, random, .. } = &mut self.nodes[0].simulation;
        let cookie = peers[0].stream.cookie.clone();
        peers[0].leave(random);
        (0..TICK_RATE_HZ).for_each(|_| self.step(pool));
        for at in [1, 0] {
            self.nodes[at].join(cookie.as_deref());
            (0..2 * TICK_RATE_HZ).for_each(|_| self.step(pool));
        }
        assert_eq!(self.hits() - hits, 1);
    }

    /// The players of a draining node continue on the others.
    fn check_drain(&mut self, pool: &mut Pool) {
        let mut drained = self.nodes.remove(0).simulation;
        let (players, hits) = (drained.peers.len(), self.hits());
        drained.cookies.clear();
        drained.host.core.drain();
        while !drained.host.core.is_over() {
            drained.step(pool);
            self.step(pool);
        }
        assert_eq!((drained.peers.len(), drained.cookies.len()), (0, players));
        for (n, cookie) in drained.cookies.iter().enumerate() {
            let others = self.nodes.len();
            self.nodes[n % others].join(Some(cookie));
            self.step(pool);
        }
        (0..SETTLE_TICKS).for_each(|_| self.step(pool));
        assert_eq!(self.hits() - hits, players as u64);
        self.check(Strictness::AllStopped);
    }

    fn check(&self, strictness: Strictness) {
        for member in &self.nodes {
            member.simulation.check(strictness);
        }
        for (here, member) in self.nodes.iter().enumerate() {
            let mut ghosts: BTreeMap<u32, GhostUpdate> = all_updates(member.world(), true);
            assert!(!ghosts.is_empty(), "no player of the other worlds to compare");
            for (there, other) in self.nodes.iter().enumerate().filter(|&(there, _)| there != here) {
                for (id, truth) in all_updates(other.world(), false) {
                    let ghost = ghosts.remove(&id);
                    if let Err(difference) = self.compare(member, truth, ghost, strictness) {
                        panic!("{strictness:?}, world {here}, player {id} of {there}: {difference}");
                    }
                }
            }
            assert!(ghosts.is_empty(), "world {here}: no node owns {ghosts:?}");
        }
    }

    fn compare(
        &self,
        member: &ClusterNode,
        truth: GhostUpdate,
        ghost: Option<GhostUpdate>,
        strictness: Strictness,
    ) -> Result<(), String> {
        let region = self.nodes[0].node().regions().of(truth.position);
        let Some(ghost) = ghost else {
            let is_wanted = member.node().remote().subscriptions().contains(region);
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

/// Ids of the node's players.
fn player_ids(member: &ClusterNode) -> BTreeSet<u32> {
    all_updates(member.world(), false).into_keys().collect()
}

/// Asserts that each node with players has those of the others as ghosts, and that no unused id belongs to two nodes.
fn assert_whole(cluster: &Cluster, players: usize) {
    let own: Vec<BTreeSet<u32>> = cluster.nodes.iter().map(player_ids).collect();
    let all: BTreeSet<u32> = own.iter().flatten().copied().collect();
    assert_eq!(own.iter().map(BTreeSet::len).sum::<usize>(), players, "{own:?}");
    for (member, own) in cluster.nodes.iter().zip(&own).filter(|(_, own)| !own.is_empty()) {
        let ghosts: BTreeSet<u32> = all_updates(member.world(), true).into_keys().collect();
        assert_eq!(ghosts, &all - own, "the ghosts on a node with {own:?}");
        let others = cluster.nodes.iter().filter(|other| !std::ptr::eq(*other, member));
        let unused = || member.world().unused_ids().into_iter().flatten();
        for other in others {
            assert!(!unused().any(|id| other.node().ids().is_own(id)), "an unused id of two nodes");
        }
    }
}

#[test]
fn nodes_with_the_same_lease_give_it_up() {
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
        let mut cluster = Cluster::start(1, false, &mut pool);
        // The first player on a node makes it lease its next ids.
        cluster.redis.borrow_mut().leases_lost = 1;
        (0..2).for_each(|world| cluster.nodes[world].join(None));
        let mut were_same = false;
        for _ in 0..3 * TICK_RATE_HZ {
            cluster.step(&mut pool);
            let [first, second] = [0, 1].map(|world| cluster.nodes[world].world().unused_ids()[1].clone());
            were_same |= !first.is_empty() && first == second;
        }
        assert!(were_same, "the failover is part of the test");
        assert_whole(&cluster, 2);
        for member in &cluster.nodes[..2] {
            assert!(member.world().ids_left() > LEASE_IDS as usize, "another lease");
            assert_eq!(member.simulation.metrics().bus_refused_total, 0);
        }
    });
}

#[test]
fn players_with_the_same_id_end_on_one_node_only() {
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
        // The first two nodes lease the same ids, and have players before they learn of each other.
        let prepare = |redis: &mut Redis| {
            redis.leases_lost = 1;
            redis.links.iter_mut().for_each(|link| link.cut_off_until_ms = LEASE_BOOTSTRAP_MS + 1_000);
        };
        let mut cluster = Cluster::start_with(1, false, &mut pool, |_| 0, prepare);
        (0..2).for_each(|world| cluster.nodes[world].join(None));
        let mut were_same = false;
        for _ in 0..2 * TICK_RATE_HZ {
            cluster.step(&mut pool);
            let [first, second] = [0, 1].map(|world| player_ids(&cluster.nodes[world]));
            were_same |= !first.is_empty() && first == second;
        }
        assert!(were_same, "the failover is part of the test");
        (0..5 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool));
        let closed = [0, 1].map(|world| cluster.nodes[world].simulation.metrics().closed[Closed::SharedId]);
        assert_eq!(closed, [0, 1], "the node with the larger number closes its player");
        assert_whole(&cluster, 1);
        // The client reconnects, with another id.
        cluster.nodes[1].join(None);
        (0..3 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool));
        assert_whole(&cluster, 2);
    });
}

#[test]
fn replicas_and_ghosts_of_three_nodes_are_correct_after_settling() {
    for seed in seeds() {
        Cluster::run(seed, false);
    }
}

#[test]
fn the_effects_of_a_forger_on_the_bus_end_soon_after_it_stops() {
    for seed in seeds() {
        Cluster::run(seed, true);
    }
}

/// Ticks between two visitors: fewer are visible at a time than the smallest interest set holds.
const VISITOR_TICKS: u64 = 20;

impl ClusterNode {
    /// Whether the watcher's rectangle contains this position.
    fn is_watched(&self, place: Position) -> bool {
        let id = self.simulation.peers[0].replica.own_id().expect("the watcher has joined");
        let slot = slot_of(self.world(), id).expect("the watcher has joined");
        let viewer = self.simulation.engine().viewers().viewer(slot);
        let (half_width, half_height) =
            viewer.and_then(Viewer::half_sides).expect("the watcher has a rectangle");
        let here = self.world().position(slot);
        let off = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
        off(here.x, place.x) <= half_width && off(here.y, place.y) <= half_height
    }

    fn join(&mut self, cookie: Option<&str>) {
        let Simulation { host, random, peers, .. } = &mut self.simulation;
        peers.push(Peer::connect(host, cookie, random));
    }
}

#[test]
fn an_attack_is_visible_on_every_node_even_if_the_attacker_leaves() {
    const VISITORS: u64 = 30;
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
        let (mut cluster, mut expected) = (Cluster::start(1, false, &mut pool), [0; 2]);
        (0..2).for_each(|world| cluster.nodes[world].join(None));
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool));
        for member in &mut cluster.nodes[..2] {
            let Simulation { host, random, peers, .. } = &mut member.simulation;
            let rectangle = ClientMessage::Viewport { width: u16::MAX, height: u16::MAX };
            peers[0].send(&rectangle, host.now_ms(), random);
        }
        (0..TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool));
        for n in 0..VISITORS {
            let host = &mut cluster.nodes[0].simulation.host;
            let visitor =
                host.connect(Listener::Public, IpAddr::V4(Ipv4Addr::new(10, 1, 0, n as u8)), Plan::None);
            let attack = masked(BINARY, &ClientMessage::Attack { aim: None }.to_bytes());
            let end = masked(BINARY, &ClientMessage::AttackEnd.to_bytes());
            let end = if n % 2 == 0 { end } else { Vec::new() };
            // The visitor reads nothing, so every attack counted was sent to a watcher.
            visitor.borrow_mut().send_buffer_bytes = 0;
            visitor.borrow_mut().deliver(&[handshake(None), attack, end].concat());
            host.run_for(BETWEEN_TICKS_MS * NS_PER_MS, &mut pool);
            let newest = all_updates(cluster.nodes[0].world(), false).into_values().next_back();
            let place = newest.expect("the visitor has joined").position;
            for (count, member) in expected.iter_mut().zip(&cluster.nodes) {
                *count += u64::from(member.is_watched(place));
            }
            // The visitor leaves in the same tick or up to two ticks later.
            (0..n % 3).for_each(|_| cluster.step(&mut pool));
            visitor.borrow_mut().close();
            (0..VISITOR_TICKS).for_each(|_| cluster.step(&mut pool));
        }
        (0..2 * TICK_RATE_HZ).for_each(|_| cluster.step(&mut pool));
        for (world, member) in cluster.nodes[..2].iter().enumerate() {
            let frames = &member.simulation.metrics().frames_out;
            assert!(expected[world] > VISITORS / 3, "world {world}: too few to prove anything");
            assert_eq!(frames[FrameOut::Attack], expected[world], "world {world}");
            assert_eq!(member.simulation.peers[0].replica.violations(), [], "world {world}");
            assert_eq!(member.world().population(), 2, "world {world}: only the two watchers remain");
        }
    });
}
