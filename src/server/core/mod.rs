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
//! 6. `close_drained`: closes the players of a shutdown, once a batch is written.
//! 7. `serve_http`: accepts connections and serves HTTP, upgrades included, within a share of the loop's time.
//! 8. `reap`: frees the connections that died in this turn.
//! 9. `flush_bus`: hands queued messages and session writes to the bus.
//!
//! The owners, each with its invariants on top of its file:
//!
//! * [`clock`]: the time of all deadlines. [`tick`]: when the world steps.
//! * [`connections`]: the table, the players' connections, the queue of reads, the dead. [`connection`] is one of them.
//! * [`replies`]: what is written at the end of a batch, and in which order.
//! * [`gate`]: room for connections, and the choice of the one to displace. [`peer_address`]: the limits of each address.
//! * [`site`]: pages, files, metrics, and the share of time for HTTP.
//! * [`sessions`]: tokens and pending reconnects. [`accounts`]: the accounts of players. [`cluster`]: the other nodes.
//! * [`engine`]: world, replication and load governor, without connections.
//! * [`lifecycle`]: shutdown, reload, report. [`operations`]: bans, and whether players are admitted.
//!
//! An owner decides; the flows across owners are functions, and perform what the owners decide: [`accept`], [`player`] with
//! [`input`] and [`deferred`], [`flush`] (ticks and rounds), [`http`] with [`http_slice`], [`routes`] and [`authentication`],
//! [`reconnect`] and [`takeover`], [`close`] with [`deadlines`], [`port_group`], [`reload`], [`report`] and [`control`]. Another process continues
//! from an [`image`].

mod accept;
mod accounts;
mod addresses;
pub mod assets;
mod authentication;
pub mod bans;
pub mod capacity;
mod clock;
mod close;
pub mod cluster;
pub mod connection;
mod connections;
pub mod control;
mod deadlines;
pub mod deferred;
mod displacement;
pub mod engine;
mod flush;
mod gate;
mod gauges;
mod history;
mod http;
mod http_budget;
mod http_queue;
mod http_slice;
pub mod image;
pub mod input;
mod lifecycle;
mod metrics_cache;
mod monitoring_connections;
mod negotiation;
mod operations;
pub mod outbox;
mod pages;
mod peer_address;
mod player;
mod port_group;
mod reconnect;
mod reload;
mod replies;
mod report;
mod reserve_descriptors;
mod routes;
mod run_clock;
mod sessions;
mod site;
pub mod system;
pub mod table;
mod takeover;
pub mod tick;
mod trace;
mod wall_clock;

use std::time::Duration;

use serde_json::Value as Json;

use crate::auth::{Account, KeySet};
use crate::cluster::Node;
use crate::config::Config;
use crate::control::Command;
use crate::limits::READ_BUDGET_BYTES;
use crate::ops::metrics::Metrics;
use crate::ops::watchdog::TickCounter;
use crate::replication::pool::Pool;
use crate::server::core::assets::Assets;
use crate::sessions::Sessions;
use crate::wire::http::Date;
use accounts::Accounts;
pub use addresses::browser_addresses;
use bans::BanDecision;
use capacity::Capacity;
use clock::Clock;
use cluster::Cluster;
pub use connection::Readiness;
use connection::{Phase, ReadOutcome};
use connections::Connections;
use control::{List, Progress};
use engine::Engine;
use gate::Gate;
use lifecycle::Lifecycle;
use operations::Operations;
pub use port_group::starts_silent;
use reload::Reload;
use replies::Replies;
use report::Report;
pub use routes::log_shadowed_files;
use sessions::PlayerSessions;
use site::Site;
pub use site::build_pages;
use system::{Listener, System};
use table::Token;
use takeover::PendingReconnects;
use tick::Schedule;
use trace::Trace;

/// Counts of everything that a core holds. All are 0 once the last client is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections in the table.
    pub connections: usize,
    /// Players in the world.
    pub players: usize,
    /// Connections that the gate counts: HTTP, monitoring, admin, and those on reserve descriptors.
    pub gate: usize,
    /// Addresses of players.
    pub addresses: usize,
    /// Players with an account.
    pub accounts: usize,
    /// Handshakes that wait for a session.
    pub pending_reconnects: usize,
    /// Entries of all queues.
    pub queued: usize,
    /// Bytes that wait for clients to take them.
    pub outbox_bytes: usize,
}

/// The server, apart from the operating system. Each field below the first three owns one subject and its invariants. The flows
/// that cross subjects are functions of their modules: they ask the owners, and perform what these decide.
#[derive(Debug)]
pub struct Core<S: System> {
    system: S,
    config: Config,
    metrics: Metrics,
    clock: Clock,
    schedule: Schedule,
    connections: Connections<S::Socket>,
    replies: Replies,
    gate: Gate,
    site: Site,
    sessions: PlayerSessions,
    accounts: Accounts,
    cluster: Option<Cluster<S::Bus>>,
    engine: Engine,
    lifecycle: Lifecycle,
    operations: Operations,
    /// The player that an operator watches.
    trace: Option<Box<Trace>>,
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
        let mut gate = Gate::new(&config, capacity, system.random_seed());
        gate.listeners.set_listening(!starts_silent(&config));
        gate.reserve_descriptors.refill(0, || system.hold_descriptor());
        let mut metrics = Metrics::default();
        metrics.sample(now_ns);
        let report = Report::new(now_ns);
        Self {
            metrics,
            clock: Clock::new(now_ns, system.thread_cpu_ns()),
            schedule: Schedule::new(now_ns, config.tick_rate_hz),
            connections: Connections::new(),
            replies: Replies::default(),
            gate,
            site: Site::new(assets, &config, now_ns),
            sessions: PlayerSessions { store: sessions, pending: PendingReconnects::default() },
            accounts: Accounts::default(),
            cluster,
            engine: Engine::new(&config, now_ns, system.random_seed()),
            lifecycle: Lifecycle { draining: None, reload, report, tick_counter: TickCounter::default() },
            operations: Operations::default(),
            trace: None,
            config,
            system,
        }
    }

    /// Restores the bans that an earlier process wrote.
    pub fn restore_bans(&mut self, decisions: &[BanDecision]) {
        self.operations.bans.merge(decisions, self.system.unix_time().as_micros() as u64);
    }

    /// Executes a command of this user of the machine.
    ///
    /// # Errors
    /// The command can't be executed; the message is for the operator.
    pub fn control(&mut self, command: Command, uid: u32) -> Result<Progress, String> {
        control::execute(self, command, uid)
    }

    /// Continues a list of players. Returns its result once it is complete.
    pub fn advance_list(&self, list: &mut List) -> Option<Json> {
        list.advance(self)
    }

    /// Sets the keys that verify tokens. Without keys, `AUTH=jwt` refuses every handshake.
    #[must_use]
    pub fn with_keys(mut self, keys: KeySet) -> Self {
        self.accounts.keys = keys;
        self
    }

    /// Returns the account of the player on a connection; `None` without authentication.
    pub fn account(&self, token: Token) -> Option<&Account> {
        self.accounts.of(token)
    }

    /// Ends the trace in progress, if there is one: its operator has gone.
    pub fn end_trace(&mut self) {
        self.trace = None;
    }

    /// Takes the lines of the trace in progress. Returns `None` once its player has gone, or another trace has begun.
    pub fn take_trace(&mut self, token: Token) -> Option<Vec<Json>> {
        let is_player = self.connections.player(token).is_some();
        let trace = self.trace.as_mut().filter(|trace| trace.token == token)?;
        let lines = trace.take();
        if lines.is_empty() && !is_player {
            self.trace = None;
            return None;
        }
        Some(lines)
    }

    /// Returns the operating system.
    pub fn system(&self) -> &S {
        &self.system
    }

    /// Returns the operating system.
    pub fn system_mut(&mut self) -> &mut S {
        &mut self.system
    }

    /// Returns the world and its viewers.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the configuration, with the number of players that the limit of open files allows.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns this node of the cluster, if there is one.
    pub fn node(&self) -> Option<&Node> {
        self.cluster.as_ref().map(Cluster::node)
    }

    /// Counts what the core holds.
    pub fn census(&self) -> Census {
        let Self { connections, replies, gate, site, sessions, accounts, engine, .. } = self;
        Census {
            connections: connections.table.len(),
            players: engine.players(),
            gate: gate.len(),
            addresses: gate.peer_addresses.counted_addresses(),
            accounts: accounts.len(),
            pending_reconnects: sessions.pending.len(),
            queued: connections.queued() + replies.queued() + site.queue.len(),
            outbox_bytes: connections.table.iter().map(|(_, connection)| connection.outbox.len()).sum(),
        }
    }

    /// Returns the counter that grows with every tick, for the watchdog.
    pub fn tick_counter(&self) -> TickCounter {
        self.lifecycle.tick_counter.clone()
    }

    /// Returns the number of threads that encode flushes.
    pub fn workers(&self) -> usize {
        self.config.workers
    }

    /// Returns the time by which the next turn must begin, in nanoseconds of the system's clock.
    pub fn next_tick_ns(&self) -> u64 {
        self.schedule.deadline_ns()
    }

    /// Does the work for the reported readiness and the time, in the order of the module documentation.
    pub fn turn(&mut self, pool: &mut Pool) {
        cluster::receive_from_bus(self);
        self.read_queued();
        if self.schedule.is_behind(self.clock.now_ns()) {
            // The world catches up first: output that a client takes only now must not age in the next tick.
            flush::tick_if_due(self, pool);
        }
        replies::write_replies(self, pool);
        flush::tick_if_due(self, pool);
        flush::write_slice(self, pool);
        close::close_drained(self, pool);
        http_slice::serve_http(self, pool);
        close::reap(self);
        cluster::flush_bus(self);
    }

    /// Returns the longest time to wait for events: zero if work is left, and bounded if HTTP work waits for its budget. With
    /// `None`, the wait ends with the next event or tick.
    pub fn begin_wait(&mut self, pool: &Pool) -> Option<Duration> {
        let work_is_left = self.connections.has_reads()
            || !self.replies.is_empty()
            || !flush::is_flush_round_over(self, pool)
            || self.cluster.as_ref().is_some_and(Cluster::has_backlog);
        let timeout = if work_is_left {
            Some(Duration::ZERO)
        } else {
            http_slice::has_http_work(self).then(|| http_slice::http_wait(self))
        };
        self.metrics.busy_ns_total += self.clock.begin_wait(self.system.monotonic_ns());
        timeout
    }

    /// Reads the clock after a wait. `is_complete` tells whether all ready sockets were reported.
    pub fn end_wait(&mut self, is_complete: bool) {
        self.clock.end_wait(self.system.monotonic_ns(), is_complete, || self.system.thread_cpu_ns());
    }

    /// Starts the shutdown: the coming turns close every player, and announce it to the cluster.
    pub fn drain(&mut self) {
        close::drain(self);
    }

    /// Whether a shutdown has started.
    pub fn is_draining(&self) -> bool {
        self.lifecycle.draining.is_some()
    }

    /// Whether the loop may end: every player has taken its last bytes and closed, or the deadline has passed.
    pub fn is_over(&self) -> bool {
        close::is_over(self)
    }

    /// Starts a reload, or schedules another one if one is in progress.
    pub fn begin_reload(&mut self) {
        reload::begin_reload(self);
    }

    /// Returns the date for responses sent now.
    fn date(&mut self) -> Date {
        self.clock.date(|| self.system.unix_time())
    }

    /// Prefetches the connection that [`Core::connection_ready`] will access.
    pub fn prefetch(&self, token: Token) {
        self.connections.table.prefetch(token);
    }

    /// Records that connections wait at a listener. Readiness is edge-triggered.
    pub fn listener_ready(&mut self, listener: Listener) {
        self.gate.listeners.set_ready(listener);
    }

    /// Records the readiness of a connection, which is edge-triggered, and reads or queues it.
    pub fn connection_ready(&mut self, token: Token, readiness: Readiness) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Readiness { is_readable, is_writable, .. } = readiness;
        connection.note(readiness);
        if !connection.is_websocket() {
            // A socket is writable right after the accept; that means no work while the outbox is empty.
            if is_readable || !connection.outbox.is_empty() {
                http_slice::queue_http(self, token);
            }
            return;
        }
        if is_writable && !connection.outbox.is_empty() {
            self.replies.queue(token, connection);
        }
        if is_readable {
            self.read(token);
        }
    }

    /// Reads again from connections whose socket held more than one read's budget, or that were not read due to a backlog.
    fn read_queued(&mut self) {
        for token in self.connections.take_reads() {
            self.read(token);
        }
    }

    /// Reads once, up to `READ_BUDGET_BYTES`, from a WebSocket connection, and processes the input.
    fn read(&mut self, token: Token) {
        let not_ready_ms = self.clock.not_ready_ms();
        let Some(connection) = self.connections.table.get_mut(token) else { return };
        if !connection.is_readable() || !connection.wants_input(self.config.write_buffer_bytes) {
            if let (true, Phase::Player { player, .. }) = (connection.is_readable(), &mut connection.phase) {
                player.limiter.leave_unread(not_ready_ms);
            }
            return;
        }
        // Overlaps the cache misses of message handling with the read's system call.
        if let Phase::Player { slot, player } = &connection.phase {
            player.prefetch();
            self.engine.prefetch(*slot);
        }
        let mut scratch = std::mem::take(&mut self.connections.scratch);
        match connection.read(&mut scratch[..READ_BUDGET_BYTES], &mut self.metrics) {
            ReadOutcome::Bytes(count) => {
                if connection.is_readable() {
                    self.connections.queue_read(token);
                }
                // Ignored unless the connection is a player: input to a closing connection is discarded.
                player::receive_from_player(self, token, &scratch[..count]);
            }
            ReadOutcome::Empty => {}
            ReadOutcome::End => close::handle_eof(self, token),
            ReadOutcome::Failed => close::disconnect(self, token),
        }
        self.connections.scratch = scratch;
    }
}
