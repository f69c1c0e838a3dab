//! A Redis in memory: a lossy bus between nodes, the counter of ids, and stored sessions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use pixi_game_server::cluster::bus::Bus;
use pixi_game_server::cluster::link::{Command, Counters, LinkEvent, Record};
use pixi_game_server::cluster::message::NodeId;
use pixi_game_server::cluster::{Channel, Outgoing};
use pixi_game_server::limits::{LEASE_IDS, PLAYER_ID_FIRST};
use pixi_game_server::sessions::{SessionEntry, SessionToken, SessionWrite};

use super::random::Random;

/// Rewrites an overheard message.
pub type Forger = Box<dyn FnMut(&[u8], &mut Random) -> Vec<u8>>;

/// The server that all nodes share.
pub struct Redis {
    /// Time of the simulation, in milliseconds.
    pub now_ms: u64,
    random: Random,
    pub links: Vec<Link>,
    id_counter: u32,
    /// A failover loses this many of the next leases: their ids are granted again.
    pub leases_lost: u32,
    sessions: HashMap<SessionToken, Stored>,
    events: u64,
    /// Whether messages are lost, repeated and delayed.
    pub is_chaotic: bool,
    /// A forger that overhears every message.
    pub forger: Option<Forger>,
}

/// The connection of one node.
pub struct Link {
    node: NodeId,
    /// Events on their way, by the time of their arrival.
    inbox: BTreeMap<(u64, u64), LinkEvent>,
    subscriptions: BTreeSet<Channel>,
    /// Messages from and to the node are lost until this time.
    pub cut_off_until_ms: u64,
    /// The connection is broken until this time.
    pub down_until_ms: u64,
    generation: u64,
}

/// A stored session: the node that wrote it, the time in milliseconds, and the entry.
type Stored = (NodeId, u64, SessionEntry);

impl Redis {
    pub fn new(seed: u64) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            now_ms: 0,
            random: Random::new(seed ^ 0xc1),
            links: Vec::new(),
            id_counter: 0,
            leases_lost: 0,
            sessions: HashMap::new(),
            events: 0,
            is_chaotic: false,
            forger: None,
        }))
    }

    /// Connects a node once this time has come.
    pub fn connect(this: &Rc<RefCell<Self>>, node: NodeId, from_ms: u64) -> SimulatedBus {
        let link = this.borrow().links.len();
        this.borrow_mut().links.push(Link {
            node,
            inbox: BTreeMap::new(),
            subscriptions: BTreeSet::from([Channel::All]),
            cut_off_until_ms: 0,
            down_until_ms: from_ms,
            generation: 1,
        });
        SimulatedBus { redis: Rc::clone(this), link, counters: Counters::default() }
    }

    /// Breaks the connection of a node until this time.
    pub fn break_link(&mut self, link: usize, until_ms: u64) {
        let link = &mut self.links[link];
        link.inbox.clear();
        (link.down_until_ms, link.generation) = (until_ms, link.generation + 1);
    }

    fn is_up(&self, link: usize) -> bool {
        self.now_ms >= self.links[link].down_until_ms
    }

    fn run(&mut self, from: usize, command: Command) {
        match command {
            Command::Publish(messages) => {
                for message in messages {
                    self.publish(from, &message);
                }
            }
            Command::Resubscribe => {}
            Command::RaiseIdCounter(bounds) => {
                self.id_counter = self.id_counter.max(bounds.min.min(bounds.max));
            }
            Command::LeaseIds { bounds, may_create } => {
                if self.id_counter > 0 || may_create {
                    let start = self.id_counter.max(bounds.min).max(PLAYER_ID_FIRST);
                    self.id_counter = if self.leases_lost > 0 { start } else { start + LEASE_IDS };
                    self.leases_lost = self.leases_lost.saturating_sub(1);
                    self.deliver(from, LinkEvent::IdsLeased(start..start + LEASE_IDS), 0);
                }
            }
            Command::StoreSessions(writes, _) => {
                for write in writes {
                    self.store(from, write);
                }
            }
            Command::FetchSessions(tokens) => {
                let fetched = tokens.into_iter().map(|token| (token, self.fetch(token))).collect();
                self.deliver(from, LinkEvent::SessionsFetched(fetched), 0);
            }
        }
    }

    fn store(&mut self, from: usize, SessionWrite { token, entry }: SessionWrite) {
        if entry == SessionEntry::Deleted {
            self.sessions.remove(&token);
        } else {
            self.sessions.insert(token, (self.links[from].node, self.now_ms, entry));
        }
    }

    /// Takes a stored session; a rotated token leads to the current one.
    fn fetch(&mut self, mut token: SessionToken) -> Option<Record> {
        let mut stored = self.sessions.remove(&token)?;
        if let (_, _, SessionEntry::ReplacedBy(current)) = stored {
            (token, stored) = (current, self.sessions.remove(&current)?);
        }
        let (node, written_ms, entry) = stored;
        let (player, saved) = match entry {
            SessionEntry::Active(saved, player) => (Some(player), saved),
            SessionEntry::Disconnected(saved) => (None, saved),
            SessionEntry::ReplacedBy(_) | SessionEntry::Deleted => return None,
        };
        Some(Record { token, node, player, saved: saved.after(self.now_ms - written_ms) })
    }

    fn publish(&mut self, from: usize, Outgoing { channel, bytes }: &Outgoing) {
        let is_cut_off = |redis: &Self, link: usize| redis.now_ms < redis.links[link].cut_off_until_ms;
        for to in 0..self.links.len() {
            let is_reached = !is_cut_off(self, from) && !is_cut_off(self, to) && self.is_up(to);
            if is_reached && self.links[to].subscriptions.contains(channel) {
                self.send(to, bytes);
            }
            if let Some(mut forger) = self.forger.take() {
                if self.random.chance(20) {
                    let forged = forger(bytes, &mut self.random);
                    self.send(to, &forged);
                }
                self.forger = Some(forger);
            }
        }
    }

    /// Sends a message to a node. In chaos, one in ten is lost, one in ten is repeated, and each is delayed by up to a second.
    fn send(&mut self, to: usize, bytes: &[u8]) {
        let copies = match self.random.below(10) {
            0 if self.is_chaotic => 0,
            1 if self.is_chaotic => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let held_ms = match self.random.below(4) {
                _ if !self.is_chaotic => 0,
                0 => self.random.below(1_000),
                _ => self.random.below(32),
            };
            self.deliver(to, LinkEvent::Message(bytes.to_vec()), held_ms);
        }
    }

    fn deliver(&mut self, to: usize, event: LinkEvent, delay_ms: u64) {
        self.events += 1;
        self.links[to].inbox.insert((self.now_ms + 1 + delay_ms, self.events), event);
    }
}

/// A node's end of the bus.
pub struct SimulatedBus {
    redis: Rc<RefCell<Redis>>,
    link: usize,
    counters: Counters,
}

impl std::fmt::Debug for SimulatedBus {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "bus of node {}", self.link)
    }
}

impl SimulatedBus {
    fn has_event(&self) -> bool {
        let redis = self.redis.borrow();
        let next = redis.links[self.link].inbox.first_key_value();
        redis.is_up(self.link) && next.is_some_and(|((at_ms, _), _)| *at_ms <= redis.now_ms)
    }
}

impl SimulatedBus {
    /// The link of another process that continues as this node.
    pub fn reconnect(&self) -> Self {
        let link = &mut self.redis.borrow_mut().links[self.link];
        link.subscriptions = BTreeSet::from([Channel::All]);
        link.generation += 1;
        Self { redis: Rc::clone(&self.redis), link: self.link, counters: Counters::default() }
    }
}

impl Bus for SimulatedBus {
    fn address(&self) -> &'static str {
        "simulated"
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn is_up(&self) -> bool {
        let is_up = self.redis.borrow().is_up(self.link);
        // A real link counts the attempts to connect.
        self.counters.failures.fetch_add(u64::from(!is_up), Ordering::Relaxed);
        is_up
    }

    fn subscribers(&self) -> u64 {
        let redis = self.redis.borrow();
        (0..redis.links.len()).filter(|&link| redis.is_up(link)).count() as u64
    }

    fn generation(&self) -> u64 {
        self.redis.borrow().links[self.link].generation
    }

    fn send(&self, command: Command) -> bool {
        let mut redis = self.redis.borrow_mut();
        if redis.is_up(self.link) {
            redis.run(self.link, command);
        }
        true
    }

    fn subscribe(&self, channels: BTreeSet<Channel>) {
        self.redis.borrow_mut().links[self.link].subscriptions = channels;
    }

    fn take_wakeup(&self) -> bool {
        self.has_event()
    }

    fn next_event(&self) -> Option<LinkEvent> {
        if !self.has_event() {
            return None;
        }
        let (_, event) = self.redis.borrow_mut().links[self.link].inbox.pop_first()?;
        Some(event)
    }
}
