//! The event loop: one thread that owns every socket. With the modules below, it is the only user of mio and nix.
//!
//! `Server::run_loop` is the table of contents. One iteration does, in this order:
//!
//! 1. `wait`: polls for readiness. The tick timer is a polled descriptor, so a wait ends with the next tick at the latest. If
//!    work is left, polling does not block.
//! 2. `dispatch`: records readiness. Players are read immediately: input is applied, and its replies are queued.
//! 3. `receive_from_bus`: applies messages from other nodes, within a budget.
//! 4. `read_queued`: reads again from players whose socket held more than one read's budget.
//! 5. `write_replies`: writes acks, together with deltas that are due; one write per player.
//! 6. `tick_if_due`: steps the world, starts a flush round, checks deadlines, applies load shedding and reloads.
//! 7. `write_slice`: writes a slice of the flush round, so that no burst of writes delays reads and acks.
//! 8. `serve_http`: accepts connections and serves HTTP, upgrades included, within a share of the loop's time.
//! 9. `reap`: frees the connections that died in this iteration.
//! 10. `flush_bus`: hands queued messages and session writes to the bus.
//!
//! The modules by subject:
//!
//! * Players: [`player`] and [`input`] (bytes to replies), [`deferred`] (messages over the rate), [`flush`] (ticks and writes).
//!   [`engine`] is the game without sockets; [`input`] and [`engine`] also run under simulation and fuzzing.
//! * Connections: [`connection`], [`socket`], [`outbox`] and [`table`] hold their state, [`close`] ends them.
//! * Sessions: [`reconnect`] resolves tokens, [`takeover`] waits for sessions in use. [`cluster`] connects to other nodes.
//! * Admission: [`accept`], [`peer_address`], [`displacement`], [`monitoring_connections`], [`reserve_descriptors`] and
//!   [`capacity`].
//! * HTTP: [`http`], [`http_slice`], [`http_queue`], [`http_budget`], [`routes`], [`site`], [`pages`], [`assets`],
//!   [`negotiation`], [`metrics_cache`], [`gauges`].
//! * Operation: `check`, [`reload`], [`report`], [`health_check`]. Time and system calls: [`tick`], [`run_clock`],
//!   [`wall_clock`], [`os`].

mod accept;
mod check;
mod close;
mod cluster;
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
mod table;
mod takeover;
pub mod tick;
mod wall_clock;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::event::{Event, Events};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::config::Config;
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, EVENTS_PER_POLL, INTEREST_UPDATE_RATE_HZ, LOOP_PAUSE_MS_MIN, READ_BUDGET_BYTES,
    SCRATCH_BYTES,
};
use crate::ops::logging::LogHandle;
use crate::ops::metrics::Metrics;
use crate::ops::watchdog::{TickCounter, Watchdog};
use crate::replication::governor::{Governor, QualityLevel};
use crate::replication::pool::Pool;
use crate::server::assets::Assets;
use crate::server::driver::capacity::Capacity;
use crate::server::driver::os::{self, Signals, TickTimer};
use crate::sessions::Sessions;
use accept::{Acceptor, Listener, Listeners};
pub use check::check;
use check::listen_addresses;
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
pub use reload::ReadConfig;
use reload::Reload;
use report::Report;
use reserve_descriptors::ReserveDescriptors;
pub use routes::log_shadowed_files;
use run_clock::RunClock;
use table::{ADMIN_LISTENER, BUS, LISTENER, SIGNALS, TIMER, Table};
use takeover::PendingReconnects;
use tick::Schedule;
use wall_clock::WallClock;

const NS_PER_MS: u64 = 1_000_000;

/// Why the event loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A signal started a shutdown, and the drain ended.
    ShutDown,
    /// A second signal, with this number, aborted the drain.
    Aborted(u32),
}

/// A server whose listeners are bound.
pub struct Server {
    config: Config,
    poll: Poll,
    timer: TickTimer,
    signals: Signals,
    listeners: Listeners,
    reserve_descriptors: ReserveDescriptors,
    table: Table<Connection>,
    peer_addresses: PeerAddresses,
    engine: Engine,
    sessions: Sessions<Token>,
    cluster: Option<Cluster>,
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
    /// Time of the last wake-up, in nanoseconds of [`os::monotonic_ns`].
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
    /// Connections to reap at the end of this iteration.
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
    /// The signal that aborted the drain.
    aborted_by: Option<u32>,
    sweep_index: usize,
    report: Report,
    reload: Reload,
    log: LogHandle,
    /// Counts ticks for the watchdog.
    tick_counter: TickCounter,
}

impl Server {
    /// Binds the listeners. `signals` must have been created before any other thread. `capacity` caps the number of players.
    /// `read_config` reads the configuration again for a reload.
    ///
    /// # Errors
    /// Returns an error if an address can't be bound or no descriptors are left; the message names the settings.
    pub fn bind(
        mut config: Config,
        capacity: Capacity,
        assets: Assets,
        signals: Signals,
        log: LogHandle,
        read_config: ReadConfig,
    ) -> io::Result<Self> {
        let reload = Reload::new(config.clone(), read_config);
        config.max_connections = capacity.players;
        let (poll, timer) = (Poll::new()?, TickTimer::new()?);
        let registry = poll.registry();
        let mut acceptors = Vec::new();
        for ((address, settings), token) in
            listen_addresses(&config).into_iter().zip([LISTENER, ADMIN_LISTENER])
        {
            let mut acceptor = Acceptor::bind(address, &settings)?;
            registry.register(acceptor.source(), token, Interest::READABLE)?;
            acceptors.push(acceptor);
        }
        let admin = (acceptors.len() > 1).then(|| acceptors.remove(1));
        let game = acceptors.remove(0);
        registry.register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&signals.raw_fd()), SIGNALS, Interest::READABLE)?;
        let cluster = Cluster::join(&config, registry)?;
        let now_ns = os::monotonic_ns();
        Ok(Self {
            poll,
            timer,
            signals,
            listeners: Listeners::new(game, admin),
            reserve_descriptors: ReserveDescriptors::new(),
            table: Table::new(),
            peer_addresses: PeerAddresses::new(&config),
            engine: Engine::new(&config),
            cluster,
            reconnects: PendingReconnects::default(),
            sessions: reconnect::sessions_from(&config),
            tokens_by_slot: Vec::new(),
            assets: Arc::new(assets),
            pages: Pages::new(config.admin_addr.is_none()),
            metrics: Metrics::default(),
            schedule: Schedule::new(now_ns, config.tick_rate_hz),
            governor: Governor::new(configured_quality(&config), now_ns),
            replication_ns: 0,
            started_ns: now_ns,
            paused_ns: 0,
            not_ready_ns: now_ns,
            polled_ns: now_ns,
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
            run_clock: RunClock::new(now_ns, os::thread_cpu_ns()),
            wall_clock: WallClock::new(),
            admin_connections: HttpConnections::new(ADMIN_CONNECTIONS_MAX),
            draining: None,
            aborted_by: None,
            sweep_index: 0,
            report: Report::new(now_ns),
            reload,
            log,
            tick_counter: TickCounter::default(),
            config,
        })
    }

    /// Returns the address of the public listener, with the actual port if the configured port is 0.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners.public().local_addr()
    }

    /// Returns the address of the admin listener, if there is one.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.listeners.at(Listener::Admin).map(Acceptor::local_addr).transpose()
    }

    /// Runs the event loop until a signal shuts the server down.
    ///
    /// # Errors
    /// Returns an error if polling or starting a thread fails. No client can end the loop.
    pub fn run(self) -> io::Result<Outcome> {
        // The watchdog runs until the workers have ended.
        let _watchdog = Watchdog::start(self.tick_counter.clone())?;
        std::thread::scope(|scope| {
            let pool = Pool::spawn(scope, self.config.workers)?;
            self.run_loop(pool)
        })
    }

    /// Repeats the iteration that the module documentation describes, until the server has shut down.
    fn run_loop(mut self, mut pool: Pool) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        self.metrics.sample(self.now_ns);
        self.timer.arm(self.schedule.deadline_ns())?;
        while !self.is_over() {
            self.wait(&mut events, &pool)?;
            self.dispatch(&events);
            self.receive_from_bus();
            self.read_queued();
            self.write_replies(&pool);
            self.tick_if_due(&pool)?;
            self.write_slice(&mut pool);
            self.serve_http(&pool);
            self.reap();
            self.flush_bus();
        }
        Ok(self.aborted_by.map_or(Outcome::ShutDown, Outcome::Aborted))
    }

    /// Polls for events: without blocking if work is left, and for a bounded time if HTTP work waits for its budget.
    fn wait(&mut self, events: &mut Events, pool: &Pool) -> io::Result<()> {
        let work_is_left = !self.read_queue.is_empty()
            || !self.write_queue.is_empty()
            || !self.is_flush_round_over(pool)
            || self.cluster.as_ref().is_some_and(Cluster::has_backlog);
        let timeout =
            if work_is_left { Some(Duration::ZERO) } else { self.has_http_work().then(|| self.http_wait()) };
        let slept_from = os::monotonic_ns();
        self.metrics.busy_ns_total += slept_from - self.now_ns;
        self.not_ready_ns = self.polled_ns;
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => {
                result?;
                // A full batch may have left out ready sockets; an interrupted poll reports none.
                if events.iter().count() < EVENTS_PER_POLL {
                    self.polled_ns = slept_from;
                }
            }
        }
        let woken_ns = os::monotonic_ns();
        // The tick timer ends a regular wait much sooner.
        if woken_ns - self.now_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
            let off_cpu_ns = self.run_clock.off_cpu_ns(self.now_ns, woken_ns, os::thread_cpu_ns());
            if off_cpu_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
                self.paused_ns += off_cpu_ns;
            }
        }
        self.now_ns = woken_ns;
        Ok(())
    }

    /// Records readiness and signals, and reads from players that are readable.
    fn dispatch(&mut self, events: &Events) {
        for event in events {
            self.table.prefetch(event.token());
        }
        for event in events {
            match event.token() {
                LISTENER => self.listeners.set_ready(Listener::Public),
                ADMIN_LISTENER => self.listeners.set_ready(Listener::Admin),
                // The tick step reads the clock in every iteration, and rearms the timer. The bus is polled in every iteration.
                TIMER | BUS => {}
                SIGNALS => self.handle_signals(),
                token => self.note_readiness(token, event),
            }
        }
    }

    /// Updates a connection's readiness flags (events are edge-triggered), and reads or queues it.
    fn note_readiness(&mut self, token: Token, event: &Event) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        connection.writable |= event.is_writable();
        connection.readable |= is_readable;
        connection.hung_up |= event.is_read_closed() || event.is_error();
        if !connection.is_websocket() {
            // A socket is writable right after the accept; that means no work while the outbox is empty.
            if is_readable || !connection.outbox.is_empty() {
                self.queue_http(token);
            }
            return;
        }
        if event.is_writable() && !connection.outbox.is_empty() {
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

    /// Returns the earliest possible arrival of the input that the current events report, on the clock of [`Server::uptime_ms`].
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
