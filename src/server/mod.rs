//! The loop and everything that touches a socket: the only user of mio and nix.
//!
//! [`Server::run`] is the table of contents. Each of its steps has a file:
//!
//! * [`accept`]: new connections. [`peer_address`]: whom a connection counts for, and whether that one may have another.
//!   [`displacement`], [`monitoring_connections`]: which connection makes room for another one. [`reserve_descriptors`], [`capacity`]: descriptors, when
//!   there are few or none.
//! * [`http`]: requests and the upgrade. [`site`]: pages and files. [`routes`]: what is where, at which listener. [`http_slice`], [`http_queue`], [`http_budget`]: when they are served, and how much time they get.
//!   [`negotiation`], [`metrics_cache`], [`gauges`]: metrics, their format, rendered a few times a second. [`player`]: a player's bytes become inputs, and acks.
//!   [`deferred`]: inputs over the allowance. [`flush`]: ticks, and what
//!   they bring to viewers, in slices. [`close`]: closing, sweeping, draining.
//! * `cluster`: other processes of the same world. `reconnect`: whom a ticket brings back where it was. `takeover`: those
//!   who may be known elsewhere.
//! * `check`: what a start would say. `reload`: another configuration for a server that runs. `report`: a line about the load now and then.
//! * [`engine`], [`input`]: the game without its sockets, which simulation and fuzzing drive as well.
//! * [`connection`], [`socket`], [`outbox`], [`table`]: one connection, its calls, what waits for it, all of them. [`os`]: what only Linux can answer.
//! * [`run_clock`]: what is a pause of the process. [`wall_clock`]: the date of answers. [`assets`], [`pages`], [`health_check`]: files served, the pages of its own, and the question a container asks.

mod accept;
pub mod assets;
pub mod capacity;
mod check;
mod close;
mod cluster;
pub mod connection;
pub mod deferred;
mod displacement;
pub mod engine;
mod flush;
mod gauges;
pub mod health_check;
mod http;
mod http_budget;
mod http_queue;
mod http_slice;
pub mod input;
mod metrics_cache;
mod monitoring_connections;
mod negotiation;
pub mod os;
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
mod socket;
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
use crate::server::tick::Schedule;
use crate::sessions::Sessions;
use accept::{Acceptor, Listener, Listeners};
use assets::Assets;
use capacity::Capacity;
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
use os::{Signals, TickTimer};
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
use wall_clock::WallClock;

const NS_PER_MS: u64 = 1_000_000;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Asked to stop, and stopped in order.
    ShutDown,
    /// Asked a second time, by the signal of this number, and stopped at once.
    Aborted(u32),
}

/// A server that has its port and is ready to run.
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
    /// Handshakes that wait for word from other processes.
    reconnects: PendingReconnects,
    /// By slot, whose connection that player has.
    tokens_by_slot: Vec<Token>,
    assets: Arc<Assets>,
    pages: Pages,
    metrics: Metrics,
    schedule: Schedule,
    governor: Governor,
    /// Time spent on viewers' turns since the start, in nanoseconds, waiting for workers included.
    replication_ns: u64,
    started_ns: u64,
    /// Time since the start in which the loop did not run, in nanoseconds.
    paused_ns: u64,
    /// When the kernel was last asked in vain about the sockets that report something in this turn, and when it was asked
    /// last about all; in nanoseconds.
    not_ready_ns: u64,
    polled_ns: u64,
    /// The time as of the last wake-up, in nanoseconds of [`os::monotonic_ns`].
    now_ns: u64,
    scratch: Vec<u8>,
    /// Replies and what goes with them in one write.
    flush_buffer: Vec<u8>,
    /// Connections to be written to at the end of this batch of events, each once.
    write_queue: Vec<PendingWrite>,
    /// The replies themselves, one after another, as `replied` divides them.
    reply_bytes: Vec<u8>,
    /// Connections whose sockets may hold more than their turn allowed to read.
    read_queue: Vec<Token>,
    /// Players with messages that wait for their allowances.
    deferred: VecDeque<Token>,
    /// Connections to be reaped.
    dead: Vec<Token>,
    /// HTTP connections with something to do.
    http_queue: HttpQueue,
    /// The part of the loop's time that HTTP may have.
    http_budget: HttpBudget,
    /// Connections at the game's listener that are no players.
    http_connections: HttpConnections,
    /// Places beside those, for health and metrics.
    monitoring_connections: MonitoringConnections,
    metrics_cache: MetricsCache,
    run_clock: RunClock,
    wall_clock: WallClock,
    /// Connections at the operators' listener.
    admin_connections: HttpConnections,
    draining: Option<Drain>,
    /// The signal that ended the drain before its time.
    aborted_by: Option<u32>,
    sweep_index: usize,
    report: Report,
    reload: Reload,
    log: LogHandle,
    /// What the watchdog listens to.
    tick_counter: TickCounter,
}

impl Server {
    /// Takes the ports. `signals` must have been made before any other thread; what `capacity` has room for is served.
    /// `read_config` is asked for the configuration when the server is told to read it anew.
    ///
    /// # Errors
    /// A port is taken or not allowed, no descriptors are left; the message says which, and names the settings.
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

    /// The address it listens on, with the actual port when any free one was asked for.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners.public().local_addr()
    }

    /// The address metrics are served on, if it is one of their own.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.listeners.at(Listener::Admin).map(Acceptor::local_addr).transpose()
    }

    /// Serves until it is asked to stop.
    ///
    /// # Errors
    /// When the kernel refuses the poll or a thread; nothing a client does ends the loop.
    pub fn run(self) -> io::Result<Outcome> {
        // On until everything has ended, the workers included.
        let _watchdog = Watchdog::start(self.tick_counter.clone())?;
        std::thread::scope(|scope| {
            let pool = Pool::spawn(scope, self.config.workers)?;
            self.run_loop(pool)
        })
    }

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

    /// Sleeps until there is something to do, or only looks when work is left over.
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
                // A full batch may have left some out, and one that was interrupted all.
                if events.iter().count() < EVENTS_PER_POLL {
                    self.polled_ns = slept_from;
                }
            }
        }
        let woken_ns = os::monotonic_ns();
        // The tick timer alone ends every wait much sooner.
        if woken_ns - self.now_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
            let off_cpu_ns = self.run_clock.off_cpu_ns(self.now_ns, woken_ns, os::thread_cpu_ns());
            if off_cpu_ns > LOOP_PAUSE_MS_MIN * NS_PER_MS {
                self.paused_ns += off_cpu_ns;
            }
        }
        self.now_ns = woken_ns;
        Ok(())
    }

    fn dispatch(&mut self, events: &Events) {
        for event in events {
            self.table.prefetch(event.token());
        }
        for event in events {
            match event.token() {
                LISTENER => self.listeners.set_ready(Listener::Public),
                ADMIN_LISTENER => self.listeners.set_ready(Listener::Admin),
                // The tick step looks at the clock, whatever woke the loop; the timer is armed anew each time.
                // What the bus has brought is looked for in every turn.
                TIMER | BUS => {}
                SIGNALS => self.handle_signals(),
                token => self.note_readiness(token, event),
            }
        }
    }

    fn note_readiness(&mut self, token: Token, event: &Event) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        connection.writable |= event.is_writable();
        connection.readable |= is_readable;
        connection.hung_up |= event.is_read_closed() || event.is_error();
        if !connection.is_websocket() {
            // A socket that is writable is no work when nothing waits, as after each accept.
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

    /// Goes on with sockets that had more to read than one turn allows.
    fn read_queued(&mut self) {
        for token in std::mem::take(&mut self.read_queue) {
            if let Some(connection) = self.table.get_mut(token) {
                connection.is_read_queued = false;
                self.read(token);
            }
        }
    }

    /// Reads from a connection of the game, one budget's worth, and acts on it.
    fn read(&mut self, token: Token) {
        let not_ready_ms = self.not_ready_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        if !connection.readable || !connection.wants_input(self.config.write_buffer_bytes) {
            if let (true, Phase::Player { player, .. }) = (connection.readable, &mut connection.phase) {
                player.limiter.leave_unread(not_ready_ms);
            }
            return;
        }
        // What its messages need comes near while the kernel is asked for them.
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
                // Of a player that is being sent away nothing counts any more.
                self.receive_from_player(token, &scratch[..count]);
            }
            ReadOutcome::Empty => {}
            ReadOutcome::End => self.handle_eof(token),
            ReadOutcome::Failed => self.disconnect(token),
        }
        self.scratch = scratch;
    }

    /// Puts a connection on the list of those whose outboxes have something to write, once.
    fn queue_write(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && !connection.is_write_queued
        {
            connection.is_write_queued = true;
            self.write_queue.push(PendingWrite { token, bytes: 0..0 });
        }
    }

    /// Puts a connection on the list of those to be read on with in the next turn, once.
    fn queue_read(&mut self, token: Token) {
        if let Some(connection) = self.table.get_mut(token)
            && !connection.is_read_queued
        {
            connection.is_read_queued = true;
            self.read_queue.push(token);
        }
    }

    /// Milliseconds in which the loop has run since the start, as of the last wake-up: the clock of all deadlines.
    fn now_ms(&self) -> u64 {
        (self.now_ns - self.started_ns - self.paused_ns) / NS_PER_MS
    }

    /// Milliseconds since the start, as of the last wake-up.
    fn uptime_ms(&self) -> u64 {
        (self.now_ns - self.started_ns) / NS_PER_MS
    }

    /// The last moment, on the clock of [`Server::uptime_ms`], at which the sockets that report something now had nothing.
    fn not_ready_ms(&self) -> u64 {
        (self.not_ready_ns - self.started_ns) / NS_PER_MS
    }
}

/// What the governor starts from.
fn configured_quality(config: &Config) -> QualityLevel {
    QualityLevel {
        flush_interval_ms: config.batch_interval_ms,
        visibility_rate_hz: INTEREST_UPDATE_RATE_HZ,
        max_visible: config.max_visible,
    }
}
