//! All hostile peers. Iterations have a fixed length, so that thousands of peers cost little.
//!
//! An iteration handles events, then due tasks, then starts connections within the connect rate. Received bytes wait for a
//! while, because reading is not urgent. A peer whose connection has ended reconnects after a pause, so that the number of
//! connections stays constant.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use game_client::{Interrupt, handshake};
use mio::event::Event;
use mio::{Events, Poll, Token};

use super::kind::Kind;
use super::options::Options;
use super::peer::{Peer, Received};
use super::script::{Next, Script};
use super::tally::{Counts, End, Tally};
use crate::behaviour::SECOND_NS;
use crate::connection::Phase;
use crate::os::Clock;
use crate::schedule::{Entry, FixedRate, TaskQueue};

/// Length of an iteration.
const ITERATION: Duration = Duration::from_millis(10);

/// Maximum events per iteration.
const EVENTS_PER_ITERATION: usize = 2_048;

/// Maximum new connections per iteration, even after a delay.
const CONNECTS_PER_ITERATION: usize = 200;

/// Delay before an upgraded peer reads received bytes.
const READ_DELAY_NS: u64 = SECOND_NS / 2;

/// Minimum pause before a reconnect, and its maximum random extension: for churners, and for the other kinds.
const CHURN_PAUSE_NS: (u64, u64) = (SECOND_NS / 4, SECOND_NS / 4);
const PAUSE_NS: (u64, u64) = (SECOND_NS, SECOND_NS);

/// Size of the shared read buffer, in bytes.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The address before the first source address.
const SOURCE_BASE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);

/// A task of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Reconnect.
    Connect,
    /// Run the next step of its script.
    Act,
    /// Read received bytes.
    Read,
}

/// A run.
pub struct Swarm {
    options: Options,
    clock: Clock,
    poll: Poll,
    peers: Vec<Peer>,
    tally: Tally,
    tasks: TaskQueue<Task>,
    /// Peers that wait for the connect rate.
    arriving: VecDeque<usize>,
    connects: FixedRate,
    open: u64,
    random: Rng,
    request: Vec<u8>,
    scratch: Vec<u8>,
}

impl Swarm {
    /// Prepares a run without connecting.
    ///
    /// # Errors
    /// The kernel refuses a poll or a descriptor.
    pub fn new(options: Options) -> io::Result<Swarm> {
        let clock = Clock::start();
        let mut random = Rng::with_seed(options.seed);
        let peers = (0..options.peers).map(|index| {
            let kind = options.kinds[index % options.kinds.len()];
            Peer::new(kind, Script::new(kind, index, options.flood_rate, &mut random))
        });
        Ok(Swarm {
            peers: peers.collect(),
            tally: Tally { peers: options.peers, ..Tally::default() },
            clock,
            poll: Poll::new()?,
            tasks: TaskQueue::default(),
            arriving: (0..options.peers).collect(),
            connects: FixedRate::new(clock.now_ns(), options.connect_rate),
            open: 0,
            random,
            request: handshake::request(&options.server.authority, &options.server.path, None),
            scratch: vec![0; SCRATCH_BYTES],
            options,
        })
    }

    /// Runs for the configured time or until a signal, and returns the counts.
    ///
    /// # Errors
    /// The kernel refuses the poll. Reactions of the server never end a run early.
    pub fn run(mut self, interrupt: &Interrupt) -> io::Result<Tally> {
        let mut events = Events::with_capacity(EVENTS_PER_ITERATION);
        let end_ns = self.options.duration.as_nanos() as u64;
        while self.clock.now_ns() < end_ns && !self.tally.interrupted {
            sleep(ITERATION);
            match self.poll.poll(&mut events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
                result => result?,
            }
            for event in &events {
                self.dispatch(event);
            }
            self.run_due_tasks();
            self.connect_some();
            self.tally.interrupted = interrupt.is_requested();
        }
        for index in 0..self.peers.len() {
            let is_open = matches!(self.peers[index].phase, Phase::Upgrading | Phase::Playing);
            self.count(index, |counts| counts.open += u64::from(is_open));
        }
        self.tally.seconds = (self.clock.now_ns() as f64 / 1e6).round() / 1e3;
        Ok(self.tally)
    }

    /// Changes the counts of a peer's kind, and those of all kinds.
    fn count(&mut self, index: usize, change: impl Fn(&mut Counts)) {
        change(self.tally.kinds.entry(self.peers[index].kind).or_default());
        change(&mut self.tally.total);
    }

    fn plan(&mut self, index: usize, after_ns: u64, task: Task) {
        let generation = self.peers[index].connection.generation;
        let due_ns = self.clock.now_ns() + after_ns;
        self.tasks.add(Entry { due_ns, client: index, generation, task });
    }

    fn dispatch(&mut self, event: &Event) {
        let Token(index) = event.token();
        if self.peers[index].phase == Phase::Connecting {
            self.finish_connect(index);
        }
        let peer = &mut self.peers[index];
        if matches!(peer.phase, Phase::Disconnected | Phase::Connecting) {
            return;
        }
        if event.is_error() || (event.is_read_closed() && event.is_write_closed()) {
            return self.lose(index);
        }
        if event.is_writable() {
            peer.connection.writable = true;
            if peer.connection.flush().is_err() {
                return self.lose(index);
            }
        }
        let is_heard = event.is_read_closed() || (event.is_readable() && !peer.is_deaf());
        if is_heard && !peer.is_read_planned {
            let is_playing = peer.phase == Phase::Playing;
            self.read_after(index, if is_playing { READ_DELAY_NS } else { 0 });
        }
    }

    fn run_due_tasks(&mut self) {
        let now_ns = self.clock.now_ns();
        while let Some(Entry { client: index, generation, task, .. }) = self.tasks.take_due(now_ns) {
            if generation != self.peers[index].connection.generation {
                continue;
            }
            match task {
                Task::Connect => self.arriving.push_back(index),
                Task::Act => self.act(index),
                Task::Read => self.read(index),
            }
        }
    }

    /// Starts connections within the connect rate.
    fn connect_some(&mut self) {
        for _ in 0..CONNECTS_PER_ITERATION {
            if !self.connects.take_due(self.clock.now_ns()) {
                return;
            }
            // A time without a waiting peer is spent.
            if let Some(index) = self.arriving.pop_front() {
                self.begin(index);
            }
        }
    }

    fn begin(&mut self, index: usize) {
        let kind = self.peers[index].kind;
        let script =
            Script::new(kind, index / self.options.kinds.len(), self.options.flood_rate, &mut self.random);
        let (source, server) = (self.source(), self.options.server.address);
        if self.peers[index].begin(server, source, self.poll.registry(), Token(index), script).is_err() {
            self.end(index, End::Failed);
        }
    }

    /// Returns a random source address.
    fn source(&mut self) -> Option<Ipv4Addr> {
        let count = self.options.source_addresses;
        (count > 0).then(|| Ipv4Addr::from_bits(SOURCE_BASE.to_bits() + self.random.u32(1..=count)))
    }

    /// Handles the result of a connect.
    fn finish_connect(&mut self, index: usize) {
        match self.peers[index].connection.finish_connect() {
            Ok(true) => {}
            // The event belongs to an earlier socket of this peer.
            Ok(false) => return,
            Err(_) => return self.end(index, End::Failed),
        }
        self.peers[index].phase = Phase::Upgrading;
        self.count(index, |counts| counts.opened += 1);
        self.open += 1;
        self.tally.open_max = self.tally.open_max.max(self.open);
        self.act(index);
    }

    fn act(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let is_upgraded = peer.phase == Phase::Playing;
        if !peer.has_room() {
            // The server does not read; the next attempt is in a second.
            return self.plan(index, SECOND_NS, Task::Act);
        }
        let mut fresh = Vec::new();
        let next = peer.script.act(is_upgraded, &self.request, &mut self.random, &mut fresh);
        if peer.connection.write(&fresh).is_err() {
            return self.lose(index);
        }
        match next {
            Next::After(ns) => self.plan(index, ns, Task::Act),
            Next::Wait => {}
            Next::Close | Next::Reset => {
                if next == Next::Reset {
                    peer.connection.reset();
                }
                self.end_open(index, End::Left);
            }
        }
    }

    fn read(&mut self, index: usize) {
        self.peers[index].is_read_planned = false;
        let received = self.peers[index].receive(&mut self.scratch);
        match received {
            Ok(Received::Drained) => {}
            Ok(Received::More) => self.read_after(index, READ_DELAY_NS),
            Ok(Received::Upgraded) => {
                self.count(index, |counts| counts.upgraded += 1);
                self.act(index);
                // Unless it has left already. Bytes that arrived with the upgrade raise no further event.
                if self.peers[index].phase == Phase::Playing && !self.peers[index].is_deaf() {
                    self.read_after(index, READ_DELAY_NS);
                }
            }
            Err(end) => self.end_open(index, end),
        }
    }

    fn read_after(&mut self, index: usize, delay_ns: u64) {
        self.peers[index].is_read_planned = true;
        self.plan(index, delay_ns, Task::Read);
    }

    /// Handles a failed write. Bytes received before may contain the reason.
    fn lose(&mut self, index: usize) {
        let end = self.peers[index].last_words(&mut self.scratch);
        self.end_open(index, end);
    }

    /// Handles the end of an established connection.
    fn end_open(&mut self, index: usize, end: End) {
        self.open -= 1;
        self.end(index, end);
    }

    fn end(&mut self, index: usize, end: End) {
        self.count(index, |counts| counts.count(end));
        let peer = &mut self.peers[index];
        peer.leave();
        let (least_ns, more_ns) = if peer.kind == Kind::Churners { CHURN_PAUSE_NS } else { PAUSE_NS };
        let pause_ns = least_ns + self.random.u64(..more_ns);
        self.plan(index, pause_ns, Task::Connect);
    }
}
