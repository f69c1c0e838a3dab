//! The server without an operating system: connections, replies, admission, HTTP, sessions, replication and shutdown. It is
//! deterministic. Readiness, bytes, connections, bus messages and the time come in through [`System`] and the calls of the
//! driver, so the simulation and the fuzz targets run it whole.
//!
//! [`Core::turn`] is the table of contents. After a wait, the driver reports what is ready ([`Core::connection_ready`]: players
//! are read immediately, their input is applied, and its replies are queued). A turn then does, in this order:
//!
//! 1. `receive_from_bus`: applies messages from other nodes, within a budget.
//! 2. `read_queued`: reads again from players whose socket held more than one read's budget.
//! 3. `write_replies`: writes acks, together with deltas that are due; one write per player.
//! 4. `tick_if_due`: steps the world, starts a flush round, checks deadlines, applies load shedding and reloads.
//! 5. `write_slice`: writes a slice of the flush round, so that no burst of writes delays reads and acks.
//! 6. `serve_http`: accepts connections and serves HTTP, upgrades included, within a share of the loop's time.
//! 7. `reap`: frees the connections that died in this turn.
//! 8. `flush_bus`: hands queued messages and session writes to the bus.
//!
//! The modules by subject:
//!
//! * Players: [`player`] and [`input`] (bytes to replies), [`deferred`] (messages over the rate), [`flush`] (ticks and writes).
//!   [`engine`] is the game without connections.
//! * Connections: [`connection`], [`outbox`] and [`table`] hold their state, [`close`] ends them.
//! * Sessions: [`reconnect`] resolves tokens, [`takeover`] waits for sessions in use. [`cluster`] connects to other nodes.
//! * Admission: [`accept`], [`peer_address`], [`displacement`], [`monitoring_connections`], [`reserve_descriptors`] and
//!   [`capacity`].
//! * HTTP: [`http`], [`http_slice`], [`http_queue`], [`http_budget`], [`routes`], [`site`], [`pages`], [`negotiation`],
//!   [`metrics_cache`], [`gauges`].
//! * Operation: [`reload`], [`report`]. Time: [`tick`], [`run_clock`], [`wall_clock`]. The operating system: [`system`].

mod accept;
pub mod capacity;
mod close;
pub mod cluster;
pub mod connection;
pub mod deferred;
mod displacement;
pub mod engine;
mod flush;
mod gauges;
mod http;
mod http_budget;
mod http_queue;
mod http_slice;
pub mod input;
mod metrics_cache;
mod monitoring_connections;
mod negotiation;
pub mod outbox;
mod pages;
mod peer_address;
mod player;
mod reconnect;
mod reload;
mod report;
mod reserve_descriptors;
mod routes;
mod run_clock;
mod site;
pub mod system;
pub mod table;
mod takeover;
pub mod tick;
mod wall_clock;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, INTEREST_UPDATE_RATE_HZ, LOOP_PAUSE_MS_MIN, READ_BUDGET_BYTES, SCRATCH_BYTES,
};
use crate::ops::metrics::Metrics;
use crate::ops::watchdog::TickCounter;
use crate::replication::governor::{Governor, QualityLevel};
use crate::replication::pool::Pool;
use crate::server::assets::Assets;
use crate::sessions::Sessions;
use accept::Listeners;
use capacity::Capacity;
use close::Drain;
use cluster::Cluster;
use connection::{Connection, Phase, ReadOutcome};
use displacement::HttpConnections;
use engine::Engine;
use flush::PendingWrite;
use http_budget::HttpBudget;
use http_queue::HttpQueue;
use metrics_cache::MetricsCache;
use monitoring_connections::MonitoringConnections;
use pages::Pages;
use peer_address::PeerAddresses;
use reload::Reload;
use report::Report;
use reserve_descriptors::ReserveDescriptors;
pub use routes::log_shadowed_files;
use run_clock::RunClock;
use system::{Listener, System};
use table::{Table, Token};
use takeover::PendingReconnects;
use tick::Schedule;
use wall_clock::WallClock;

const NS_PER_MS: u64 = 1_000_000;

/// What a poll reports of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Bytes, the end of the input, or an error can be read.
    pub is_readable: bool,
    /// The socket takes bytes.
    pub is_writable: bool,
    /// The peer has shut down its side, or the socket failed.
    pub has_ended: bool,
}

/// The server, apart from the operating system.
#[derive(Debug)]
pub struct Core<S: System> {
    system: S,
    config: Config,
    listeners: Listeners,
    reserve_descriptors: ReserveDescriptors,
    table: Table<Connection<S::Socket>>,
    peer_addresses: PeerAddresses,
    engine: Engine,
    sessions: Sessions<Token>,
    cluster: Option<Cluster<S::Bus>>,
    /// Handshakes whose session may be in use.
    reconnects: PendingReconnects,
    /// Token of each player's connection, by slot.
    tokens_by_slot: Vec<Token>,
    assets: Arc<Assets>,
    pages: Pages,
    metrics: Metrics,
    schedule: Schedule,
    governor: Governor,
    /// Time spent on interest and encoding since the start, in nanoseconds, including waiting for workers.
    replication_ns: u64,
    started_ns: u64,
    /// Off-CPU time since the start that counts as suspension, in nanoseconds.
    paused_ns: u64,
    /// Earliest possible arrival of the input that the current events report, in nanoseconds: the `polled_ns` before their poll.
    not_ready_ns: u64,
    /// Start of the last poll that reported all ready sockets, in nanoseconds.
    polled_ns: u64,
    /// Start of the last wait, in nanoseconds of the system's clock.
    slept_ns: u64,
    /// Time of the last wake-up, in nanoseconds of the system's clock.
    now_ns: u64,
    scratch: Vec<u8>,
    /// Assembles a player's replies and its delta for one write.
    flush_buffer: Vec<u8>,
    /// Connections to write to at the end of this batch of events, each at most once.
    write_queue: Vec<PendingWrite>,
    /// Replies of this batch, consecutively; each [`PendingWrite`] has a range of them.
    reply_bytes: Vec<u8>,
    /// Connections whose sockets may hold more than one read's budget.
    read_queue: Vec<Token>,
    /// Players with deferred messages.
    deferred: VecDeque<Token>,
    /// Connections to reap at the end of this turn.
    dead: Vec<Token>,
    /// Connections with HTTP work.
    http_queue: HttpQueue,
    /// The share of the loop's time that HTTP may use.
    http_budget: HttpBudget,
    /// Connections of the public listener that are not players.
    http_connections: HttpConnections,
    /// Connections reserved for health checks and metrics.
    monitoring_connections: MonitoringConnections,
    metrics_cache: MetricsCache,
    run_clock: RunClock,
    wall_clock: WallClock,
    /// Connections of the admin listener.
    admin_connections: HttpConnections,
    draining: Option<Drain>,
    sweep_index: usize,
    report: Report,
    reload: Reload,
    /// Counts ticks for the watchdog.
    tick_counter: TickCounter,
}

impl<S: System> Core<S> {
    /// Creates a server without connections. `capacity` caps the number of players.
    pub fn new(
        mut system: S,
        mut config: Config,
        capacity: Capacity,
        assets: Assets,
        sessions: Sessions<Token>,
        cluster: Option<Cluster<S::Bus>>,
    ) -> Self {
        let reload = Reload::new(config.clone());
        config.max_connections = capacity.players;
        let now_ns = system.monotonic_ns();
        let run_clock = RunClock::new(now_ns, system.thread_cpu_ns());
        let mut reserve_descriptors = ReserveDescriptors::new();
        reserve_descriptors.refill(0, || system.hold_descriptor());
        let mut metrics = Metrics::default();
        metrics.sample(now_ns);
        Self {
            listeners: Listeners::new(config.admin_addr.is_some()),
            reserve_descriptors,
            table: Table::new(),
            peer_addresses: PeerAddresses::new(&config),
            engine: Engine::new(&config),
            cluster,
            reconnects: PendingReconnects::default(),
            sessions,
            tokens_by_slot: Vec::new(),
            assets: Arc::new(assets),
            pages: Pages::new(config.admin_addr.is_none()),
            metrics,
            schedule: Schedule::new(now_ns, config.tick_rate_hz),
            governor: Governor::new(configured_quality(&config), now_ns),
            replication_ns: 0,
            started_ns: now_ns,
            paused_ns: 0,
            not_ready_ns: now_ns,
            polled_ns: now_ns,
            slept_ns: now_ns,
            now_ns,
            scratch: vec![0; SCRATCH_BYTES],
            flush_buffer: Vec::new(),
            write_queue: Vec::new(),
            reply_bytes: Vec::new(),
            read_queue: Vec::new(),
            deferred: VecDeque::new(),
            dead: Vec::new(),
            http_queue: HttpQueue::default(),
            http_budget: HttpBudget::new(now_ns),
            http_connections: HttpConnections::new(capacity.regular_http()),
            monitoring_connections: MonitoringConnections::new(capacity.monitoring()),
            metrics_cache: MetricsCache::default(),
            run_clock,
            wall_clock: WallClock::new(),
            admin_connections: HttpConnections::new(ADMIN_CONNECTIONS_MAX),
            draining: None,
            sweep_index: 0,
            report: Report::new(now_ns),
            reload,
            tick_counter: TickCounter::default(),
            config,
            system,
        }
    }

    /// Returns the operating system.
    pub fn system(&self) -> &S {
        &self.system
    }

    /// Returns the operating system.
    pub fn system_mut(&mut self) -> &mut S {
        &mut self.system
    }

    /// Returns the counter that grows with every tick, for the watchdog.
    pub fn tick_counter(&self) -> TickCounter {
        self.tick_counter.clone()
    }

    /// Returns the number of threads that encode flushes.
    pub fn workers(&self) -> usize {
        self.config.workers
    }

    /// Returns the time by which the next turn must begin, in nanoseconds of the system's clock.
    pub fn next_tick_ns(&self) -> u64 {
        self.schedule.deadline_ns()
    }

    /// Does the work that the readiness reported since the last turn, and the time, ask for. The module documentation explains
    /// the order.
    pub fn turn(&mut self, pool: &mut Pool) {
        self.receive_from_bus();
        self.read_queued();
        self.write_replies(pool);
        self.tick_if_due(pool);
        self.write_slice(pool);
        self.serve_http(pool);
        self.reap();
        self.flush_bus();
    }

    /// Returns the longest time to wait for events: zero if work is left, and bounded if HTTP work waits for its budget. With
    /// `None`, the wait ends with the next event or tick.
    pub fn begin_wait(&mut self, pool: &Pool) -> Option<Duration> {
        let work_is_left = !self.read_queue.is_empty()
            || !self.write_queue.is_empty()
            || !self.is_flush_round_over(pool)
            || self.cluster.as_ref().is_some_and(Cluster::has_backlog);
        let timeout =
            if work_is_left { Some(Duration::ZERO) } else { self.has_http_work().then(|| self.http_wait()) };
        self.slept_ns = self.system.monotonic_ns();
        self.metrics.busy_ns_total += self.slept_ns - self.now_ns;
        self.not_ready_ns = self.polled_ns;
        timeout
    }

    /// Reads the clock after a wait. `is_complete` tells whether all ready sockets were reported.
    pub fn end_wait(&mut self, is_complete: bool) {
        if is_complete {
            self.polled_ns = self.slept_ns;
        }
        let woken_ns = self.system.monotonic_ns();
        // The tick timer ends a regular wait much sooner.
        if woken_ns - self.now_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
            let off_cpu_ns = self.run_clock.off_cpu_ns(self.now_ns, woken_ns, self.system.thread_cpu_ns());
            if off_cpu_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
                self.paused_ns += off_cpu_ns;
            }
        }
        self.now_ns = woken_ns;
    }

    /// Prefetches the connection that [`Core::connection_ready`] will access.
    pub fn prefetch(&self, token: Token) {
        self.table.prefetch(token);
    }

    /// Records that connections wait at a listener. Readiness is edge-triggered.
    pub fn listener_ready(&mut self, listener: Listener) {
        self.listeners.set_ready(listener);
    }

    /// Records the readiness of a connection, which is edge-triggered, and reads or queues it.
    pub fn connection_ready(&mut self, token: Token, readiness: Readiness) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let Readiness { is_readable, is_writable, has_ended } = readiness;
        connection.writable |= is_writable;
        connection.readable |= is_readable;
        connection.hung_up |= has_ended;
        if !connection.is_websocket() {
            // A socket is writable right after the accept; that means no work while the outbox is empty.
            if is_readable || !connection.outbox.is_empty() {
                self.queue_http(token);
            }
            return;
        }
        if is_writable && !connection.outbox.is_empty() {
            self.queue_write(token);
        }
        if is_readable {
            self.read(token);
        }
    }

    /// Reads again from connections whose socket held more than one read's budget, or that were not read due to a backlog.
    fn read_queued(&mut self) {
        for token in std::mem::take(&mut self.read_queue) {
            if let Some(connection) = self.table.get_mut(token) {
                connection.is_queued = false;
                self.read(token);
            }
        }
    }

    /// Reads once, up to `READ_BUDGET_BYTES`, from a WebSocket connection, and processes the input.
    fn read(&mut self, token: Token) {
        let not_ready_ms = self.not_ready_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        if !connection.readable || !connection.wants_input(self.config.write_buffer_bytes) {
            if let (true, Phase::Player { player, .. }) = (connection.readable, &mut connection.phase) {
                player.limiter.leave_unread(not_ready_ms);
            }
            return;
        }
        // Overlaps the cache misses of message handling with the read's system call.
        if let Phase::Player { slot, player } = &connection.phase {
            player.prefetch();
            self.engine.prefetch(*slot);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        match connection.read(&mut scratch[..READ_BUDGET_BYTES], &mut self.metrics) {
            ReadOutcome::Bytes(count) => {
                if connection.readable {
                    self.queue_read(token);
                }
                // Ignored unless the connection is a player: input to a closing connection is discarded.
                self.receive_from_player(token, &scratch[..count]);
            }
            ReadOutcome::Empty => {}
            ReadOutcome::End => self.handle_eof(token),
            ReadOutcome::Failed => self.disconnect(token),
        }
        self.scratch = scratch;
    }

    /// Queues a connection for a write of its outbox, once.
    fn queue_write(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && !connection.is_write_queued
        {
            connection.is_write_queued = true;
            self.write_queue.push(PendingWrite { token, bytes: 0..0 });
        }
    }

    /// Queues a connection for another read, once.
    fn queue_read(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.read_queue.push(token);
        }
    }

    /// Returns the milliseconds since the start without suspensions, as of the last wake-up: the clock of all deadlines.
    fn now_ms(&self) -> u64 {
        (self.now_ns - self.started_ns - self.paused_ns) / NS_PER_MS
    }

    /// Returns the milliseconds since the start, suspensions included, as of the last wake-up.
    fn uptime_ms(&self) -> u64 {
        (self.now_ns - self.started_ns) / NS_PER_MS
    }

    /// Returns the earliest possible arrival of the input that the current events report, on the clock of [`Core::uptime_ms`].
    fn not_ready_ms(&self) -> u64 {
        (self.not_ready_ns - self.started_ns) / NS_PER_MS
    }
}

/// Returns the configured quality, at which the governor starts.
fn configured_quality(config: &Config) -> QualityLevel {
    QualityLevel {
        flush_interval_ms: config.batch_interval_ms,
        visibility_rate_hz: INTEREST_UPDATE_RATE_HZ,
        max_visible: config.max_visible,
    }
}
