//! No mix of claims, stalls and reconnects, on any nodes, beats walking plus the reconciliation budget.

use std::time::Instant;

use game_client::{ClientMessage, Vector as ClientVector};
use pixi_game_server::limits::{RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};
use pixi_game_server::sessions::{Lookup, SavedPlayer, SessionToken, Sessions};
use pixi_game_server::world::{
    Input, Pace, Position, ReconciliationBudget, Rules, Spawn, State, Vector, World,
};
use proptest::prelude::*;

use super::server;
use crate::support::wait::wait_until;
use crate::support::{Client, wait_for, wait_for_acks};

/// Units per second gained by walking and by the refill of the budget.
const UNITS_PER_S: u64 = 96 + RECONCILIATION_REFILL_PER_S as u64;

/// Tolerance for rounding to whole units and whole ticks.
const ROUNDING: u64 = 6;

/// One action of a hostile player.
#[derive(Debug, Clone)]
enum Action {
    Claim {
        dx: i32,
        dy: i32,
        vector: (i8, i8),
    },
    Walk {
        vector: (i8, i8),
    },
    Attack,
    Stall {
        ms: u64,
    },
    /// Leaves and reconnects later: to the same node, another one, or one restarted with its store.
    Return {
        after_ms: u64,
        to: usize,
        by_store: bool,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let vector = || (-1i8..=1, -1i8..=1);
    prop_oneof![
        6 => (-50i32..=50, -50i32..=50, vector()).prop_map(|(dx, dy, vector)| Action::Claim { dx, dy, vector }),
        // The maximum gain in one direction.
        6 => Just(Action::Claim { dx: 50, dy: 0, vector: (1, 0) }),
        2 => Just(Action::Claim { dx: 25, dy: 0, vector: (-1, 0) }),
        2 => vector().prop_map(|vector| Action::Walk { vector }),
        1 => Just(Action::Attack),
        4 => (0u64..700).prop_map(|ms| Action::Stall { ms }),
        6 => (0u64..1_500, 0usize..3, any::<bool>())
            .prop_map(|(after_ms, to, by_store)| Action::Return { after_ms, to, by_store }),
    ]
}

/// A node whose world has its own tick rate.
struct Node {
    world: World,
    sessions: Sessions<u32>,
    rate_hz: u32,
}

impl Node {
    fn new(rate_hz: u32) -> Self {
        let spawn = Spawn { min_x: 30_000, max_x: 30_001, min_y: 30_000, max_y: 30_001 };
        let pace = Pace::new(rate_hz, 4);
        let rules = Rules { width: 60_000, height: 60_000, spawn, pace, attack_ticks: 60, seed: 1 };
        Self { world: World::new(rules), sessions: Sessions::new(300, None), rate_hz }
    }

    /// Advances the world to this time.
    fn step_to(&mut self, now_ms: u64) {
        let due = now_ms * u64::from(self.rate_hz) / 1000;
        let ticks = due - self.world.tick();
        if ticks > 0 {
            self.world.step(ticks as u32);
        }
    }

    fn leave(&mut self, slot: u32, token: SessionToken, now_ms: u64) {
        let Position { x, y } = self.world.position(slot);
        let saved = SavedPlayer {
            x,
            y,
            faces_right: true,
            viewport: None,
            budget: self.world.reconciliation_budget(slot),
            reconnected_ms_ago: SavedPlayer::LONG_AGO,
            account: None,
        };
        self.sessions.disconnect(token, saved, now_ms);
        self.world.remove(slot);
    }
}

/// Position of a player after an action.
#[derive(Debug, Clone, Copy)]
struct Seen {
    ms: u64,
    position: Position,
    /// Whether client and server agree on it. Between agreed positions, a claim may revise the path of the walk.
    is_agreed: bool,
}

/// Plays a sequence of actions.
fn play(actions: Vec<Action>) -> Vec<Seen> {
    let mut nodes = [60, 20, 128].map(Node::new);
    let (mut at, mut now_ms, mut drawn) = (0, 0u64, 1u128);
    let mut token = SessionToken::of(drawn);
    let mut slot = nodes[at].world.join();
    nodes[at].sessions.start(token, slot);
    let mut seen = vec![Seen { ms: now_ms, position: nodes[at].world.position(slot), is_agreed: true }];
    for action in actions {
        // A MOVE during an attack is ignored, so that the positions of client and server may differ after it.
        let is_attacking = nodes[at].world.state(slot) == State::Attacking;
        let mut is_agreed = false;
        match action {
            Action::Claim { dx, dy, vector } => {
                let Position { x, y } = nodes[at].world.position(slot);
                let claim = Some(((i32::from(x) + dx) as u32, (i32::from(y) + dy) as u32));
                let vector = Vector::new(vector.0, vector.1);
                nodes[at].world.apply(slot, Input::Move { vector, claim });
                let Position { x, y } = nodes[at].world.position(slot);
                is_agreed = claim == Some((x.into(), y.into())) && !is_attacking;
            }
            Action::Walk { vector } => {
                let vector = Vector::new(vector.0, vector.1);
                nodes[at].world.apply(slot, Input::Move { vector, claim: None });
                is_agreed = !is_attacking;
            }
            Action::Attack => drop(nodes[at].world.apply(slot, Input::Attack)),
            Action::Stall { ms } => now_ms += ms,
            Action::Return { after_ms, to, by_store } => {
                nodes[at].leave(slot, token, now_ms);
                // Retries as a second tab would: an attempt that is too early only costs time.
                let saved = loop {
                    now_ms += after_ms.max(1);
                    match nodes[at].sessions.take(token, now_ms) {
                        Lookup::Disconnected(saved) => break saved,
                        Lookup::TooSoon => {}
                        other => panic!("{other:?}"),
                    }
                };
                let saved = if by_store {
                    SavedPlayer::from_bytes(&saved.to_bytes()).expect("a round trip")
                } else {
                    saved
                };
                at = to;
                for node in &mut nodes {
                    node.step_to(now_ms);
                }
                let SavedPlayer { x, y, budget, .. } = saved;
                slot = nodes[at].world.rejoin(Position { x, y }, true, budget);
                drawn += 1;
                let presented = std::mem::replace(&mut token, SessionToken::of(drawn));
                nodes[at].sessions.reconnect(token, presented, slot, now_ms);
                is_agreed = true;
            }
        }
        for node in &mut nodes {
            node.step_to(now_ms);
        }
        seen.push(Seen { ms: now_ms, position: nodes[at].world.position(slot), is_agreed });
    }
    seen
}

/// The larger distance of both axes: a diagonal step moves a whole step along each axis.
fn distance(a: Position, b: Position) -> u64 {
    u64::from(a.x.abs_diff(b.x).max(a.y.abs_diff(b.y)))
}

fn assert_speed_limit(seen: &[Seen]) {
    for (from, start) in seen.iter().enumerate().filter(|(_, start)| start.is_agreed) {
        for end in &seen[from..] {
            let ms = end.ms - start.ms;
            let allowed = UNITS_PER_S * ms / 1000 + RECONCILIATION_BUDGET_MAX as u64 + ROUNDING;
            let gained = distance(start.position, end.position);
            assert!(gained <= allowed, "{gained} units in {ms} ms, {allowed} allowed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_action_sequence_exceeds_walking_and_one_budget(actions in proptest::collection::vec(action(), 1..150)) {
        assert_speed_limit(&play(actions));
    }
}

#[test]
fn reconnecting_at_the_maximum_rate_gains_no_distance() {
    let round = [
        Action::Claim { dx: 50, dy: 0, vector: (0, 0) },
        Action::Return { after_ms: 20, to: 0, by_store: false },
    ];
    let seen = play(round.into_iter().cycle().take(200).collect());
    assert_speed_limit(&seen);
    let Seen { ms: end_ms, position: end, .. } = *seen.last().expect("the end");
    // The player does not walk, so all its gain is budget.
    let budget = RECONCILIATION_BUDGET_MAX as u64 + u64::from(RECONCILIATION_REFILL_PER_S) * end_ms / 1000;
    assert!(distance(seen[0].position, end) <= budget, "{end:?} after {end_ms} ms");
    assert!(end_ms > 90_000, "100 reconnects in {end_ms} ms exceed one per second");
}

#[test]
fn an_unknown_budget_starts_empty() {
    let mut node = Node::new(60);
    let slot = node.world.rejoin(Position { x: 500, y: 500 }, true, ReconciliationBudget::EMPTY);
    node.world.apply(slot, Input::Move { vector: Vector::ZERO, claim: Some((501, 500)) });
    assert_eq!(node.world.position(slot), Position { x: 500, y: 500 });
    node.step_to(1_000);
    node.world.apply(slot, Input::Move { vector: Vector::ZERO, claim: Some((524, 500)) });
    assert_eq!(node.world.position(slot), Position { x: 524, y: 500 });
}

/// The attack over real sockets: claim, leave, reconnect, and repeat.
#[test]
fn leaving_after_each_claim_gains_no_distance() {
    let server = server();
    let start = Instant::now();
    let mut client = Client::join(&server);
    for round in 1..=4 {
        let (x, y) = client.position();
        client.send_claim(ClientVector::ZERO, round, x + 50, y);
        wait_for_acks(std::slice::from_mut(&mut client));
        let ((x, _), cookie) = (client.acknowledged(), client.cookie());
        let allowed = 500.0 + 50.0 + 24.0 * start.elapsed().as_secs_f64() + 1.0;
        assert!(f64::from(x) <= allowed, "round {round}: at {x}, {allowed} allowed");
        client.send(&ClientMessage::Leave);
        wait_for(&mut client, "the close", |client| client.ended);
        server.wait_for_players(0);
        wait_until("a reconnect to be allowed", || {
            client = Client::reconnect(&server, &cookie);
            client.position() == (x, y)
        });
    }
}
