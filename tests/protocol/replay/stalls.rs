//! Stalls of several seconds in virtual time. The held-back messages of a recorded page arrive in one burst that exceeds
//! its allowance. Two seconds later the server, the page and a second page that watches must agree.

use std::thread;

use game_client::{ClientMessage, Replica, ReplicaOptions};
use pixi_game_server::admission::rate::{Arrival, RateLimiter};
use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::deferred::Deferred;
use pixi_game_server::server::core::engine::Engine;
use pixi_game_server::server::core::input::InputState;
use pixi_game_server::wire::websocket::WebSocket;
use pixi_game_server::world::{Position, Vector};

use crate::simulation::peer::take_payload;
use crate::support::raw::{BINARY, FIN, masked};
use crate::support::recording::{Event, Line, recorded_lines};

const TICK_RATE_HZ: u64 = 60;

/// Time for which the pages stand before the recording, in milliseconds. A newcomer gets no second snapshot for 15 s, and only
/// snapshots correct positions.
const SETTLED_MS: u64 = 16_000;

/// Time before the stall, in milliseconds.
const BEFORE_MS: u64 = 1_000;

/// Time after the stall by which the server and the page must agree, in milliseconds.
const AGREED_MS: u64 = 2_000;

/// Further time by which the watcher must agree about a page that still walks, in milliseconds. The recorded page walks
/// slower than it claims, so its player has used up its allowed jumps. The next periodic snapshot corrects its position.
const WATCHED_MS: u64 = 5_000;

/// Further time for a stopped page, in milliseconds: until the next snapshot for a jump, plus its stagger.
const STANDING_WATCHED_MS: u64 = 500;

/// Tolerance: one step of the client, and one unit for rounding to ticks.
const STEP: f64 = 4.0 + 1.0;

/// A game connection and the replica of its client.
struct Page {
    slot: u32,
    websocket: WebSocket,
    limiter: RateLimiter,
    deferred: Deferred,
    replica: Replica,
    /// Bytes not yet delivered, per direction.
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
            websocket: WebSocket::new(256),
            limiter: RateLimiter::new(0),
            deferred: Deferred::default(),
            replica: Replica::new(options),
            upstream: Vec::new(),
            downstream,
        }
    }

    /// Applies a recorded message, at the position of this page's replica.
    fn perform(&mut self, recorded: &ClientMessage) {
        let message = match recorded {
            ClientMessage::Move { vector, .. } => self.replica.step(*vector),
            other => *other,
        };
        self.replica.sent(&message);
        self.upstream.extend(masked(FIN | BINARY, &message.to_bytes()));
    }

    fn exchange(&mut self, now_ms: u64, game: &mut Engine, metrics: &mut Metrics) {
        let sent = std::mem::take(&mut self.upstream);
        let mut sender = InputState {
            slot: self.slot,
            websocket: &mut self.websocket,
            limiter: &mut self.limiter,
            deferred: &mut self.deferred,
        };
        sender.apply_deferred(game, Arrival::at(now_ms), &mut self.downstream, metrics);
        let outcome = sender.receive(game, &sent, Arrival::at(now_ms), &mut self.downstream, metrics);
        assert_eq!(outcome.closed, None, "a stall is no reason to be closed");
        let received = std::mem::take(&mut self.downstream);
        let mut rest = received.as_slice();
        while let Some(payload) = take_payload(&mut rest) {
            self.replica.receive_payload(now_ms, payload).expect("the server sends valid messages");
        }
        assert_eq!(self.replica.violations(), []);
    }
}

/// Page A of the recording, from [`BEFORE_MS`] before a stall on.
fn page_a(stall_from_ms: u64) -> Vec<Line> {
    let start_ms = stall_from_ms - BEFORE_MS;
    let is_of_it =
        |line: &Line| line.page == 'A' && line.at_ms >= start_ms && matches!(line.event, Event::Sent(_));
    let shifted = |line: Line| Line { at_ms: SETTLED_MS + line.at_ms - start_ms, ..line };
    recorded_lines().into_iter().filter(is_of_it).map(shifted).collect()
}

/// Distance between a replicated position and the server's position of the player, along the longer axis.
fn distance(game: &Engine, page: &Page, (x, y): (f64, f64)) -> f64 {
    let Position { x: true_x, y: true_y } = game.world().position(page.slot);
    (x - f64::from(true_x)).abs().max((y - f64::from(true_y)).abs())
}

/// Distance between the page's own prediction and the server.
fn distance_by_page(game: &Engine, page: &Page) -> f64 {
    let (x, y) = page.replica.own().position();
    distance(game, page, (f64::from(x), f64::from(y)))
}

/// Distance between the watcher's replica and the server; infinite while the vectors differ.
fn distance_by_watcher(game: &Engine, page: &Page, watcher: &Page) -> f64 {
    let id = page.replica.own_id().expect("the page has an id");
    let remote = watcher.replica.remote(id).expect("the watcher sees the page");
    let vector = game.world().vector(page.slot);
    let is_same_way = (remote.vector.dx(), remote.vector.dy()) == (vector.dx(), vector.dy());
    if is_same_way { distance(game, page, (remote.x, remote.y)) } else { f64::INFINITY }
}

/// Plays page A with one stall, and asserts that the page and then the watcher agree in time.
fn play(stall_from_ms: u64, stall_ms: u64, watched_ms: u64) {
    let case = format!("a stall of {stall_ms} ms from {stall_from_ms} ms");
    let (mut game, mut metrics) = (Engine::new(&config(), 0, 0), Metrics::default());
    let mut watcher = Page::join(&mut game, &mut metrics);
    let mut page = Page::join(&mut game, &mut metrics);
    let (mut answered, mut watched_from_ms) = (0, None);
    let mut lines = page_a(stall_from_ms).into_iter().peekable();
    thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 1, 8).expect("a thread");
        let stall_at_ms = SETTLED_MS + BEFORE_MS;
        let stall = stall_at_ms..stall_at_ms + stall_ms;
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
                // Between its steps the page draws its last position, while the server extrapolates.
                let (stands, steps) =
                    (game.world().vector(page.slot) == Vector::ZERO, page.replica.own().answered > answered);
                let distance = distance_by_page(&game, &page);
                assert!(
                    !(stands || steps) || distance <= STEP,
                    "{case}: {distance} units off at {now_ms} ms"
                );
                if distance_by_watcher(&game, &page, &watcher) <= STEP {
                    watched_from_ms.get_or_insert(now_ms - stall.end - AGREED_MS);
                }
            }
            answered = page.replica.own().answered;
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
        "{case}: the watcher agreed after another {watched_from_ms:?} ms"
    );
}

/// The world around the start of page A's first walk.
fn config() -> Config {
    Config { spawn_min_x: 560, spawn_max_x: 561, spawn_min_y: 728, spawn_max_y: 729, ..Config::default() }
}

#[test]
fn all_replicas_agree_after_a_stall_with_a_held_key() {
    // Page A holds a key from 18.2 s to 27.0 s and another one from 28.3 s to 36.5 s of the recording.
    for (stall_from_ms, stall_ms) in [(20_000, 3_000), (19_500, 5_000), (21_000, 10_000)] {
        play(stall_from_ms, stall_ms, WATCHED_MS);
    }
}

#[test]
fn all_replicas_agree_after_a_stall_with_a_released_key() {
    for (stall_from_ms, stall_ms) in [(34_500, 3_000), (32_500, 5_000), (28_000, 10_000)] {
        play(stall_from_ms, stall_ms, STANDING_WATCHED_MS);
    }
}
