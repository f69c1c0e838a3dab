//! Honest players among hostile ones that claim, turn, leap, attack, leave and reconnect at random. The
//! replicas of the honest players stay correct, and no player exceeds the speed limit.

use std::collections::{BTreeMap, BTreeSet};

use pixi_game_server::ops::metrics::Reconnect;
use pixi_game_server::replication::pool::Pool;

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
    /// Cookies of hostile players that left, with their former ids.
    saved: Vec<(u32, String)>,
    /// Limits by id, each with the tick in which it began.
    limits: BTreeMap<u32, (u64, SpeedLimit)>,
}

impl Hostiles {
    /// Keeps the cookie of a hostile player that has left, so that it may reconnect.
    pub fn forget(&mut self, peer: &Peer) {
        if let (Some(_), Some(id), Some(cookie)) = (&peer.hostile, peer.replica.own_id(), &peer.stream.cookie)
        {
            self.saved.push((id, cookie.clone()));
        }
    }
}

impl Simulation {
    /// Checks that no player exceeds the speed limit.
    pub fn check_speed_limits(&mut self) {
        if self.hostiles.target_count == 0 {
            return;
        }
        let world = self.host.core.engine().world();
        let tick = world.tick();
        for slot in 0..world.slots() as u32 {
            let Some(id) = world.id(slot) else { continue };
            let at = world.position(slot);
            let (_, limit) = self.hostiles.limits.entry(id).or_insert_with(|| (tick, SpeedLimit::new()));
            if let Err(error) = limit.observe((at.x, at.y)) {
                panic!("player {id}: {error}");
            }
        }
    }

    /// Lets hostile players join, leave and reconnect at random.
    fn churn_hostiles(&mut self) {
        self.continue_limits();
        let hostiles = || self.peers.iter().filter_map(|peer| peer.hostile.as_ref());
        if hostiles().count() < self.hostiles.target_count && self.random.chance(20) {
            // One at a time, so that its success can be counted.
            let may_return = hostiles().all(|hostile| hostile.before.is_none()) && self.random.chance(2);
            let returns = if may_return { self.hostiles.saved.pop() } else { None };
            let cookie = returns.as_ref().map(|(_, cookie)| &**cookie);
            let mut peer = Peer::connect(&mut self.host, cookie, &mut self.random);
            let hits = self.metrics().reconnects[Reconnect::Hit];
            peer.hostile = Some(Hostile::new(returns.map(|(id, _)| (id, hits))));
            self.peers.push(peer);
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.hostile.is_some()) {
            if self.random.chance(200) {
                peer.leave(&mut self.random);
            }
        }
        self.count_hostiles();
    }

    /// Continues the limits of the hostile players that have reconnected.
    fn continue_limits(&mut self) {
        let (tick, hits) = (self.engine().world().tick(), self.metrics().reconnects[Reconnect::Hit]);
        let limits = &mut self.hostiles.limits;
        for peer in &mut self.peers {
            if let (Some(id), Some(hostile)) = (peer.replica.own_id(), &mut peer.hostile)
                && let Some((before, hits_before)) = hostile.before.take()
                && hits > hits_before
                && let Some((began, earlier)) = limits.remove(&before)
                && let Some((_, limit)) = limits.get_mut(&id)
            {
                limit.continues(&earlier, tick - began);
                limits.entry(id).and_modify(|(tick, _)| *tick = began);
            }
        }
    }

    fn count_hostiles(&mut self) {
        let there = self.peers.iter().filter(|peer| peer.hostile.is_some() && !peer.has_left);
        self.hostiles.ids = there.filter_map(|peer| peer.replica.own_id()).collect();
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
            assert!(!self.hostiles.ids.is_empty(), "no hostile player is in the world");
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
            self.part(&mut pool);
        });
    }
}

#[test]
fn replicas_of_honest_players_stay_correct_among_hostile_ones() {
    for seed in seeds() {
        Simulation::new(seed).run_among_hostiles();
    }
}
