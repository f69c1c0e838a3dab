//! Tests of deferred messages and of the rate they use.

use proptest::prelude::*;

use super::*;
use crate::admission::rate::RateLimiter;
use crate::config::Config;
use crate::ops::metrics::Metrics;
use crate::ops::metrics::{Closed, FrameOut};
use crate::server::core::engine::Engine;
use crate::server::core::input::InputState;
use crate::wire::message::{Facing, Move, Vector};
use crate::wire::websocket::WebSocket;

fn step(sequence: u32) -> ClientMessage {
    ClientMessage::Move(Move { vector: Vector::default(), sequence, claim: None })
}

#[test]
fn the_latest_of_each_kind_waits_in_order_of_arrival() {
    let mut deferred = Deferred::default();
    let surplus = [
        (step(1), false),
        (ClientMessage::Direction(Facing::Left), false),
        (step(2), true),
        (ClientMessage::AttackEnd, false),
        (ClientMessage::Direction(Facing::Right), true),
    ];
    for (message, is_replaced) in surplus {
        assert_eq!(deferred.replace(message), is_replaced, "{message:?}");
    }
    let expected = [step(2), ClientMessage::AttackEnd, ClientMessage::Direction(Facing::Right)];
    assert_eq!(deferred.messages, expected);
}

#[test]
fn a_repeated_attack_end_does_not_overtake_a_move() {
    // The client repeats ATTACK_END once a second.
    let attack = ClientMessage::Attack;
    let end = ClientMessage::AttackEnd;
    let mut deferred = Deferred::default();
    let surplus = [(attack, false), (end, false), (step(1), false), (end, true), (end, true)];
    for (message, is_dropped) in surplus {
        assert_eq!(deferred.replace(message), is_dropped, "{message:?}");
    }
    assert_eq!(deferred.messages, [attack, end, step(1)]);
    // The end of another attack moves to the back.
    assert!(deferred.replace(attack) && deferred.replace(end));
    assert_eq!(deferred.messages, [step(1), attack, end]);
}

/// A player alone in an engine, without a socket.
struct Player {
    game: Engine,
    metrics: Metrics,
    slot: u32,
    websocket: WebSocket,
    limiter: RateLimiter,
    deferred: Deferred,
    out: Vec<u8>,
}

const TICK_MS: u64 = 16;

impl Player {
    fn join() -> Self {
        let (mut game, mut metrics) = (Engine::new(&Config::default(), 0, 0), Metrics::default());
        let slot = game.join(None, &mut Vec::new(), &mut metrics);
        Self {
            game,
            metrics,
            slot,
            websocket: WebSocket::new(256),
            limiter: RateLimiter::new(0),
            deferred: Deferred::default(),
            out: Vec::new(),
        }
    }

    fn parts(&mut self) -> (&mut Engine, InputState<'_>, &mut Vec<u8>, &mut Metrics) {
        let sender = InputState {
            slot: self.slot,
            websocket: &mut self.websocket,
            limiter: &mut self.limiter,
            deferred: &mut self.deferred,
        };
        (&mut self.game, sender, &mut self.out, &mut self.metrics)
    }

    /// Sends one message. Returns why the connection closed, if it did.
    fn send(&mut self, payload: &[u8], now_ms: u64) -> Option<Closed> {
        let frame = [&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        let (game, mut sender, out, metrics) = self.parts();
        sender.receive(game, &frame, Arrival::at(now_ms), out, metrics).closed
    }

    fn send_move(&mut self, sequence: u32, now_ms: u64) -> Option<Closed> {
        self.send(&[&[3, 0b0101][..], &sequence.to_le_bytes()].concat(), now_ms)
    }

    fn tick(&mut self, now_ms: u64) {
        let (game, mut sender, out, metrics) = self.parts();
        sender.apply_deferred(game, Arrival::at(now_ms), out, metrics);
    }

    /// Returns the sequence numbers of the acks so far.
    fn acks(&self) -> Vec<u32> {
        let sequence = |ack: &[u8]| u32::from_le_bytes(ack[11..15].try_into().expect("four bytes"));
        self.out.chunks_exact(15).map(sequence).collect()
    }
}

/// Sends `per_s` MOVEs a second. Returns how many were accepted, and the second in which the connection was closed.
fn flood(per_s: u64, seconds: u64) -> (u64, Option<u64>) {
    let mut player = Player::join();
    let mut ticked_ms = 0;
    for n in 0..per_s * seconds {
        let now_ms = n * 1000 / per_s;
        while ticked_ms + TICK_MS <= now_ms {
            ticked_ms += TICK_MS;
            player.tick(ticked_ms);
        }
        if player.send_move(n as u32, now_ms) == Some(Closed::Flood) {
            return (player.metrics.frames_out[FrameOut::Ack], Some(now_ms / 1000));
        }
    }
    (player.metrics.frames_out[FrameOut::Ack], None)
}

#[test]
fn deferring_neither_raises_the_rate_nor_delays_a_flood_close() {
    let (accepted, closed_s) = flood(240, 60);
    assert_eq!(closed_s, Some(5));
    assert!(accepted <= 60 + 60 * 6, "{accepted}");
    let (accepted, closed_s) = flood(120, 100);
    assert_eq!(closed_s, None, "twice the rate is no flood");
    assert!((6000..=6061).contains(&accepted), "{accepted}");
}

#[test]
fn a_dropped_ping_does_not_remove_an_ack() {
    let mut player = Player::join();
    for sequence in 1..=61 {
        player.send_move(sequence, 0);
    }
    // The limiter allows one message: the deferred MOVE, not the ping that arrived after it.
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let (game, mut sender, out, metrics) = player.parts();
    sender.receive(game, &ping, Arrival::at(TICK_MS + 1), out, metrics);
    assert_eq!(player.acks().last(), Some(&61));
    assert_eq!(player.metrics.rate_limited_total, 1, "the ping");
}

proptest! {
    #[test]
    fn the_latest_move_is_applied_within_the_rate(
        bursts in proptest::collection::vec((0u64..3_000, 1u32..200), 1..12),
    ) {
        let mut player = Player::join();
        let (mut now_ms, mut sequence, mut is_closed) = (0, 0, false);
        for (pause_ms, moves) in bursts {
            for at_ms in (now_ms..=now_ms + pause_ms).step_by(TICK_MS as usize) {
                player.tick(at_ms);
            }
            now_ms += pause_ms;
            for _ in 0..moves {
                sequence += 1;
                is_closed |= player.send_move(sequence, now_ms).is_some();
            }
            let accepted = player.metrics.frames_out[FrameOut::Ack];
            prop_assert!(accepted <= 60 + now_ms * 60 / 1000, "{accepted} by {now_ms} ms");
            prop_assert!(player.deferred.len() <= 1, "one MOVE at most");
            if is_closed {
                return Ok(());
            }
        }
        player.tick(now_ms + 2 * TICK_MS);
        let acks = player.acks();
        prop_assert!(acks.is_sorted());
        prop_assert_eq!(acks.last(), Some(&sequence), "the last MOVE is answered");
        let (came, dropped) = (player.metrics.messages_in_total, player.metrics.rate_limited_total);
        prop_assert_eq!(came, acks.len() as u64 + dropped, "each is accepted or counted as dropped");
    }
}
