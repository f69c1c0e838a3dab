//! This node's part in its port group: whether it listens, what it tells its peers, and the limits of the whole group.
//!
//! Bounds: what is known about another process is one heartbeat and the delay of the bus old. Meanwhile each of the others may admit
//! players as well, so a limit can be exceeded by what they admit in that time.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::system::System;
use super::{Core, accept, cluster};
use crate::admission::Network;
use crate::admission::port_group::{FairShare, Listening, Member};
use crate::cluster::message::NodeId;
use crate::cluster::remote::Peer;
use crate::cluster::status::{ADDRESSES_MAX, Figures, Status};
use crate::cluster::{Node, Now};
use crate::config::Config;

/// Longest time after the start without ids in which the node leaves the port to others that admit players, in milliseconds.
const STARTING_MS: u64 = 5_000;

/// Time after the start until such nodes must be known, in milliseconds: two heartbeats, and a late one.
const FIND_MS: u64 = 1_250;

/// Time between two decisions, in milliseconds.
const UPDATE_MS: u64 = 100;

/// Connections accepted in each attempt to stop listening, since the kernel closes those that wait.
const ACCEPTED_BEFORE_PAUSE: usize = 256;

/// Attempts to accept all connections that wait, before the node stops listening anyway.
const PAUSE_ATTEMPTS: u32 = 10;

/// The port group of this node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PortGroup {
    /// See [`Status::port_group`].
    id: u64,
    share: FairShare,
    /// Players of the other processes.
    players_elsewhere: u32,
    /// Processes of the group, this one included; 0 before the first update.
    processes: u32,
    /// Unsuccessful attempts to stop listening or to listen again.
    attempts: u32,
    due_ms: u64,
}

impl PortGroup {
    /// Returns this state for a group with another id.
    pub fn with_id(self, id: u64) -> Self {
        Self { id, ..self }
    }

    /// Returns the id; see [`Status::port_group`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the players of the other processes.
    pub fn players_elsewhere(&self) -> usize {
        self.players_elsewhere as usize
    }

    /// Returns the number of processes, this one included.
    pub fn processes(&self) -> u32 {
        self.processes.max(1)
    }
}

/// Decides again at once: this node has got ids.
pub(super) fn update_now<S: System>(core: &mut Core<S>) {
    if let Some(cluster) = &mut core.cluster {
        cluster.port_group.due_ms = 0;
    }
    update(core);
}

/// Updates what this node knows about its group, if that is due, and acts accordingly.
pub(super) fn update<S: System>(core: &mut Core<S>) {
    let (now_ms, is_admitting) = (core.clock.uptime_ms(), is_admitting(core));
    let players = core.engine.players() as u32;
    let Some(cluster) = &mut core.cluster else { return };
    let group = &mut cluster.port_group;
    if now_ms < group.due_ms {
        return;
    }
    group.due_ms = now_ms + UPDATE_MS;
    let listening = group.share.listening();
    let own = Member { id: cluster.node.id(), players, listening, is_admitting, age_ms: 0 };
    let others = others(&cluster.node, group.id, now_ms);
    let next = group.share.decide(&own, &others, now_ms);
    group.players_elsewhere = others.iter().fold(0, |all: u32, other| all.saturating_add(other.players));
    let processes = 1 + others.len() as u32;
    let is_resized = std::mem::replace(&mut group.processes, processes) != processes;
    if next != listening {
        cluster.node.status_changed();
        log::debug!("port group: {next:?} with {players} players, and {} elsewhere", group.players_elsewhere);
    }
    if group.id > 0 || is_resized {
        let elsewhere = addresses_elsewhere(&cluster.node, group.id);
        core.gate.peer_addresses.set_elsewhere(elsewhere);
    }
    if is_resized {
        core.gate.peer_addresses.reconfigure(&core.config, processes);
    }
    // A node without ids refuses players, which another one would admit. One that listens already will have ids soon.
    let has_others = others.iter().any(|other| other.is_admitting && other.listening != Listening::Paused);
    let waits = starts_silent(&core.config)
        && !core.gate.listeners.is_listening()
        && !cluster::has_ids(core)
        && now_ms < if has_others { STARTING_MS } else { FIND_MS };
    set_listening(core, next != Listening::Paused && !waits);
}

/// Whether a server with this configuration listens only once it has ids for players, or none of the others admits players.
pub fn starts_silent(config: &Config) -> bool {
    config.reuse_port && config.cluster_url.is_some()
}

/// Returns the peers of a group.
fn peers_of(node: &Node, group: u64) -> impl Iterator<Item = (NodeId, &Peer)> {
    node.remote().peers().filter(move |(_, peer)| group > 0 && peer.status.port_group == group)
}

/// Returns what is known about the other members of a group.
fn others(node: &Node, group: u64, now_ms: u64) -> Vec<Member> {
    peers_of(node, group)
        .map(|(id, peer)| Member {
            id,
            players: peer.players,
            listening: peer.status.listening,
            is_admitting: peer.status.is_admitting,
            age_ms: now_ms.saturating_sub(peer.status_ms),
        })
        .collect()
}

/// Returns the players of addresses on the other members of a group.
fn addresses_elsewhere(node: &Node, group: u64) -> HashMap<Network, u32> {
    let mut players = HashMap::new();
    for (network, count) in peers_of(node, group).flat_map(|(_, peer)| &peer.status.addresses) {
        let all = players.entry(*network).or_insert(0_u32);
        *all = all.saturating_add(*count);
    }
    players
}

/// Whether this node admits players.
fn is_admitting<S: System>(core: &Core<S>) -> bool {
    !core.is_draining() && !core.operations.is_closed(core.clock.now_ms()) && cluster::has_ids(core)
}

/// Listens at the public address or stops. Accepts the connections that wait first, as far as a few attempts suffice.
fn set_listening<S: System>(core: &mut Core<S>, listens: bool) {
    if core.gate.listeners.is_listening() == listens {
        return;
    }
    let is_empty = listens || accept::accept_waiting(core, ACCEPTED_BEFORE_PAUSE);
    let Some(group) = core.cluster.as_mut().map(|cluster| &mut cluster.port_group) else { return };
    if !is_empty && group.attempts < PAUSE_ATTEMPTS {
        group.attempts += 1;
        return;
    }
    match core.system.set_listening(listens) {
        Ok(()) => {
            group.attempts = 0;
            core.gate.listeners.set_listening(listens);
            let what = if listens { "listening" } else { "not listening for a while" };
            log::info!(
                "port group: {what}: {} players here, {} elsewhere",
                core.engine.players(),
                group.players_elsewhere
            );
        }
        Err(error) => {
            // Tried again at the next update.
            if group.attempts == 0 {
                log::error!("port group: the public listener can't change: {error}");
            }
            group.attempts = group.attempts.saturating_add(1);
        }
    }
}

/// Stops listening for the shutdown, so that other processes of the port get all newcomers.
pub(super) fn stop_listening<S: System>(core: &mut Core<S>) {
    if core.config.reuse_port && core.gate.listeners.is_listening() {
        accept::accept_waiting(core, ACCEPTED_BEFORE_PAUSE);
        if core.system.set_listening(false).is_ok() {
            core.gate.listeners.set_listening(false);
        }
    }
}

/// Returns what this node tells its peers about itself, if that is due.
pub(super) fn due_status<S: System>(core: &Core<S>, now: Now) -> Option<Status> {
    let cluster = core.cluster.as_ref().filter(|cluster| cluster.node.is_heartbeat_due(now))?;
    let group = &cluster.port_group;
    let addresses = if group.id > 0 { core.gate.peer_addresses.most_held(ADDRESSES_MAX) } else { Vec::new() };
    Some(Status {
        port_group: group.id,
        listening: group.share.listening(),
        is_admitting: is_admitting(core),
        figures: figures(core),
        addresses,
    })
}

fn figures<S: System>(core: &Core<S>) -> Figures {
    let (settings, usage) = (core.engine.viewers().settings(), core.system.usage());
    Figures {
        connections_open: core.connections.table.len() as u64,
        uptime_seconds: core.clock.uptime_ms() / 1000,
        tick_rate_hz: rounded(core.metrics.tick_rate_hz()),
        tick_p99_ns: core.metrics.tick_percentiles().p99_ns,
        loop_busy_ratio: rounded(core.metrics.loop_busy_ratio()),
        events_per_second: rounded(core.metrics.events_per_second()),
        flush_interval_ms: settings.flush_interval * 1000 / u64::from(core.config.tick_rate_hz),
        max_visible: settings.max_visible as u64,
        governor_level: core.engine.governor.level() as u64,
        bytes_in_total: core.metrics.bytes_in_total,
        bytes_out_total: core.metrics.bytes_out_total,
        cpu_ns_total: usage.cpu_ns,
        resident_bytes: usage.resident_bytes,
    }
}

/// Returns all nodes of the world with their load, this one first; `None` without a cluster.
pub(super) fn nodes<S: System>(core: &Core<S>) -> Option<Json> {
    core.cluster.as_ref()?;
    Some(all_nodes(core).iter().map(|node| node.json(node.figures)).collect())
}

/// Returns the figures of all nodes that operators ask for most, this one first.
pub(super) fn nodes_for_operators<S: System>(core: &Core<S>) -> Json {
    let few = |figures: &Figures| {
        json!({
            "busy": figures.loop_busy_ratio,
            "tick_p99_us": figures.tick_p99_ns / 1_000,
            "flush_ms": figures.flush_interval_ms,
            "visible": figures.max_visible,
            "level": figures.governor_level,
            "messages_per_s": figures.events_per_second.round(),
            "cpu_s": figures.cpu_ns_total / 1_000_000_000,
            "mib": figures.resident_bytes >> 20,
        })
    };
    all_nodes(core).iter().map(|node| node.json(few(&node.figures))).collect()
}

/// A node as operators see it.
struct Shown<'a> {
    name: &'a str,
    is_this: bool,
    players: u32,
    listening: Listening,
    is_admitting: bool,
    figures: Figures,
}

fn all_nodes<S: System>(core: &Core<S>) -> Vec<Shown<'_>> {
    let own = Shown {
        name: core.node().map_or("", Node::name),
        is_this: true,
        players: core.engine.players() as u32,
        listening: core
            .cluster
            .as_ref()
            .map_or(Listening::Open, |cluster| cluster.port_group.share.listening()),
        is_admitting: is_admitting(core),
        figures: figures(core),
    };
    let peers = core.node().into_iter().flat_map(|node| node.remote().peers());
    let mut others: Vec<Shown<'_>> = peers
        .map(|(_, peer)| Shown {
            name: &peer.name,
            is_this: false,
            players: peer.players,
            listening: peer.status.listening,
            is_admitting: peer.status.is_admitting,
            figures: peer.status.figures,
        })
        .collect();
    others.sort_by_key(|node| node.name);
    std::iter::once(own).chain(others).collect()
}

impl Shown<'_> {
    fn json(&self, figures: impl Serialize) -> Json {
        let state = match self.listening {
            _ if !self.is_admitting => "draining",
            Listening::Paused => "paused",
            Listening::Open | Listening::Yielding => "serving",
        };
        let mut json =
            json!({ "node": self.name, "is_this": self.is_this, "state": state, "players": self.players });
        let figures = serde_json::to_value(figures);
        if let (Some(all), Ok(Json::Object(figures))) = (json.as_object_mut(), figures) {
            all.extend(figures);
        }
        json
    }
}

/// Rounds to four decimals, as the metrics do.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
