//! Honest clients with bad networks and low frame rates: every claim is accepted.

use game_client::{ClientMessage, Vector};
use pixi_game_server::config::Config;
use pixi_game_server::replication::pool::Pool;

use super::arena::Arena;
use super::machine::random::Random;
use super::peer::any_vector;
use super::seeds;

const STEPS_PER_S: u64 = 24;

/// Duration of a run, in milliseconds.
const PLAYED_MS: u64 = 60_000;

/// The frame rate of a client and the quality of its network.
#[derive(Clone, Copy, Debug)]
struct Network {
    frames_per_s: u64,
    /// One-way delay.
    delay_ms: u64,
    jitter_ms: u64,
    /// Duration of the occasional stalls; 0 for none.
    stall_ms: u64,
}

/// A client that walks, stops and attacks at random.
struct Client {
    at: (i32, i32),
    vector: Vector,
    steps: u64,
    steps_until_change: u64,
    /// Step at which its attack ends; it does not move until then.
    attacks_until: Option<u64>,
    sequence: u32,
}

impl Client {
    fn new() -> Self {
        let (at, vector) = ((1_000, 1_000), Vector::ZERO);
        Self { at, vector, steps: 0, steps_until_change: 0, attacks_until: None, sequence: 0 }
    }

    fn step(&mut self, random: &mut Random) -> Option<ClientMessage> {
        self.steps += 1;
        if let Some(until) = self.attacks_until {
            let is_over = self.steps >= until;
            self.attacks_until = self.attacks_until.filter(|_| !is_over);
            return is_over.then_some(ClientMessage::AttackEnd);
        }
        if self.steps_until_change == 0 {
            self.steps_until_change = 5 + random.below(3 * STEPS_PER_S);
            if random.chance(6) {
                self.attacks_until = Some(self.steps + STEPS_PER_S);
                return Some(ClientMessage::Attack { aim: None });
            }
            let before = std::mem::replace(&mut self.vector, any_vector(random));
            if before == Vector::ZERO && self.vector == Vector::ZERO {
                return None;
            }
        } else {
            self.steps_until_change -= 1;
            if self.vector == Vector::ZERO {
                return None;
            }
        }
        let moved = |from: i32, direction: i8| (from + 4 * i32::from(direction)).clamp(0, 2_000);
        self.at = (moved(self.at.0, self.vector.dx()), moved(self.at.1, self.vector.dy()));
        self.sequence += 1;
        let claim = Some((self.at.0 as u32, self.at.1 as u32));
        Some(ClientMessage::Move { vector: self.vector, sequence: self.sequence, claim })
    }
}

/// The client's messages with their arrival times.
fn arrivals(client: &mut Client, network: Network, random: &mut Random) -> Vec<(u64, ClientMessage)> {
    let (mut sent, mut arrives_ms, mut stalled_until_ms) = (Vec::new(), 0, 0);
    for frame in 0..PLAYED_MS * network.frames_per_s / 1_000 {
        let now_ms = frame * 1_000 / network.frames_per_s;
        if network.stall_ms > 0 && now_ms >= stalled_until_ms + 2_000 && random.chance(60) {
            stalled_until_ms = now_ms + network.stall_ms;
        }
        // A slow frame executes all steps that are due, back to back.
        while client.steps < now_ms * STEPS_PER_S / 1_000 {
            let Some(message) = client.step(random) else { continue };
            let jitter_ms = random.below(network.jitter_ms + 1);
            arrives_ms = arrives_ms.max(now_ms.max(stalled_until_ms) + network.delay_ms + jitter_ms);
            sent.push((arrives_ms, message));
        }
    }
    sent
}

fn play(seed: u64, network: Network, arena: &mut Arena, pool: &mut Pool) {
    let mut random = Random::new(seed);
    arena.join(pool);
    let player = arena.join(pool);
    arena.run_for(pool, 16_000);
    let start_ms = arena.now_ms();
    let mut client = Client::new();
    let mut attacks = false;
    for (at_ms, message) in arrivals(&mut client, network, &mut random) {
        while arena.now_ms() < start_ms + at_ms {
            arena.step(pool);
        }
        arena.send(pool, player, &message);
        match message {
            ClientMessage::Attack { .. } => attacks = true,
            ClientMessage::AttackEnd => attacks = false,
            ClientMessage::Move { claim: Some(claim), .. } if !attacks => {
                let here = arena.position(player);
                assert_eq!(
                    (u32::from(here.x), u32::from(here.y)),
                    claim,
                    "{network:?}: refused at {at_ms} ms"
                );
            }
            _ => {}
        }
    }
    assert_eq!(arena.metrics().rate_limited_total, 0, "{network:?}");
    arena.assert_no_violations();
}

#[test]
fn no_honest_claim_is_refused_on_a_bad_network() {
    let good = Network { frames_per_s: 60, delay_ms: 100, jitter_ms: 80, stall_ms: 0 };
    let lines = [
        good,
        Network { frames_per_s: 15, ..good },
        Network { frames_per_s: 15, jitter_ms: 0, ..good },
        Network { stall_ms: 200, jitter_ms: 0, ..good },
        Network { stall_ms: 200, ..good },
    ];
    let spawn = Config { spawn_min_x: 1_000, spawn_max_x: 1_001, ..Config::default() };
    let config = Config { spawn_min_y: 1_000, spawn_max_y: 1_001, ..spawn };
    for seed in seeds() {
        for network in lines {
            Arena::run(&config, |arena, pool| play(seed, network, arena, pool));
        }
    }
}
