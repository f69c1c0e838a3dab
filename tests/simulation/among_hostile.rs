//! Honest players among hostile ones that claim, turn, leap, attack, leave and reconnect at random. The
//! replicas of the honest players stay correct, and no player exceeds the speed limit.

use std::collections::{BTreeMap, BTreeSet};

use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::engine::Engine;
use pixi_game_server::sessions::SavedPlayer;

use super::check::Strictness;
use super::hostile::{Hostile, SpeedLimit};
use super::peer::Peer;
use super::{CHAOS_TICKS, SETTLE_TICKS, Simulation, seeds};

/// The hostile players of a simulation.
#[derive(Default)]
pub struct Hostiles {
    /// Number of hostile players to keep in the world.
    pub target_count: usize,
    /// Ids of the hostile players in the world.
    pub ids: BTreeSet<u32>,
    /// State saved from hostile players that left, with their former ids.
    saved: Vec<(u32, SavedPlayer)>,
    limits: BTreeMap<u32, SpeedLimit>,
}

impl Hostiles {
    /// Saves the state of a hostile player that leaves, so that it may reconnect.
    pub fn save_hostile(&mut self, peer: &Peer, engine: &Engine) {
        if peer.hostile.is_some() {
            let id = engine.world().id(peer.slot).expect("it is still in the world");
            self.saved.push((id, engine.saved(peer.slot)));
        }
    }
}

impl Simulation {
    /// Checks that no player exceeds the speed limit.
    pub fn check_speed_limits(&mut self) {
        if self.hostiles.target_count == 0 {
            return;
        }
        let world = self.engine.world();
        for slot in 0..world.slots() as u32 {
            let Some(id) = world.id(slot) else { continue };
            let at = world.position(slot);
            let limit = self.hostiles.limits.entry(id).or_insert_with(SpeedLimit::new);
            if let Err(error) = limit.observe((at.x, at.y)) {
                panic!("SIMULATION_SEED={}: player {id}: {error}", self.seed);
            }
        }
    }

    /// Lets hostile players join, leave and reconnect at random.
    fn churn_hostiles(&mut self) {
        let now_ms = self.now_ms();
        if self.hostiles.ids.len() < self.hostiles.target_count && self.random.chance(20) {
            let mut out = Vec::new();
            let returns = if self.random.chance(2) { self.hostiles.saved.pop() } else { None };
            let slot = self.engine.join(returns.map(|(_, saved)| saved), &mut out, &mut self.metrics);
            if let Some((before, _)) = returns
                && let Some(id) = self.engine.world().id(slot)
                && let Some(limit) = self.hostiles.limits.remove(&before)
            {
                // The limit continues across a reconnect: leaving must not restore the budget.
                self.hostiles.limits.insert(id, limit);
            }
            let mut peer = Peer::new(slot, &out, &self.engine, now_ms, &mut self.random);
            peer.hostile = Some(Hostile::new());
            self.peers.push(peer);
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.hostile.is_some()) {
            if self.random.chance(200) {
                peer.has_left = true;
            }
        }
        self.count_hostiles();
    }

    fn count_hostiles(&mut self) {
        let there = self.peers.iter().filter(|peer| peer.hostile.is_some() && !peer.has_left);
        self.hostiles.ids = there.filter_map(|peer| self.engine.world().id(peer.slot)).collect();
    }

    fn run_among_hostiles(mut self) {
        self.hostiles.target_count = 5 + self.random.below(4) as usize;
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            for _ in 0..CHAOS_TICKS {
                self.act_randomly();
                self.churn_hostiles();
                self.step(&mut pool);
            }
            // The honest players settle. The hostile ones continue, but none joins or leaves.
            let now_ms = self.now_ms();
            for peer in self.peers.iter_mut().filter(|peer| peer.hostile.is_none()) {
                peer.settle(now_ms, &mut self.random);
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool));
            self.count_hostiles();
            assert!(
                !self.hostiles.ids.is_empty(),
                "SIMULATION_SEED={}: no hostile player is in the world",
                self.seed
            );
            self.check(Strictness::SomeMoving);
            // Once the hostile players stop, they are checked like honest ones.
            self.hostiles.ids.clear();
            let now_ms = self.now_ms();
            for peer in &mut self.peers {
                if peer.hostile.take().is_some() {
                    peer.settle(now_ms, &mut self.random);
                }
                peer.halt(now_ms, &mut self.random);
            }
            (0..SETTLE_TICKS).for_each(|_| self.step(&mut pool));
            self.check(Strictness::AllStopped);
        });
    }
}

#[test]
fn replicas_of_honest_players_stay_correct_among_hostile_ones() {
    for seed in seeds() {
        Simulation::new(seed).run_among_hostiles();
    }
}
