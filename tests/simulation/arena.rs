//! A server without a network: messages and flushes arrive immediately, so the server causes any error of a replica.
//! Bytes are counted as on the wire.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use game_client::{ClientMessage, Replica, ReplicaOptions};
use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::system::Listener;
use pixi_game_server::world::Position;

use super::TICK_RATE_HZ;
use super::check::slot_of;
use super::client::{ClientStream, handshake};
use super::machine::socket::Plan;
use super::machine::{ClientEnd, Host, NS_PER_MS};
use super::peer::BINARY;
use crate::support::raw::masked;

/// A player with its connection and its replica.
pub struct ArenaPlayer {
    pub replica: Replica,
    /// Bytes of whole messages that the player sent, with their frames.
    pub bytes_in: u64,
    /// Bytes of whole messages that the player received, with their frames.
    pub bytes_out: u64,
    /// Number of snapshots that the player received.
    pub snapshots: u64,
    pipe: ClientEnd,
    stream: ClientStream,
    slot: u32,
    /// Messages held back by the network in both directions; `None` without a stall.
    held: Option<Vec<ClientMessage>>,
}

pub struct Arena {
    host: Host,
    pub players: Vec<ArenaPlayer>,
    /// Distance of a step of all clients, in units.
    step_units: f64,
    tick: u64,
}

impl Arena {
    /// Runs a test in an empty world with this configuration.
    pub fn run(config: &Config, test: impl FnOnce(&mut Arena, &mut Pool)) {
        thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 1, 64).expect("threads");
            let mut host = Host::new(1, config.clone());
            host.core.system_mut().work_ns = 0;
            let step_units = f64::from(config.player_speed.thousandths()) / 1_000.0;
            test(&mut Arena { host, players: Vec::new(), step_units, tick: 0 }, &mut pool);
        });
    }

    pub fn metrics(&self) -> &Metrics {
        self.host.core.metrics()
    }

    pub fn now_ms(&self) -> u64 {
        self.tick * 1000 / TICK_RATE_HZ
    }

    /// Adds a player; returns its index.
    pub fn join(&mut self, pool: &mut Pool) -> usize {
        let step_units = self.step_units;
        let options =
            ReplicaOptions { loading_ms: 0, step_units, exceeds_rate: true, ..ReplicaOptions::default() };
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + self.players.len() as u32));
        let pipe = self.host.connect(Listener::Public, address, Plan::None);
        pipe.borrow_mut().send_buffer_bytes = usize::MAX;
        pipe.borrow_mut().deliver(&handshake(None));
        self.players.push(ArenaPlayer {
            replica: Replica::new(options),
            bytes_in: 0,
            bytes_out: 0,
            snapshots: 0,
            pipe,
            stream: ClientStream::default(),
            slot: 0,
            held: None,
        });
        self.host.run_until_idle(pool);
        self.receive();
        let player = self.players.last_mut().expect("it was added");
        let id = player.replica.own_id().expect("the upgrade and the first snapshot have arrived");
        player.slot = slot_of(self.host.core.engine().world(), id).expect("it has joined");
        self.players.len() - 1
    }

    /// Sends a message from a player and delivers the replies.
    pub fn send(&mut self, pool: &mut Pool, player: usize, message: &ClientMessage) {
        let player = &mut self.players[player];
        if let Some(held) = &mut player.held {
            held.push(*message);
            return;
        }
        player.replica.sent(message);
        let frame = masked(BINARY, &message.to_bytes());
        player.bytes_in += frame.len() as u64;
        player.pipe.borrow_mut().deliver(&frame);
        self.host.run_until_idle(pool);
        self.receive();
    }

    /// Starts a stall: the network holds back both directions of a player's connection.
    pub fn stall(&mut self, player: usize) {
        self.players[player].held = Some(Vec::new());
    }

    /// Ends a stall: everything held back arrives at once.
    pub fn resume(&mut self, pool: &mut Pool, player: usize) {
        let held = self.players[player].held.take().unwrap_or_default();
        self.receive();
        for message in &held {
            self.send(pool, player, message);
        }
    }

    /// Fills the player's socket, or empties it again.
    pub fn set_full(&mut self, player: usize, is_full: bool) {
        let now_ms = self.now_ms();
        let player = &mut self.players[player];
        player.pipe.borrow_mut().send_buffer_bytes = if is_full { 0 } else { usize::MAX };
        player.receive(now_ms);
    }

    /// Suspends the server for this many ticks. Then `event` happens, and the server catches up.
    pub fn suspend(&mut self, pool: &mut Pool, ticks: u64, event: impl FnOnce(&mut Arena)) {
        self.tick += ticks;
        // Deadlines are rounded down to a nanosecond.
        self.host.suspend(ticks * 1_000 * NS_PER_MS / TICK_RATE_HZ + 1);
        event(self);
        self.host.run_until_idle(pool);
        self.receive();
    }

    /// Runs one tick and flushes all due viewers.
    pub fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        self.host.run_for(self.host.next_tick_ns(), pool);
        self.host.run_until_idle(pool);
        self.receive();
        let now_ms = self.now_ms();
        for player in &mut self.players {
            player.replica.advance(now_ms);
        }
    }

    /// Delivers what the server has written.
    fn receive(&mut self) {
        let now_ms = self.now_ms();
        for player in self.players.iter_mut().filter(|player| player.held.is_none()) {
            player.receive(now_ms);
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
        self.host.core.engine().world().position(self.players[player].slot)
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
    fn receive(&mut self, now_ms: u64) {
        const GAME_STATE: u8 = 7;
        let bytes = self.pipe.borrow_mut().fetch(usize::MAX);
        if bytes.is_empty() {
            return;
        }
        let Self { replica, stream, bytes_out, snapshots, .. } = self;
        let replies = stream.receive(&bytes, |payload| {
            *snapshots += u64::from(payload[0] == GAME_STATE);
            let head = if payload.len() > 125 { 4 } else { 2 };
            *bytes_out += (head + payload.len()) as u64;
            replica.receive_payload(now_ms, payload).expect("the server follows the protocol");
        });
        self.pipe.borrow_mut().deliver(&replies);
    }
}
