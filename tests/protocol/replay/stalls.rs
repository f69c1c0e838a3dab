//! Stalls of some seconds, in virtual time: what a recorded page sent meanwhile arrives in one burst, more than its allowance
//! takes. Two seconds later the server, the page and another page that watches must agree.

use std::thread;

use game_client::{ClientMessage, Replica, ReplicaOptions};
use pixi_game_server::admission::rate::{Arrival, RateLimiter};
use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::deferred::Deferred;
use pixi_game_server::server::engine::Engine;
use pixi_game_server::server::input::InputState;
use pixi_game_server::wire::websocket::Session;
use pixi_game_server::world::{Position, Vector};

use crate::simulation::peer::take_payload;
use crate::support::raw::{BINARY, FIN, masked};
use crate::support::recording::{Event, Line, recorded_lines};

const TICK_RATE_HZ: u64 = 60;

/// How long the page plays before its line stalls, in milliseconds.
const BEFORE_MS: u64 = 1_000;

/// After the stall the server and the page must agree by this time, in milliseconds.
const AGREED_MS: u64 = 2_000;

/// After that the watcher must agree by this time with a page that walks on, in milliseconds: the recorded page walks slower
/// than it says, so that its player has used up its jumps, and a full state comes in any case.
const WATCHED_MS: u64 = 5_000;

/// With one that stands it agrees as soon as a viewer may get another full state for a jump, and the stagger of those.
const STANDING_WATCHED_MS: u64 = 500;

/// A step of the client, and a unit for the rounding of ticks.
const STEP: f64 = 4.0 + 1.0;

/// A connection of the game, and what its client draws.
struct Page {
    slot: u32,
    session: Session,
    limiter: RateLimiter,
    deferred: Deferred,
    replica: Replica,
    /// What the line has not delivered yet, in either direction.
    upstream: Vec<u8>,
    downstream: Vec<u8>,
}

impl Page {
    fn join(game: &mut Engine, metrics: &mut Metrics) -> Self {
        let mut downstream = Vec::new();
        let slot = game.join(None, &mut downstream, metrics);
        let options = ReplicaOptions { exceeds_rate: true, ..ReplicaOptions::default() };
        Self {
            slot,
            session: Session::new(256),
            limiter: RateLimiter::new(0),
            deferred: Deferred::default(),
            replica: Replica::new(options),
            upstream: Vec::new(),
            downstream,
        }
    }

    /// Does what a recorded page did, from where this one draws itself.
    fn perform(&mut self, recorded: &ClientMessage) {
        let message = match recorded {
            ClientMessage::Move { vector, .. } => self.replica.step(*vector),
            other => *other,
        };
        self.replica.sent(&message);
        let mut payload = Vec::new();
        message.encode(&mut payload);
        self.upstream.extend(masked(FIN | BINARY, &payload));
    }

    fn exchange(&mut self, now_ms: u64, game: &mut Engine, metrics: &mut Metrics) {
        let sent = std::mem::take(&mut self.upstream);
        let mut sender = InputState {
            slot: self.slot,
            websocket: &mut self.session,
            limiter: &mut self.limiter,
            deferred: &mut self.deferred,
        };
        game.apply_deferred(&mut sender, Arrival::at(now_ms), &mut self.downstream, metrics);
        let outcome = game.receive(sender, &sent, Arrival::at(now_ms), &mut self.downstream, metrics);
        assert_eq!(outcome.closed, None, "a stall is no reason to be closed");
        let received = std::mem::take(&mut self.downstream);
        let mut rest = received.as_slice();
        while let Some(payload) = take_payload(&mut rest) {
            self.replica.receive_payload(now_ms, payload).expect("the server speaks the protocol");
        }
        assert_eq!(self.replica.violations(), []);
    }
}

/// Page A of the recording from a second before a stall on.
fn page_a(stall_from_ms: u64) -> Vec<Line> {
    let start_ms = stall_from_ms - BEFORE_MS;
    let is_of_it =
        |line: &Line| line.page == 'A' && line.at_ms >= start_ms && matches!(line.event, Event::Sent(_));
    let shifted = |line: Line| Line { at_ms: line.at_ms - start_ms, ..line };
    recorded_lines().into_iter().filter(is_of_it).map(shifted).collect()
}

/// How far a place at which the page is drawn lies from where the server has it, along the longer axis.
fn distance(game: &Engine, page: &Page, (x, y): (f64, f64)) -> f64 {
    let Position { x: true_x, y: true_y } = game.world().position(page.slot);
    (x - f64::from(true_x)).abs().max((y - f64::from(true_y)).abs())
}

/// How far the page draws itself from there.
fn distance_by_itself(game: &Engine, page: &Page) -> f64 {
    let (x, y) = page.replica.own().position();
    distance(game, page, (f64::from(x), f64::from(y)))
}

/// How far the watcher does; without limit while it draws another vector.
fn distance_by_watcher(game: &Engine, page: &Page, watcher: &Page) -> f64 {
    let id = page.replica.own_id().expect("the page knows itself");
    let remote = watcher.replica.remote(id).expect("the page is in view");
    let vector = game.world().vector(page.slot);
    let is_same_way = (remote.vector.dx(), remote.vector.dy()) == (vector.dx(), vector.dy());
    if is_same_way { distance(game, page, (remote.x, remote.y)) } else { f64::INFINITY }
}

/// Plays page A with one stall; so long after all shall agree, the watcher agrees as well.
fn play(stall_from_ms: u64, stall_ms: u64, watched_ms: u64) {
    let case = format!("a stall of {stall_ms} ms from {stall_from_ms} ms");
    let (mut game, mut metrics) = (Engine::new(&config()), Metrics::default());
    let mut watcher = Page::join(&mut game, &mut metrics);
    let mut page = Page::join(&mut game, &mut metrics);
    let (mut answered, mut watched_from_ms) = (0, None);
    let mut lines = page_a(stall_from_ms).into_iter().peekable();
    thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 1, 8).expect("a thread");
        let stall = BEFORE_MS..BEFORE_MS + stall_ms;
        for tick in 0..(stall.end + AGREED_MS + WATCHED_MS) * TICK_RATE_HZ / 1000 {
            let now_ms = tick * 1000 / TICK_RATE_HZ;
            while let Some(line) = lines.next_if(|line| line.at_ms <= now_ms) {
                let Event::Sent(payload) = line.event else { continue };
                page.perform(&ClientMessage::decode(&payload).expect("the browser sends valid messages"));
            }
            page.replica.advance(now_ms);
            watcher.replica.advance(now_ms);
            watcher.exchange(now_ms, &mut game, &mut metrics);
            let is_stalled = stall.contains(&now_ms);
            if !is_stalled {
                page.exchange(now_ms, &mut game, &mut metrics);
            }
            if now_ms >= stall.end + AGREED_MS {
                // Between its steps the page draws itself where it was, and the server moves it on.
                let (stands, steps) = (
                    game.world().vector(page.slot) == Vector::ZERO,
                    page.replica.own().answered() > answered,
                );
                let distance = distance_by_itself(&game, &page);
                assert!(
                    !(stands || steps) || distance <= STEP,
                    "{case}: {distance} units off at {now_ms} ms"
                );
                if distance_by_watcher(&game, &page, &watcher) <= STEP {
                    watched_from_ms.get_or_insert(now_ms - stall.end - AGREED_MS);
                }
            }
            answered = page.replica.own().answered();
            game.step(1, &mut metrics);
            game.begin_flush_round();
            while !game.viewers().is_flush_round_over() {
                game.flush_batch(&mut pool, &mut |slot| slot == watcher.slot || !is_stalled, &mut metrics);
                while let Some((segment, frames)) = pool.batch().next_segment() {
                    let of = if segment.slot == page.slot { &mut page } else { &mut watcher };
                    of.downstream.extend_from_slice(frames);
                }
            }
        }
    });
    assert!(
        watched_from_ms.is_some_and(|from_ms| from_ms <= watched_ms),
        "{case}: the watcher draws it right after {watched_from_ms:?} ms more"
    );
}

/// Where page A walks at first, and again later.
fn config() -> Config {
    Config { spawn_min_x: 560, spawn_max_x: 561, spawn_min_y: 728, spawn_max_y: 729, ..Config::default() }
}

#[test]
fn after_a_stall_in_which_a_key_is_held_all_agree() {
    // Page A holds a key from 18.2 s to 27.0 s and another one from 28.3 s to 36.5 s of the recording.
    for (stall_from_ms, stall_ms) in [(20_000, 3_000), (19_500, 5_000), (21_000, 10_000)] {
        play(stall_from_ms, stall_ms, WATCHED_MS);
    }
}

#[test]
fn after_a_stall_in_which_a_key_is_released_all_agree() {
    for (stall_from_ms, stall_ms) in [(34_500, 3_000), (32_500, 5_000), (28_000, 10_000)] {
        play(stall_from_ms, stall_ms, STANDING_WATCHED_MS);
    }
}
