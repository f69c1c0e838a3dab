//! Connecting clients: at the connect rate, or as fast as the server completes handshakes, whichever is slower.

use std::net::Ipv4Addr;

use game_client::text::printable;
use game_client::{ClientMessage, ServerMessage, handshake};
use mio::{Interest, Token};

use super::Load;
use crate::avatar::Avatar;
use crate::behaviour::{Behaviour, Rules, SECOND_NS};
use crate::connection::Phase;
use crate::options::Options;
use crate::schedule::{Entry, FixedRate, Task};

/// Most concurrent handshakes. Servers bound them too.
const HANDSHAKES_MAX: usize = 256;

/// Most connections started per iteration: each costs the kernel a whole TCP handshake.
const CONNECTS_PER_ITERATION: usize = 4;

/// Longest time from connect to the first snapshot, in nanoseconds.
const HANDSHAKE_TIMEOUT_NS: u64 = 10 * SECOND_NS;

/// Receive buffer of slow readers, in bytes. Small, so that the server experiences backpressure.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 4_096;

/// Progress of connecting.
#[derive(Debug)]
pub struct Arrivals {
    rate: FixedRate,
    /// Clients whose connection has started.
    started: usize,
    wanted: usize,
    /// Clients that are connecting.
    pub handshaking: usize,
    /// Time at which connecting began.
    began_ns: u64,
    request: Vec<u8>,
}

impl Arrivals {
    pub fn new(options: &Options, now_ns: u64) -> Arrivals {
        Arrivals {
            rate: FixedRate::new(now_ns, options.connect_rate),
            started: 0,
            wanted: options.clients,
            handshaking: 0,
            began_ns: now_ns,
            request: handshake::request(&options.server.authority, &options.server.path, None),
        }
    }

    /// Returns the time of the next connection; `u64::MAX` while the limit of handshakes is reached.
    pub fn next_ns(&self) -> u64 {
        if self.may_begin() { self.rate.next_ns() } else { u64::MAX }
    }

    /// Whether every client has joined or failed.
    pub fn is_over(&self) -> bool {
        self.started == self.wanted && self.handshaking == 0
    }

    /// Starts no further connections.
    pub fn stop(&mut self) {
        self.wanted = self.started;
    }

    fn may_begin(&self) -> bool {
        self.started < self.wanted && self.handshaking < HANDSHAKES_MAX
    }
}

impl Load {
    /// Starts the connections that are due.
    pub(super) fn arrive(&mut self) {
        for _ in 0..CONNECTS_PER_ITERATION {
            let now_ns = self.clock.now_ns();
            if !self.arrivals.may_begin() || !self.arrivals.rate.take_due(now_ns) {
                break;
            }
            let index = self.arrivals.started;
            self.arrivals.started += 1;
            self.begin(index, now_ns);
        }
    }

    /// Starts a client's connection.
    pub(super) fn begin(&mut self, index: usize, now_ns: u64) {
        // The ports of 127.0.0.1 stay free for other programs.
        let number = index.checked_rem(self.options.source_addresses as usize);
        let source = number.map(|number| Ipv4Addr::new(127, 0, 0, 2 + number as u8));
        self.arrivals.handshaking += 1;
        let client = &mut self.clients[index];
        client.leave();
        (client.phase, client.began_ns) = (Phase::Connecting, now_ns);
        client.highest_before = self.churn.ids.highest;
        let is_small = client.is_slow && self.options.read_every.is_none();
        let receive_buffer = is_small.then_some(SLOW_RECEIVE_BUFFER_BYTES);
        let (server, registry) = (self.options.server.address, self.poll.registry());
        let begun = client.connection.begin(server, source, receive_buffer, registry, Token(index));
        if let Err(error) = begun {
            self.fail(index, &error.to_string());
        }
    }

    /// Records a failed connection.
    pub(super) fn fail(&mut self, index: usize, reason: &str) {
        *self.connections.failures.entry(printable(reason).into_owned()).or_default() += 1;
        self.remove(index);
    }

    /// Handles the result of a non-blocking connect.
    pub(super) fn finish_connect(&mut self, index: usize) {
        let client = &mut self.clients[index];
        match client.connection.finish_connect() {
            Ok(true) => client.phase = Phase::Upgrading,
            Ok(false) => return,
            Err(error) => return self.fail(index, &error.to_string()),
        }
        if let Err(error) = client.connection.write(&self.arrivals.request) {
            self.fail(index, &error.to_string());
        } else if client.vanishes {
            self.vanish(index);
        }
    }

    /// Handles the first snapshot: the client learns its id (the highest) and position, and starts to play.
    pub(super) fn enter(&mut self, index: usize, payload: &[u8], now_ns: u64) -> bool {
        let own = match ServerMessage::decode(payload) {
            Ok(ServerMessage::GameState(entries)) => {
                let own = entries.into_iter().max_by_key(|entry| entry.id);
                own.ok_or_else(|| "the first GAME_STATE was empty".to_owned())
            }
            Ok(_) => Err("the first message was not a GAME_STATE".to_owned()),
            Err(error) => Err(format!("the first message: {error}")),
        };
        let own = match own {
            Ok(own) => own,
            Err(reason) => {
                self.fail(index, &reason);
                return false;
            }
        };
        let client = &mut self.clients[index];
        client.phase = Phase::Playing;
        client.id = own.id;
        let Options { world_side, player_speed, .. } = self.options;
        client.avatar = Some(Avatar::new(own.x, own.y, own.facing, world_side, player_speed, now_ns));
        self.churn.ids.record(own.id, client.highest_before);
        self.players.insert(own.id, index);
        self.connections.playing += 1;
        self.arrivals.handshaking -= 1;
        if client.connection.generation == 1 {
            self.connections.connect.record(now_ns - client.began_ns);
            self.connections.joined += 1;
            self.connections.joined_in_s = (now_ns - self.arrivals.began_ns) as f64 / 1e9;
        } else {
            self.record_return(index, now_ns);
        }
        self.settle_in(index, now_ns);
        true
    }

    fn settle_in(&mut self, index: usize, now_ns: u64) {
        if let Some((width, height)) = self.options.viewport {
            self.send(index, &[ClientMessage::Viewport { width, height }], now_ns);
        }
        let client = &mut self.clients[index];
        let profile = self.options.profile.pick(&mut client.random);
        client.claims = self.options.move_bytes.or(profile.move_bytes()) == Some(14);
        let Options { world_side, player_speed: step_units, .. } = self.options;
        let rules = Rules { world_side, step_units };
        let (behaviour, first_ns) = Behaviour::begin(profile, rules, now_ns, &mut client.random);
        client.behaviour = behaviour;
        let generation = client.connection.generation;
        let mut plan = |due_ns, task| self.tasks.add(Entry { due_ns, client: index, generation, task });
        if !self.stage.is_active() {
            // All players are stopping, including one that joins late.
            return plan(now_ns, Task::Stop);
        }
        if let Some(due_ns) = first_ns {
            plan(due_ns, Task::Play);
        }
        if self.clients[index].is_slow {
            let interval_ns = self.read_interval_ns();
            let first_ns = now_ns + self.clients[index].random.u64(..interval_ns);
            self.tasks.add(Entry { due_ns: first_ns, client: index, generation, task: Task::Read });
            if self.options.read_every.is_some() {
                self.listen(index, Interest::WRITABLE);
            }
        }
    }

    /// Reports only this readiness of a client's socket from now on. Each report costs the servers and this program time.
    pub(super) fn listen(&mut self, index: usize, interest: Interest) {
        let listened = self.clients[index].connection.listen(self.poll.registry(), Token(index), interest);
        if let Err(error) = listened {
            self.lose(index, &error.to_string());
        }
    }

    /// Fails connections that exceed the handshake timeout.
    pub(super) fn time_out_arrivals(&mut self, now_ns: u64) {
        if self.arrivals.handshaking == 0 {
            return;
        }
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if client.phase.is_arriving() && now_ns > client.began_ns + HANDSHAKE_TIMEOUT_NS {
                let reason = match client.phase {
                    Phase::Connecting => "timed out while connecting",
                    Phase::Upgrading => "timed out while upgrading",
                    _ => "timed out before the first GAME_STATE",
                };
                self.fail(index, reason);
            }
        }
    }
}
