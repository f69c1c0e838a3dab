//! The engine without a network: messages and flushes arrive immediately, so the server causes any error of a replica.
//! Bytes are counted as on the wire.

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
use pixi_game_server::world::Position;

use super::peer::{BINARY, take_payload};
use crate::support::raw::masked;

pub const TICK_RATE_HZ: u64 = 60;

/// A player with its connection state and its replica.
pub struct ArenaPlayer {
    pub slot: u32,
    pub replica: Replica,
    /// Bytes of whole frames that the player sent.
    pub bytes_in: u64,
    /// Bytes of whole frames that the player received.
    pub bytes_out: u64,
    /// Number of snapshots that the player received.
    pub snapshots: u64,
    websocket: WebSocket,
    limiter: RateLimiter,
    deferred: Deferred,
    /// Data held back by the network in both directions; `None` without a stall.
    held: Option<Held>,
}

#[derive(Default)]
struct Held {
    upstream: Vec<ClientMessage>,
    downstream: Vec<u8>,
}

pub struct Arena {
    pub engine: Engine,
    pub metrics: Metrics,
    pub players: Vec<ArenaPlayer>,
    tick: u64,
}

impl Arena {
    /// Runs a test in an empty world with this configuration.
    pub fn run(config: &Config, test: impl FnOnce(&mut Arena, &mut Pool)) {
        thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 1, 64).expect("threads");
            let engine = Engine::new(config, 0, 0);
            let mut arena = Arena { engine, metrics: Metrics::default(), players: Vec::new(), tick: 0 };
            test(&mut arena, &mut pool);
        });
    }

    pub fn now_ms(&self) -> u64 {
        self.tick * 1000 / TICK_RATE_HZ
    }

    /// Adds a player; returns its index.
    pub fn join(&mut self) -> usize {
        let mut out = Vec::new();
        let slot = self.engine.join(None, &mut out, &mut self.metrics);
        let options = ReplicaOptions { loading_ms: 0, exceeds_rate: true, ..ReplicaOptions::default() };
        let mut player = ArenaPlayer {
            slot,
            replica: Replica::new(options),
            bytes_in: 0,
            bytes_out: 0,
            snapshots: 0,
            websocket: WebSocket::new(256),
            limiter: RateLimiter::new(self.now_ms()),
            deferred: Deferred::default(),
            held: None,
        };
        player.receive(&out, self.now_ms());
        self.players.push(player);
        self.players.len() - 1
    }

    /// Sends a message from a player and delivers the replies.
    pub fn send(&mut self, player: usize, message: &ClientMessage) {
        let now_ms = self.now_ms();
        let player = &mut self.players[player];
        if let Some(held) = &mut player.held {
            held.upstream.push(*message);
            return;
        }
        player.replica.sent(message);
        let frame = masked(BINARY, &message.to_bytes());
        player.bytes_in += frame.len() as u64;
        let (mut replies, arrival) = (Vec::new(), Arrival::at(now_ms));
        let mut sender = player.input_state();
        let outcome = sender.receive(&mut self.engine, &frame, arrival, &mut replies, &mut self.metrics);
        assert_eq!(outcome.closed, None);
        if !replies.is_empty() {
            self.engine.piggyback(player.slot, true, &mut replies, &mut self.metrics);
        }
        player.receive(&replies, now_ms);
    }

    /// Starts a stall: the network holds back both directions of a player's connection.
    pub fn stall(&mut self, player: usize) {
        self.players[player].held = Some(Held::default());
    }

    /// Ends a stall: everything held back arrives at once.
    pub fn resume(&mut self, player: usize) {
        let now_ms = self.now_ms();
        let held = self.players[player].held.take().unwrap_or_default();
        self.players[player].receive(&held.downstream, now_ms);
        for message in &held.upstream {
            self.send(player, message);
        }
    }

    /// Runs one tick and flushes all due viewers.
    pub fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        let now_ms = self.now_ms();
        for player in &mut self.players {
            let (mut replies, arrival) = (Vec::new(), Arrival::at(now_ms));
            player.input_state().apply_deferred(&mut self.engine, arrival, &mut replies, &mut self.metrics);
            player.receive(&replies, now_ms);
        }
        self.engine.step(1, &mut self.metrics);
        self.engine.begin_flush_round();
        while !self.engine.viewers().is_flush_round_over() {
            self.engine.flush_batch(pool, &mut |_| true, &mut self.metrics);
            while let Some((segment, frames)) = pool.batch().next_segment() {
                let slot = segment.slot;
                let mut viewers = self.players.iter_mut();
                let viewer = viewers.find(|player| player.slot == slot).expect("its player is in the arena");
                viewer.receive(frames, now_ms);
            }
        }
        for player in &mut self.players {
            player.replica.advance(now_ms);
        }
    }

    /// Runs until this many milliseconds have passed.
    pub fn run_for(&mut self, pool: &mut Pool, milliseconds: u64) {
        let end_ms = self.now_ms() + milliseconds;
        while self.now_ms() < end_ms {
            self.step(pool);
        }
    }

    /// The player's position on the server.
    pub fn position(&self, player: usize) -> Position {
        self.engine.world().position(self.players[player].slot)
    }

    /// Distance between a player's position and the position at which a viewer draws it, along the axis with the larger
    /// distance; `None` if the player is not visible.
    pub fn position_error(&self, viewer: usize, of: usize) -> Option<f64> {
        let id = self.players[of].replica.own_id().expect("it has received its id");
        let remote = self.players[viewer].replica.remote(id)?;
        let Position { x, y } = self.position(of);
        Some((remote.x - f64::from(x)).abs().max((remote.y - f64::from(y)).abs()))
    }

    /// Asserts that no replica has received a forbidden frame.
    pub fn assert_no_violations(&self) {
        for player in &self.players {
            assert_eq!(player.replica.violations(), []);
            assert_eq!(player.replica.duplicates(), [] as [u32; 0]);
        }
    }
}

impl ArenaPlayer {
    fn input_state(&mut self) -> InputState<'_> {
        let Self { slot, websocket, limiter, deferred, .. } = self;
        InputState { slot: *slot, websocket, limiter, deferred }
    }

    fn receive(&mut self, frames: &[u8], now_ms: u64) {
        const GAME_STATE: u8 = 7;
        if let Some(held) = &mut self.held {
            held.downstream.extend_from_slice(frames);
            return;
        }
        self.bytes_out += frames.len() as u64;
        let mut rest = frames;
        while let Some(payload) = take_payload(&mut rest) {
            self.snapshots += u64::from(payload[0] == GAME_STATE);
            self.replica.receive_payload(now_ms, payload).expect("the server follows the protocol");
        }
        assert!(rest.is_empty(), "only whole frames arrive");
    }
}
