//! The event loop's side of the cluster: receives messages of other nodes between events, and publishes after each tick.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::port_group::PortGroup;
use super::system::System;
use super::{Core, close, control, port_group, takeover};
use crate::cluster::bus::Bus;
use crate::cluster::link::{Command, LinkEvent, Record};
use crate::cluster::message::{NodeId, SessionOutcome};
use crate::cluster::{Channel, Node, Now, Outgoing, Received};
use crate::config::Config;
use crate::limits::{
    BUS_DELAY_MS_MAX, BUS_PAUSE_FACTOR, BUS_PAUSE_NS_MAX, BUS_POLL_BYTES, BUS_POLL_MESSAGES, BUS_POLL_NS,
    ISOLATION_TIMEOUT_MS, LEASE_BOOTSTRAP_MS, LEASE_IDS, LINK_TIMEOUT_MS,
};
use crate::ops::metrics::{Closed, ClusterGauges};
use crate::sessions::{SavedPlayer, SessionEntry, SessionToken};
use crate::wire::websocket::Code;

/// Generation of a link that has not been connected since a takeover.
const NOT_CONNECTED: u64 = u64::MAX;

/// This node's membership in a cluster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = "B: Default"))]
pub struct Cluster<B> {
    pub(super) node: Node,
    #[serde(skip)]
    link: B,
    health: Health,
    intake: Intake,
    round_due_ms: u64,
    /// Earliest time for the next lease request.
    lease_due_ms: u64,
    /// Messages to publish at the end of this turn.
    outgoing: Vec<Outgoing>,
    /// Sessions to query at the end of this turn.
    fetches: Vec<SessionToken>,
    pub(super) port_group: PortGroup,
}

/// Whether the bus connects this node with others. Times are in milliseconds of the loop's clock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Health {
    /// Generation of the link's connection, as of the last tick.
    generation: u64,
    /// Time since which the bus has been reachable without interruption.
    up_since_ms: Option<u64>,
    /// Time since which no message from a peer has arrived, although the bus counts other subscribers.
    no_peers_since_ms: Option<u64>,
    /// Time of the last check for silent peers.
    checked_ms: u64,
}

/// The budget of bus messages.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Intake {
    /// The link may hold messages that exceeded the budget of the last turn.
    has_backlog: bool,
    /// Earliest time to process messages after they exceeded their time, in nanoseconds of the loop's clock.
    paused_until_ns: u64,
}

impl<B: Bus> Cluster<B> {
    /// Creates the membership of a node that has joined the bus. `port_group` is that of [`Status`](crate::cluster::status::Status).
    pub fn new(node: Node, link: B, port_group: u64) -> Self {
        Self {
            node,
            link,
            health: Health::default(),
            intake: Intake::default(),
            round_due_ms: 0,
            lease_due_ms: 0,
            outgoing: Vec::new(),
            fetches: Vec::new(),
            port_group: PortGroup::default().with_id(port_group),
        }
    }

    /// Continues the membership of another process with this link. Its first connection counts as a new one, so peers are
    /// asked for everything again.
    pub(super) fn continue_from(self, image: Cluster<()>) -> Self {
        let Cluster {
            node, health, intake, round_due_ms, lease_due_ms, outgoing, fetches, port_group, ..
        } = image;
        let (link, health) = (self.link, Health { generation: NOT_CONNECTED, ..health });
        let port_group = port_group.with_id(self.port_group.id());
        let cluster =
            Self { node, link, health, intake, round_due_ms, lease_due_ms, outgoing, fetches, port_group };
        cluster.subscribe();
        cluster
    }

    /// Subscribes the link to the regions in which this node has viewers.
    fn subscribe(&self) {
        let regions = self.node.remote().subscriptions().iter().map(Channel::Region);
        self.link.subscribe(regions.chain([Channel::All]).collect());
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether the bus is reachable; otherwise this node continues with local players only.
    pub(super) fn is_up(&self) -> bool {
        self.health.up_since_ms.is_some()
    }

    /// Whether the bus is reachable and, if it counts other subscribers, messages from peers arrive.
    pub(super) fn is_healthy(&self, now_ms: u64) -> bool {
        self.is_up()
            && self.health.no_peers_since_ms.is_none_or(|since_ms| now_ms - since_ms < ISOLATION_TIMEOUT_MS)
    }

    /// Returns the number of session writes and queries that the bus rejected.
    pub(super) fn refusals(&self) -> u64 {
        self.link.counters().refusals.load(Ordering::Relaxed)
    }

    /// Whether the given node is a known, live peer.
    pub(super) fn is_peer_alive(&self, node: NodeId) -> bool {
        self.node.remote().contains(node)
    }

    /// Queues a query of the bus for a session.
    pub(super) fn fetch_session(&mut self, session: SessionToken) {
        self.fetches.push(session);
    }

    /// Whether the link may hold messages that exceeded the budget of the last iteration.
    pub(super) fn has_backlog(&self) -> bool {
        self.intake.has_backlog
    }
}

/// Processes messages from other nodes, within a budget of messages, bytes and time. The rest waits.
pub(super) fn receive_from_bus<S: System>(core: &mut Core<S>) {
    let Some(cluster) = &mut core.cluster else { return };
    if core.clock.now_ns() < cluster.intake.paused_until_ns {
        return;
    }
    cluster.intake.has_backlog = cluster.link.take_wakeup();
    if !cluster.intake.has_backlog {
        return;
    }
    let (now, began_ns) = (bus_now(core), core.system.monotonic_ns());
    let (mut messages, mut bytes, mut spent_ns) = (0, 0, 0);
    while messages < BUS_POLL_MESSAGES && bytes < BUS_POLL_BYTES && spent_ns < BUS_POLL_NS {
        let Some(cluster) = &mut core.cluster else { return };
        let Some(event) = cluster.link.next_event() else { return cluster.intake.has_backlog = false };
        messages += 1;
        bytes += event.bytes();
        handle_bus_event(core, event, now);
        spent_ns = core.system.monotonic_ns() - began_ns;
    }
    if spent_ns >= BUS_POLL_NS
        && let Some(cluster) = &mut core.cluster
    {
        // The next tick polls the link again.
        cluster.intake.paused_until_ns = began_ns + spent_ns + pause_ns(spent_ns);
        cluster.intake.has_backlog = false;
    }
}

fn handle_bus_event<S: System>(core: &mut Core<S>, event: LinkEvent, now: Now) {
    let Some(cluster) = &mut core.cluster else { return };
    match event {
        LinkEvent::IdsLeased(ids) => {
            let (start, end) = (ids.start, ids.end);
            if core.engine.grant_ids(&mut cluster.node, ids, now) {
                cluster.lease_due_ms = now.ms;
                log::debug!("cluster: ids {start} to {} leased", end - 1);
                port_group::update_now(core);
            } else {
                // Requested again after a while.
                core.metrics.bus_refused_total += 1;
                log::debug!("cluster: implausible lease of ids {start} to {end} rejected");
            }
        }
        LinkEvent::SessionsFetched(fetched) => {
            for (session, record) in fetched {
                takeover::session_fetched(core, session, record);
            }
        }
        LinkEvent::Message(bytes) => {
            match core.engine.receive_bus_message(&mut cluster.node, &bytes, now) {
                Received::SessionRequest(session, requester) => {
                    takeover::release_to_node(core, session, requester);
                }
                Received::SharedIds(slots) => {
                    for slot in slots {
                        let token = core.connections.of_slot(slot);
                        let why = "another player has the same id";
                        close::close_player(core, token, Code::GoingAway, why, Closed::SharedId);
                    }
                }
                // Without a secret, any client of Redis could ban players.
                Received::Bans(_) if core.config.cluster_secret.is_none() => {
                    core.metrics.bus_refused_total += 1;
                }
                Received::Bans(decisions) => control::merge_bans(core, &decisions),
                Received::SessionReply(session, fate) => takeover::owner_answered(core, session, fate),
                Received::Applied { delay_us, has_players: true } => {
                    // With clocks that far apart, the delay is meaningless.
                    if delay_us <= BUS_DELAY_MS_MAX * 1_000 {
                        core.metrics.record_bus_delay(delay_us * 1_000);
                    }
                }
                Received::Applied { .. } | Received::Echo => {}
                Received::Refused(why) => {
                    core.metrics.bus_refused_total += 1;
                    if let Some(why) = why {
                        log::warn!("cluster: message rejected: {why}");
                    }
                }
            }
        }
    }
}

/// Queues the messages to publish as of the last tick, and checks the link, the peers and the lease.
pub(super) fn publish_to_bus<S: System>(core: &mut Core<S>) {
    if core.cluster.is_none() {
        return;
    }
    port_group::update(core);
    let (now, is_draining) = (bus_now(core), core.is_draining());
    let Some(cluster) = &mut core.cluster else { return };
    let mut out = std::mem::take(&mut cluster.outgoing);
    cluster.watch_link(now, &mut out);
    cluster.watch_peers(now);
    cluster.ask_for_ids(now, core.engine.world().ids_left());
    if cluster.is_round_due(now, &core.config) {
        let (is_other, gone) = core.engine.update_peers(&mut cluster.node, now, &mut out);
        for name in gone {
            log::info!("cluster: peer {name} timed out");
        }
        if is_other {
            cluster.subscribe();
        }
        let status = port_group::due_status(core, now);
        let Some(cluster) = &mut core.cluster else { return };
        // A node that has announced its shutdown publishes nothing more.
        if cluster.is_up() && !is_draining {
            core.engine.publish(&mut cluster.node, status, now, &mut out);
            if core.config.cluster_secret.is_some() {
                let decisions = || core.operations.bans.decisions().to_vec();
                cluster.node.publish_bans(decisions, now, &mut out);
            }
        }
    }
    if let Some(cluster) = &mut core.cluster {
        cluster.outgoing = out;
    }
}

/// Hands queued messages, session writes and session queries to the link. Called once per iteration.
pub(super) fn flush_bus<S: System>(core: &mut Core<S>) {
    let Some(cluster) = &mut core.cluster else { return };
    // Session writes go first: a message may make another node query for them.
    let writes = core.sessions.store.take_writes();
    if !writes.is_empty() && cluster.is_up() {
        // Any node may hand out these sessions from now on, so this one must not.
        for write in writes.iter().filter(|write| matches!(write.entry, SessionEntry::Disconnected(_))) {
            core.sessions.store.forget(write.token);
        }
        cluster.link.send(Command::StoreSessions(writes, core.config.resume_ttl_s));
    }
    if !cluster.outgoing.is_empty() {
        cluster.link.send(Command::Publish(std::mem::take(&mut cluster.outgoing)));
    }
    if !cluster.fetches.is_empty() {
        cluster.link.send(Command::FetchSessions(std::mem::take(&mut cluster.fetches)));
    }
}

/// Requests a session from the node that owns its player.
pub(super) fn claim_session<S: System>(core: &mut Core<S>, session: SessionToken, owner: NodeId) {
    let now = bus_now(core);
    let Some(cluster) = &mut core.cluster else { return };
    cluster.node.request_session(session, owner, now, &mut cluster.outgoing);
}

/// Replies to a node's request for a session.
pub(super) fn answer_claim<S: System>(
    core: &mut Core<S>,
    session: SessionToken,
    requester: NodeId,
    fate: SessionOutcome,
) {
    let now = bus_now(core);
    let Some(cluster) = &mut core.cluster else { return };
    cluster.node.reply_session(session, requester, fate, now, &mut cluster.outgoing);
}

/// Returns the state of a player that did not leave its node, with the place where this node saw it last: the entry is up to ten
/// seconds old.
pub(super) fn with_last_place<S: System>(core: &Core<S>, record: &Record) -> SavedPlayer {
    let node = core.node().map(Node::remote);
    let place = node
        .zip(record.player)
        .and_then(|(remote, player)| remote.last_place(player, core.clock.uptime_ms(), core.engine.world()));
    place.map_or(record.saved, |place| SavedPlayer {
        x: place.position.x,
        y: place.position.y,
        faces_right: place.faces_right,
        ..record.saved
    })
}

/// Publishes the decisions about banned networks soon.
pub(super) fn bans_changed<S: System>(core: &mut Core<S>) {
    if let Some(cluster) = &mut core.cluster {
        cluster.node.bans_changed();
    }
}

/// Announces the shutdown to other nodes.
pub(super) fn leave_cluster<S: System>(core: &mut Core<S>) {
    let now = bus_now(core);
    let Some(cluster) = &mut core.cluster else { return };
    cluster.node.announce_shutdown(now, &mut cluster.outgoing);
    flush_bus(core);
}

/// Returns the players of other processes that share the port.
pub(super) fn players_elsewhere<S: System>(core: &Core<S>) -> usize {
    core.cluster.as_ref().map_or(0, |cluster| cluster.port_group.players_elsewhere())
}

/// Returns the number of processes that share the port, this one included.
pub(super) fn processes<S: System>(core: &Core<S>) -> u32 {
    core.cluster.as_ref().map_or(1, |cluster| cluster.port_group.processes())
}

/// Whether an id is left for a new player.
pub(super) fn has_ids<S: System>(core: &Core<S>) -> bool {
    core.engine.world().ids_left() > 0
}

fn bus_now<S: System>(core: &Core<S>) -> Now {
    Now { ms: core.clock.uptime_ms(), unix_us: core.system.unix_time().as_micros() as u64 }
}

pub(super) fn cluster_gauges<S: System>(core: &Core<S>, cluster: &Cluster<S::Bus>) -> ClusterGauges {
    let (remote, counters) = (cluster.node.remote(), cluster.link.counters());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    ClusterGauges {
        is_up: cluster.is_healthy(core.clock.uptime_ms()),
        peers: remote.peers().count() as u64,
        peer_players: remote.peer_players(),
        ghosts: core.engine.world().ghosts() as u64,
        regions: remote.subscriptions().len() as u64,
        resyncs_total: remote.resyncs(),
        ids_left: core.engine.world().ids_left() as u64,
        lease_conflicts_total: remote.ids().conflicts(),
        messages_out_total: count(&counters.messages_out),
        messages_in_total: count(&counters.messages_in),
        bytes_out_total: count(&counters.bytes_out),
        bytes_in_total: count(&counters.bytes_in),
        dropped_total: count(&counters.dropped),
        implausible_total: remote.implausible() + count(&counters.implausible),
        unauthenticated_total: count(&counters.unauthenticated),
        failures_total: count(&counters.failures),
    }
}

impl<B: Bus> Cluster<B> {
    /// Detects and logs isolation: no messages from peers arrive although the bus counts other subscribers.
    fn watch_peers(&mut self, now: Now) {
        let has_no_peers = self.is_up() && self.link.subscribers() > 1 && !self.node.remote().has_peers();
        if !has_no_peers {
            if self
                .health
                .no_peers_since_ms
                .take()
                .is_some_and(|since_ms| now.ms - since_ms >= ISOLATION_TIMEOUT_MS)
            {
                log::info!("cluster: messages from peers arrive again");
            }
            return;
        }
        let was_healthy = self.is_healthy(self.health.checked_ms);
        self.health.no_peers_since_ms.get_or_insert(now.ms);
        if was_healthy && !self.is_healthy(now.ms) {
            let shown = self.link.address();
            log::warn!(
                "cluster: degraded: no messages from peers arrive although the bus at {shown} counts other subscribers"
            );
        }
        self.health.checked_ms = now.ms;
    }

    /// Tracks whether the bus is reachable, and synchronizes after each new connection.
    fn watch_link(&mut self, now: Now, out: &mut Vec<Outgoing>) {
        let (is_up, generation) = (self.link.is_up(), self.link.generation());
        if !is_up {
            let has_failed = self.link.counters().failures.load(Ordering::Relaxed) > 0;
            // After a takeover the link connects for the first time: commands wait for it.
            let is_connecting = self.health.generation == NOT_CONNECTED && !has_failed;
            if !is_connecting && self.health.up_since_ms.take().is_some() {
                log::warn!("cluster: Redis unreachable; continuing with local players only");
            }
            return;
        }
        if self.health.up_since_ms.is_none() || generation != self.health.generation {
            log::info!("cluster: connected to the bus at {}", self.link.address());
            (self.health.up_since_ms, self.health.generation) = (Some(now.ms), generation);
            self.lease_due_ms = now.ms;
            // A node without ids has no bounds to contribute.
            let bounds = self.node.ids().bounds(now.ms);
            if bounds.min > 0 {
                self.link.send(Command::RaiseIdCounter(bounds));
            }
            self.node.reconnect(now, out);
        }
    }

    /// Whether this tick is the nearest one to the publish deadline. Taking the next later one would accumulate delay.
    fn is_round_due(&mut self, now: Now, config: &Config) -> bool {
        let half_a_tick_ms = 500 / u64::from(config.tick_rate_hz);
        if now.ms + half_a_tick_ms < self.round_due_ms {
            return false;
        }
        let interval_ms = u64::from(config.batch_interval_ms);
        self.round_due_ms += interval_ms;
        // After a pause the schedule restarts.
        if self.round_due_ms <= now.ms {
            self.round_due_ms = now.ms + interval_ms;
        }
        true
    }

    /// Requests another lease before the ids run out.
    fn ask_for_ids(&mut self, now: Now, left: usize) {
        let Some(up_since_ms) = self.health.up_since_ms else { return };
        let has_enough = left >= LEASE_IDS as usize && !self.node.needs_ids();
        if has_enough || now.ms < self.lease_due_ms {
            return;
        }
        // A reply arrives sooner, or never.
        self.lease_due_ms = now.ms + LINK_TIMEOUT_MS;
        let may_create = now.ms - up_since_ms >= LEASE_BOOTSTRAP_MS;
        self.link.send(Command::LeaseIds { bounds: self.node.ids().bounds(now.ms), may_create });
    }
}

/// Returns how long to pause bus messages after an iteration that spent `spent_ns` on them.
fn pause_ns(spent_ns: u64) -> u64 {
    spent_ns.saturating_mul(BUS_PAUSE_FACTOR).min(BUS_PAUSE_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_proportional_and_bounded() {
        assert_eq!(pause_ns(2_000_000), 6_000_000);
        assert_eq!(pause_ns(3_600 * 1_000_000_000), BUS_PAUSE_NS_MAX);
    }
}
