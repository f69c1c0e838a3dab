//! A simulated client: the browser's behavior, its replica and its network. The server's connection is at the
//! other end, on a faulty socket.

use std::collections::VecDeque;

use game_client::{ClientMessage, Facing, Replica, ReplicaOptions, Vector};
use pixi_game_server::admission::rate::RateLimiter;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::server::core::connection::{
    Connection, Phase, Player, ReadOutcome, Readiness, WriteFailed,
};
use pixi_game_server::server::core::deferred::Deferred;
use pixi_game_server::server::core::engine::Engine;
use pixi_game_server::wire::websocket::WebSocket;

use super::hostile::Hostile;
use super::random::Random;
use super::shim::{Plan, Shim};
use crate::support::raw::masked;

/// Interval of the browser's steps, in milliseconds.
const STEP_MS: u64 = 1000 / 24 + 1;

/// Maximum network delay of a message, in milliseconds; the rest of a split message may take as long again.
const DELAY_MS_MAX: u64 = 60;

/// Duration of the attack animation, in milliseconds.
const ATTACK_MS: u64 = 1000;

pub const BINARY: u8 = 0x82;

/// Bytes of pending replies above which the connection is not read: a few acks.
const REPLIES_BYTES_MAX: usize = 100;

/// Size of the socket's send buffer: less than some snapshots.
const ROOM_BYTES: usize = 400;

/// Size of a read: most reads end within a frame.
const READ_BYTES: usize = 48;

/// The current behavior of the player.
#[derive(Clone, Copy)]
enum Behavior {
    Idle,
    /// Holds a key: sends a MOVE with a claim in each step.
    Walking(Vector),
    /// Sent one short MOVE and keeps walking.
    Drifting,
    Attacking {
        until_ms: u64,
        then: Vector,
    },
}

pub struct Peer {
    pub slot: u32,
    pub replica: Replica,
    pub connection: Connection<Shim>,
    pub has_left: bool,
    /// Replaces the browser's behavior.
    pub hostile: Option<Hostile>,
    behavior: Behavior,
    next_step_ms: u64,
    next_attack_end_ms: Option<u64>,
    stalled_until_ms: u64,
    /// The current maximum network delay, in milliseconds.
    delay_ms: u64,
    sequence: u32,
    /// Data in flight with arrival times; in order, as with TCP.
    upstream: VecDeque<(u64, Vec<u8>)>,
    downstream: VecDeque<(u64, Vec<u8>)>,
    /// Received bytes: whole frames, and the start of one.
    arrived: Vec<u8>,
}

impl Peer {
    pub fn new(slot: u32, first_frames: &[u8], engine: &Engine, now_ms: u64, random: &mut Random) -> Self {
        let options = ReplicaOptions {
            loading_ms: 20 + random.below(700),
            lateness_ms: 2 * DELAY_MS_MAX + 40,
            visible_max: Some(engine.viewers().settings().max_visible),
            ..ReplicaOptions::default()
        };
        let player = Box::new(Player {
            last_frame_ms: now_ms,
            websocket: WebSocket::new(256),
            limiter: RateLimiter::new(now_ms),
            deferred: Deferred::default(),
            last_ping_ms: now_ms,
            unconfirmed_since_ms: None,
            session_token: None,
            last_saved_ms: 0,
        });
        let mut shim = Shim::new(Plan::Transient(Random::new(random.below(u64::from(u32::MAX)))));
        shim.send_buffer_bytes = ROOM_BYTES;
        let mut connection = Connection::new(shim, u64::MAX);
        connection.phase = Phase::Player { slot, player };
        connection.outbox.bytes().extend_from_slice(first_frames);
        let mut peer = Self {
            slot,
            replica: Replica::new(options),
            connection,
            has_left: false,
            hostile: None,
            behavior: Behavior::Idle,
            next_step_ms: now_ms + STEP_MS,
            next_attack_end_ms: None,
            stalled_until_ms: 0,
            delay_ms: DELAY_MS_MAX,
            sequence: 1 << 20,
            upstream: VecDeque::new(),
            downstream: VecDeque::new(),
            arrived: Vec::new(),
        };
        if random.chance(2) {
            let (width, height) = (100 + random.below(1200) as u16, 100 + random.below(1200) as u16);
            peer.send(&ClientMessage::Viewport { width, height }, now_ms, random);
        }
        peer
    }

    pub fn is_stalled(&self, now_ms: u64) -> bool {
        now_ms < self.stalled_until_ms
    }

    /// Starts a random action at times: another behavior, a turn, another viewport, a stall.
    pub fn act_randomly(&mut self, now_ms: u64, random: &mut Random) {
        if self.replica.own_id().is_none() || self.hostile.is_some() {
            return;
        }
        if random.chance(900) {
            self.stalled_until_ms = now_ms + random.below(4000);
            // The send buffer of a client that does not read is full and accepts nothing.
            self.connection.stream.send_buffer_bytes = self.connection.stream.written.len();
        }
        if random.chance(1200) {
            let (width, height) = (random.below(2500) as u16, random.below(2500) as u16);
            self.send(&ClientMessage::Viewport { width, height }, now_ms, random);
        }
        if random.chance(80) {
            let facing = if random.chance(2) { Facing::Left } else { Facing::Right };
            self.send(&ClientMessage::Direction(facing), now_ms, random);
        }
        if matches!(self.behavior, Behavior::Attacking { .. }) || !random.chance(60) {
            return;
        }
        let vector = any_vector(random);
        match random.below(6) {
            0 | 1 => self.stop(now_ms, random),
            2 | 3 => self.behavior = Behavior::Walking(vector),
            4 => {
                self.stop(now_ms, random);
                self.behavior = Behavior::Drifting;
                self.send_short_move(vector, now_ms, random);
            }
            _ => {
                let then = if let Behavior::Walking(vector) = self.behavior { vector } else { Vector::ZERO };
                self.behavior = Behavior::Attacking { until_ms: now_ms + ATTACK_MS, then };
                self.send(&ClientMessage::Attack { aim: Some((220.0, 218.4)) }, now_ms, random);
                self.next_attack_end_ms.get_or_insert(now_ms + ATTACK_MS);
            }
        }
    }

    /// Runs the browser without user input: steps while a key is held, and `ATTACK_END` at intervals
    /// after the first attack.
    pub fn act(&mut self, now_ms: u64, random: &mut Random) {
        if let Some(hostile) = &mut self.hostile {
            let (x, y) = self.replica.own().position();
            let message = hostile.next((x as u16, y as u16), random);
            if let Some(message) = message {
                self.send(&message, now_ms, random);
            }
            return;
        }
        if self.next_attack_end_ms.is_some_and(|at| now_ms >= at) {
            self.next_attack_end_ms = Some(now_ms + ATTACK_MS);
            self.send(&ClientMessage::AttackEnd, now_ms, random);
        }
        if let Behavior::Attacking { until_ms, then } = self.behavior
            && now_ms >= until_ms
        {
            self.behavior = if then == Vector::ZERO { Behavior::Idle } else { Behavior::Walking(then) };
        }
        if now_ms >= self.next_step_ms {
            self.next_step_ms += STEP_MS;
            if let Behavior::Walking(vector) = self.behavior {
                self.step(vector, now_ms, random);
            }
        }
    }

    /// Ends random actions and delays: the player stops unless it is drifting.
    pub fn settle(&mut self, now_ms: u64, random: &mut Random) {
        self.stalled_until_ms = 0;
        self.delay_ms = 1;
        if !matches!(self.behavior, Behavior::Drifting) {
            self.stop(now_ms, random);
        }
    }

    /// Stops the player even if it is drifting.
    pub fn halt(&mut self, now_ms: u64, random: &mut Random) {
        self.stop(now_ms, random);
    }

    fn stop(&mut self, now_ms: u64, random: &mut Random) {
        match self.behavior {
            Behavior::Walking(_) => self.step(Vector::ZERO, now_ms, random),
            _ => self.send_short_move(Vector::ZERO, now_ms, random),
        }
        self.behavior = Behavior::Idle;
    }

    fn step(&mut self, vector: Vector, now_ms: u64, random: &mut Random) {
        let message = self.replica.step(vector);
        self.send(&message, now_ms, random);
    }

    /// Load tools number their short MOVEs separately; the numbers are far from the replica's own.
    fn send_short_move(&mut self, vector: Vector, now_ms: u64, random: &mut Random) {
        self.sequence += 1;
        let message = ClientMessage::Move { vector, sequence: self.sequence, claim: None };
        self.send(&message, now_ms, random);
    }

    fn send(&mut self, message: &ClientMessage, now_ms: u64, random: &mut Random) {
        self.replica.sent(message);
        let last = self.upstream.back().map_or(0, |(at, _)| *at);
        let arrival = (now_ms + random.below(self.delay_ms)).max(last);
        self.upstream.push_back((arrival, masked(BINARY, &message.to_bytes())));
    }

    /// One iteration of the event loop for this connection: reads, replies, writes.
    ///
    /// # Errors
    /// If the connection is lost.
    pub fn deliver_to_server(
        &mut self,
        now_ms: u64,
        engine: &mut Engine,
        metrics: &mut Metrics,
        random: &mut Random,
    ) -> Result<(), WriteFailed> {
        while let Some((_, mut bytes)) = self.upstream.pop_front_if(|(at, _)| *at <= now_ms) {
            if random.chance(10) {
                let rest = bytes.split_off(random.below(bytes.len() as u64) as usize);
                self.upstream.push_front((now_ms + 1 + random.below(self.delay_ms), rest));
            }
            self.connection.stream.incoming.extend(bytes);
        }
        let connection = &mut self.connection;
        let is_writable = connection.stream.is_writable_edge();
        let is_readable = connection.stream.is_readable_edge();
        connection.note(Readiness { is_readable, is_writable, has_ended: false });
        if connection.is_readable()
            && !connection.wants_input(REPLIES_BYTES_MAX)
            && let Phase::Player { player, .. } = &mut connection.phase
        {
            player.limiter.leave_unread(now_ms);
        }
        let mut replies = Vec::new();
        while connection.is_readable() && connection.wants_input(REPLIES_BYTES_MAX) {
            let mut scratch = [0; READ_BYTES];
            match connection.read(&mut scratch, metrics) {
                ReadOutcome::Bytes(count) => {
                    take_in(connection, &scratch[..count], &mut replies, now_ms, engine, metrics);
                }
                ReadOutcome::Empty => {}
                ReadOutcome::End | ReadOutcome::Failed => return Err(WriteFailed),
            }
        }
        if connection.is_write_ready() && !replies.is_empty() {
            engine.piggyback(self.slot, true, &mut replies, metrics);
            return connection.write(&replies, now_ms, metrics);
        }
        if !replies.is_empty() {
            connection.outbox.prepend(&replies);
        }
        let backlog_since_ms = connection.outbox.backlog_since_ms();
        connection.flush(now_ms, metrics)?;
        if let Some(since_ms) = backlog_since_ms
            && connection.outbox.is_empty()
        {
            engine.backlog_drained(self.slot, now_ms - since_ms);
        }
        Ok(())
    }

    /// Reads the content of the socket unless the client is stalled, and splits it at a random position.
    pub fn transmit(&mut self, now_ms: u64, random: &mut Random) {
        if self.is_stalled(now_ms) {
            return;
        }
        let socket = &mut self.connection.stream;
        socket.send_buffer_bytes = ROOM_BYTES;
        let sent = &mut socket.written;
        if sent.is_empty() {
            return;
        }
        let last = self.downstream.back().map_or(0, |(at, _)| *at);
        let arrival = (now_ms + random.below(self.delay_ms)).max(last);
        let rest = sent.split_off(random.below(sent.len() as u64) as usize);
        // Bounds the delay however much data is in flight.
        let latest = arrival.max(now_ms + 2 * self.delay_ms);
        let later = (arrival + random.below(self.delay_ms)).min(latest);
        self.downstream.push_back((arrival, std::mem::take(sent)));
        self.downstream.push_back((later, rest));
    }

    pub fn deliver_to_client(&mut self, now_ms: u64) {
        while let Some((_, bytes)) = self.downstream.pop_front_if(|(at, _)| *at <= now_ms) {
            self.arrived.extend_from_slice(&bytes);
        }
        let mut rest = self.arrived.as_slice();
        while let Some(payload) = take_payload(&mut rest) {
            self.replica.receive_payload(now_ms, payload).expect("the server follows the protocol");
        }
        self.arrived = rest.to_vec();
        self.replica.advance(now_ms);
    }
}

/// Handles bytes that were read. The first replies of a batch go to `replies`, later ones to the outbox.
fn take_in(
    connection: &mut Connection<Shim>,
    bytes: &[u8],
    replies: &mut Vec<u8>,
    now_ms: u64,
    engine: &mut Engine,
    metrics: &mut Metrics,
) {
    let is_drained = !connection.is_readable();
    let Phase::Player { slot, player } = &mut connection.phase else {
        unreachable!("every peer is a player")
    };
    let is_first = replies.is_empty() && connection.outbox.is_empty();
    let out = if is_first { replies } else { connection.outbox.bytes() };
    let arrival = player.limiter.arrival(now_ms, now_ms);
    player.limiter.note_read(arrival, is_drained);
    let outcome = player.input_state(*slot).receive(engine, bytes, arrival, out, metrics);
    assert_eq!(outcome.closed, None, "a browser client is never disconnected");
}

/// Removes one unmasked binary frame from the front, if it is complete.
pub fn take_payload<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    assert_eq!(*bytes.first()?, BINARY, "each message is one binary frame");
    let (length, head) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(head..head + length)?;
    *bytes = &bytes[head + length..];
    Some(payload)
}

pub fn any_vector(random: &mut Random) -> Vector {
    let axis = |random: &mut Random| random.below(3) as i8 - 1;
    Vector::new(axis(random), axis(random)).expect("each axis is -1, 0 or 1")
}
