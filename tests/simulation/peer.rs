//! A simulated client: the browser's behavior, its replica and its network. The server is at the other end, on a faulty socket.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use game_client::{ClientMessage, Facing, Replica, ReplicaOptions, Vector};
use pixi_game_server::limits::TICK_LATENESS_PERIODS_MAX;
use pixi_game_server::server::core::system::Listener;

use super::TICK_RATE_HZ;
use super::client::{ClientStream, handshake};
use super::hostile::Hostile;
use super::machine::random::Random;
use super::machine::socket::Plan;
use super::machine::{ClientEnd, Host};
use crate::support::raw::masked;

/// Interval of the browser's steps, in milliseconds.
const STEP_MS: u64 = 1000 / 24 + 1;

/// Maximum network delay of a message, in milliseconds; the rest of a split message may take as long again.
const DELAY_MS_MAX: u64 = 60;

/// Largest lateness of the world while a client takes a message, in milliseconds: a tick that is not skipped.
const WORLD_LATENESS_MS_MAX: u64 = (TICK_LATENESS_PERIODS_MAX + 2) * 1_000 / TICK_RATE_HZ + 1;

/// Duration of the attack animation, in milliseconds.
const ATTACK_MS: u64 = 1000;

pub const BINARY: u8 = 0x82;

/// Size of the socket's send buffer: less than some snapshots.
const ROOM_BYTES: usize = 400;

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
    pub replica: Replica,
    pub pipe: ClientEnd,
    pub stream: ClientStream,
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
}

impl Peer {
    /// Connects from an address of its own. The cookie continues a session.
    pub fn connect(host: &mut Host, cookie: Option<&str>, random: &mut Random) -> Self {
        let now_ms = host.now_ms();
        let options = ReplicaOptions {
            loading_ms: 20 + random.below(700),
            lateness_ms: 2 * DELAY_MS_MAX + WORLD_LATENESS_MS_MAX,
            visible_max: Some(host.core.engine().viewers().settings().max_visible),
            ..ReplicaOptions::default()
        };
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | random.below(1 << 23) as u32));
        let plan = Plan::Transient(Random::new(random.below(u64::from(u32::MAX))));
        let pipe = host.connect(Listener::Public, address, plan);
        pipe.borrow_mut().send_buffer_bytes = ROOM_BYTES;
        let mut peer = Self {
            replica: Replica::new(options),
            pipe,
            stream: ClientStream::default(),
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
        };
        peer.send_bytes(handshake(cookie), now_ms, random);
        if random.chance(2) {
            let (width, height) = (100 + random.below(1200) as u16, 100 + random.below(1200) as u16);
            peer.send(&ClientMessage::Viewport { width, height }, now_ms, random);
        }
        peer
    }

    /// Leaves: with a Close, with a LEAVE, without a word, or by a broken connection.
    pub fn leave(&mut self, random: &mut Random) {
        self.has_left = true;
        // A last frame can't be sent before the upgrade, or into the middle of another one.
        let may_send = self.replica.own_id().is_some() && self.upstream.is_empty();
        let mut pipe = self.pipe.borrow_mut();
        match random.below(5) {
            0 | 1 if !may_send => {}
            0 => pipe.deliver(&masked(0x88, &1001_u16.to_be_bytes())),
            1 => pipe.deliver(&masked(BINARY, &ClientMessage::Leave.to_bytes())),
            2 => return pipe.break_with(ErrorKind::ConnectionReset),
            3 => return pipe.break_with(ErrorKind::TimedOut),
            _ => {}
        }
        pipe.close();
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
            let mut pipe = self.pipe.borrow_mut();
            pipe.send_buffer_bytes = pipe.written.len();
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
        if self.replica.own_id().is_none() {
            return;
        }
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

    pub fn send(&mut self, message: &ClientMessage, now_ms: u64, random: &mut Random) {
        self.replica.sent(message);
        self.send_bytes(masked(BINARY, &message.to_bytes()), now_ms, random);
    }

    fn send_bytes(&mut self, bytes: Vec<u8>, now_ms: u64, random: &mut Random) {
        let last = self.upstream.back().map_or(0, |(at, _)| *at);
        let arrival = (now_ms + random.below(self.delay_ms)).max(last);
        self.upstream.push_back((arrival, bytes));
    }

    /// Delivers what has arrived at the server's socket; the network splits it at times.
    pub fn deliver_to_server(&mut self, now_ms: u64, random: &mut Random) {
        while let Some((_, mut bytes)) = self.upstream.pop_front_if(|(at, _)| *at <= now_ms) {
            if random.chance(10) {
                let rest = bytes.split_off(random.below(bytes.len() as u64) as usize);
                self.upstream.push_front((now_ms + 1 + random.below(self.delay_ms), rest));
            }
            self.pipe.borrow_mut().deliver(&bytes);
        }
    }

    /// Reads the content of the socket unless the client is stalled, and splits it at a random position.
    pub fn transmit(&mut self, now_ms: u64, random: &mut Random) {
        if self.is_stalled(now_ms) {
            return;
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.send_buffer_bytes = ROOM_BYTES;
        let mut sent = pipe.fetch(usize::MAX);
        if sent.is_empty() {
            self.has_left |= pipe.is_over() && self.downstream.is_empty();
            return;
        }
        let last = self.downstream.back().map_or(0, |(at, _)| *at);
        let arrival = (now_ms + random.below(self.delay_ms)).max(last);
        let rest = sent.split_off(random.below(sent.len() as u64) as usize);
        // Bounds the delay however much data is in flight.
        let latest = arrival.max(now_ms + 2 * self.delay_ms);
        let later = (arrival + random.below(self.delay_ms)).min(latest);
        self.downstream.push_back((arrival, sent));
        self.downstream.push_back((later, rest));
    }

    pub fn deliver_to_client(&mut self, now_ms: u64, random: &mut Random) {
        while let Some((_, bytes)) = self.downstream.pop_front_if(|(at, _)| *at <= now_ms) {
            let replica = &mut self.replica;
            let replies = self.stream.receive(&bytes, |payload| {
                replica.receive_payload(now_ms, payload).expect("the server follows the protocol");
            });
            if !replies.is_empty() {
                self.send_bytes(replies, now_ms, random);
            }
        }
        self.replica.advance(now_ms);
    }
}

/// Removes one unmasked binary frame from the front, if it is complete.
pub fn take_payload<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (first, payload) = take_frame(bytes)?;
    assert_eq!(first, BINARY, "each message is one binary frame");
    Some(payload)
}

/// Removes one unmasked frame from the front, if it is complete: its first byte, and its payload.
pub fn take_frame<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (length, head) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        length => (usize::from(length), 2),
    };
    let (first, payload) = (bytes[0], bytes.get(head..head + length)?);
    *bytes = &bytes[head + length..];
    Some((first, payload))
}

pub fn any_vector(random: &mut Random) -> Vector {
    let axis = |random: &mut Random| random.below(3) as i8 - 1;
    Vector::new(axis(random), axis(random)).expect("each axis is -1, 0 or 1")
}
