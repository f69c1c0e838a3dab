//! The image of a core: everything that another process needs to continue the game on the same sockets.
//!
//! The image holds the state of all owners, except for what follows from the configuration and what belongs to a process: files,
//! threads, the connection to the bus, reserve descriptors. Times are those of the machine's monotonic clock, which both
//! processes share. A core that continues from an image writes the same bytes as the one that made it.
//!
//! An image exists between two turns, when every flush of the round is written, nothing is dead, and neither a reload nor a
//! shutdown is in progress.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::accounts::Accounts;
use super::assets::Assets;
use super::capacity::Capacity;
use super::clock::Clock;
use super::cluster::Cluster;
use super::connections::Connections;
use super::engine::Engine;
use super::gate::Gate;
use super::http_budget::HttpBudget;
use super::http_queue::HttpQueue;
use super::lifecycle::Lifecycle;
use super::operations::Operations;
use super::reload::Reload;
use super::replies::Replies;
use super::report::Report;
use super::sessions::PlayerSessions;
use super::site::Site;
use super::system::System;
use super::table::Token;
use super::tick::Schedule;
use super::{Core, cluster, flush};
use crate::cluster::message::NodeId;
use crate::config::Config;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::watchdog::TickCounter;
use crate::replication::pool::Pool;
use crate::sessions::Sessions;

/// Version of the image's format. Every change of a serialized type raises it.
pub const VERSION: u32 = 1;

/// What both processes must agree on: a core with other values would misread the image, or the world of its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// [`VERSION`].
    pub version: u32,
    /// Limits that shape the state.
    limits: [usize; 4],
    /// Settings that can't change, with their names.
    settings: Vec<(String, String)>,
}

/// Why a process can't continue from an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another version of the format or its limits: the old server has to drain.
    Version,
    /// A setting that can't change: its name, the old value and the new one.
    Setting(String, String, String),
    /// The image is damaged, or has another number of sockets.
    Image(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => {
                out.write_str("the versions don't fit: drain the running server, and start the new one")
            }
            Self::Setting(name, old, new) => {
                let shown =
                    |value: &String| if value.is_empty() { "unset".to_owned() } else { value.clone() };
                write!(out, "{name} can't change in a takeover: {} is in use, not {}", shown(old), shown(new))
            }
            Self::Image(what) => write!(out, "the image is damaged: {what}"),
        }
    }
}

impl Terms {
    /// Returns the terms of a server with this configuration.
    pub fn of(config: &Config) -> Self {
        let settings = [
            ("HOST", config.host.to_string()),
            ("PORT", config.port.to_string()),
            ("REUSE_PORT", config.reuse_port.to_string()),
            ("WORLD_WIDTH", config.world_width.to_string()),
            ("WORLD_HEIGHT", config.world_height.to_string()),
            ("TICK_RATE", config.tick_rate_hz.to_string()),
            ("CLUSTER_WORLD", config.cluster_world.clone()),
            ("CLUSTER_URL", if config.cluster_url.is_some() { "set" } else { "" }.to_owned()),
            ("ADMIN_ADDR", config.admin_addr.map_or_else(String::new, |address| address.to_string())),
        ];
        Self {
            version: VERSION,
            limits: [
                limits::MESSAGE_BYTES_MAX,
                limits::GRID_CELLS_PER_SIDE,
                limits::RESERVE_DESCRIPTORS,
                limits::RATED_ADDRESSES_MAX,
            ],
            settings: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        }
    }

    /// Checks that a server with the terms `new` can continue from this one.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, new: &Self) -> Result<(), Refusal> {
        if (self.version, self.limits) != (new.version, new.limits)
            || self.settings.len() != new.settings.len()
        {
            return Err(Refusal::Version);
        }
        match self.settings.iter().zip(&new.settings).find(|(old, new)| old != new) {
            Some(((name, old), (_, new))) => Err(Refusal::Setting(name.clone(), old.clone(), new.clone())),
            None => Ok(()),
        }
    }
}

/// The image, as it is written. [`Image`] has the same fields.
#[derive(Serialize)]
#[serde(bound = "")]
struct ImageRef<'a, S: System> {
    cpu_ns: u64,
    clock: &'a Clock,
    schedule: &'a Schedule,
    metrics: &'a Metrics,
    connections: &'a Connections<S::Socket>,
    bodies: Bodies,
    replies: &'a Replies,
    gate: &'a Gate,
    http_queue: &'a HttpQueue,
    http_budget: &'a HttpBudget,
    sessions: &'a PlayerSessions,
    accounts: &'a Accounts,
    cluster: Option<&'a Cluster<S::Bus>>,
    engine: &'a Engine,
    report: &'a Report,
    operations: &'a Operations,
}

/// The image, as it is read.
#[derive(Deserialize)]
struct Image {
    cpu_ns: u64,
    clock: Clock,
    schedule: Schedule,
    metrics: Metrics,
    connections: Connections<()>,
    bodies: Bodies,
    replies: Replies,
    gate: Gate,
    http_queue: HttpQueue,
    http_budget: HttpBudget,
    sessions: PlayerSessions,
    accounts: Accounts,
    cluster: Option<Cluster<()>>,
    engine: Engine,
    report: Report,
    operations: Operations,
}

/// Bodies that wait in outboxes by reference. A body that several connections wait for is written once.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Bodies {
    bodies: Vec<Arc<[u8]>>,
    waiting: Vec<(Token, usize, Range<usize>)>,
}

impl Bodies {
    fn of<S>(connections: &Connections<S>) -> Self {
        let mut all = Self::default();
        for token in connections.table.tokens() {
            let Some((body, part)) = connections.get(token).and_then(|connection| connection.outbox.body())
            else {
                continue;
            };
            let known = all.bodies.iter().position(|other| Arc::ptr_eq(other, body));
            let index = known.unwrap_or_else(|| {
                all.bodies.push(Arc::clone(body));
                all.bodies.len() - 1
            });
            all.waiting.push((token, index, part.clone()));
        }
        all
    }

    fn restore<S>(self, connections: &mut Connections<S>) -> Result<(), Refusal> {
        for (token, index, part) in self.waiting {
            let (body, connection) = (self.bodies.get(index), connections.get_mut(token));
            let (Some(body), Some(connection)) = (body, connection) else {
                return Err(damaged("a body is missing"));
            };
            if part.start > part.end || part.end > body.len() {
                return Err(damaged("a body is too short"));
            }
            connection.outbox.send_body(Arc::clone(body), part);
        }
        Ok(())
    }
}

fn damaged(what: &str) -> Refusal {
    Refusal::Image(what.to_owned())
}

/// Whether an image can be made now. While the round is written, a later turn can; during a reload or a shutdown, none can.
pub fn is_possible<S: System>(core: &Core<S>, pool: &Pool) -> bool {
    flush::is_flush_round_over(core, pool)
        && core.lifecycle.draining.is_none()
        && !core.lifecycle.reload.is_pending()
}

/// Returns the image. The sockets of [`sockets`] belong to it, in their order.
///
/// # Errors
/// Memory does not suffice.
pub fn make<S: System>(core: &Core<S>) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(&ImageRef::<S> {
        cpu_ns: core.system.thread_cpu_ns(),
        clock: &core.clock,
        schedule: &core.schedule,
        metrics: &core.metrics,
        connections: &core.connections,
        bodies: Bodies::of(&core.connections),
        replies: &core.replies,
        gate: &core.gate,
        http_queue: &core.site.queue,
        http_budget: &core.site.budget,
        sessions: &core.sessions,
        accounts: &core.accounts,
        cluster: core.cluster.as_ref(),
        engine: &core.engine,
        report: &core.lifecycle.report,
        operations: &core.operations,
    })
}

/// Returns the sockets of all connections, in the order of the image, and the tokens with which they are registered.
pub fn sockets<S: System>(core: &Core<S>) -> impl Iterator<Item = (Token, &S::Socket)> {
    core.connections.table.iter().map(|(token, connection)| (token, &connection.stream))
}

/// Creates a core that continues from an image, with the sockets that belong to it, in their order. The other arguments are
/// those of [`Core::new`]. The sockets are registered already, so that their readiness is reported.
///
/// # Errors
/// The image is damaged, or has other sockets.
///
/// # Panics
/// If the configuration has another world size or tick rate; see [`Terms::check`].
pub fn resume<S: System>(
    system: S,
    mut config: Config,
    capacity: Capacity,
    assets: Assets,
    sessions: Sessions<Token>,
    cluster: Option<Cluster<S::Bus>>,
    (image, sockets): (&[u8], Vec<(Token, S::Socket)>),
) -> Result<Core<S>, Refusal> {
    let image: Image = postcard::from_bytes(image).map_err(|error| damaged(&error.to_string()))?;
    if !image.connections.table.iter().map(|(token, _)| token).eq(sockets.iter().map(|(token, _)| *token)) {
        return Err(damaged("it has other sockets"));
    }
    let mut sockets = sockets.into_iter().map(|(_, socket)| socket);
    let mut connections = image.connections.map_sockets(|()| sockets.next().expect("compared above"));
    image.bodies.restore(&mut connections)?;
    let reload = Reload::new(config.clone());
    config.max_connections = capacity.players;
    let mut site = Site::new(assets, &config, image.clock.now_ns());
    (site.queue, site.budget) = (image.http_queue, image.http_budget);
    let tick_counter = TickCounter::default();
    let mut core = Core {
        clock: image.clock,
        schedule: image.schedule,
        metrics: image.metrics,
        connections,
        replies: image.replies,
        gate: image.gate,
        site,
        sessions: image.sessions,
        accounts: image.accounts,
        cluster: image.cluster.zip(cluster).map(|(image, cluster)| cluster.continue_from(image)),
        engine: image.engine,
        lifecycle: Lifecycle { draining: None, reload, report: image.report, tick_counter },
        operations: image.operations,
        trace: None,
        config,
        system,
    };
    core.metrics.takeovers_total += 1;
    core.system.continue_cpu_time(image.cpu_ns);
    let processes = cluster::processes(&core);
    core.gate.resume(&core.config, processes, capacity);
    core.gate.reserve_descriptors.refill(0, || core.system.hold_descriptor());
    core.sessions.store.continue_with(sessions);
    core.engine.resume(&core.config);
    Ok(core)
}

/// Replaces the backend of the sessions by that of `sessions`; the old one is written and closed. A file must be closed by
/// one process before another one opens it.
pub fn replace_session_store<S: System>(core: &mut Core<S>, sessions: Sessions<Token>) {
    core.sessions.store.continue_with(sessions);
}

/// Counts a handover that failed.
pub fn count_failure<S: System>(core: &mut Core<S>) {
    core.metrics.takeovers_failed_total += 1;
}

/// Returns this node's id in the cluster.
pub fn node_id<S: System>(core: &Core<S>) -> Option<NodeId> {
    core.cluster.as_ref().map(|cluster| cluster.node().id())
}
