//! One world shared by several processes. Each node owns its own players, publishes them region by region, and
//! shows the players of the other nodes as ghosts.
//!
//! ```text
//! world of this node ──> Publisher: changes and due snapshots ──> message ──> Redis
//!                    ──> message ──> RemoteNodes ──> world of a peer
//! ```
//!
//! * [`region`]: the grid of regions. [`message`]: encoding of the messages.
//! * [`publisher`]: changes and snapshots of local players. [`remote`]: peers and their ghosts.
//! * [`status`]: load and port group, with every heartbeat.
//! * [`Node`]: combines both behind bytes in and bytes out; driven by the server and by the simulation.
//! * [`link`]: the connections to Redis.
//!
//! The bus may lose, duplicate and reorder messages. A message applies to its region only if its sequence number is newer
//! than the last one. Every two seconds each region is published as a snapshot, which repairs any loss.

pub mod authentication;
pub mod bus;
pub mod ids;
pub mod link;
pub mod message;
pub mod publisher;
pub mod region;
pub mod remote;
pub mod status;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::limits::{HEARTBEAT_MS, SUBSCRIPTION_LINGER_MS, SUBSCRIPTION_UPDATE_MS, TAGGED_AGE_MS_MAX};
use crate::sessions::SessionToken;
use crate::world::World;
use ids::Ids;
use message::{BanDecision, Body, DecodeError, Header, Heartbeat, NodeId, SessionOutcome, decode, encode};
use publisher::Publisher;
use region::{Region, RegionGrid, RegionSet};
use remote::{Admission, Origin, RemoteNodes};
use status::Status;

/// A channel of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Channel {
    /// Every node subscribes.
    All,
    /// Nodes with viewers near this region subscribe.
    Region(Region),
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The channel.
    pub channel: Channel,
    /// The encoded message.
    pub bytes: Vec<u8>,
}

/// The time on the caller's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds of a monotonic clock.
    pub ms: u64,
    /// Microseconds of wall-clock time since 1970.
    pub unix_us: u64,
}

/// Result of [`Node::receive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The node's own message.
    Echo,
    /// The message was applied.
    Applied {
        /// Microseconds between sending and receiving, by both wall clocks; 0 if the sender's is ahead.
        delay_us: u64,
        /// The message carried players: changes or a snapshot.
        has_players: bool,
    },
    /// A client presented this session token to that node, and this node owns the session.
    SessionRequest(SessionToken, NodeId),
    /// A peer has players with the ids of the players in these slots. The caller closes them: they reconnect
    /// with other ids. The peer's number is smaller, so it keeps its players.
    SharedIds(Vec<u32>),
    /// A peer's decisions about banned networks.
    Bans(Vec<BanDecision>),
    /// The owner's reply to a session request of this node.
    SessionReply(SessionToken, SessionOutcome),
    /// The message was refused. Holds the reason the first time it occurs; the caller logs it.
    Refused(Option<String>),
}

/// A node: one process of the cluster.
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    id: NodeId,
    name: String,
    world: (u16, u16),
    /// Sequence number of the last message sent.
    sequence: u64,
    publisher: Publisher,
    remote: RemoteNodes,
    heartbeat_due_ms: u64,
    /// Time at which the decisions about banned networks are published again.
    bans_due_ms: u64,
    /// Ids of a peer among which are the last unused ids of this node.
    disputed: Option<Range<u32>>,
    interest_due_ms: u64,
    /// Subscribed regions outside every viewer's rectangle, with the time at which this was first noticed.
    unseen_since_ms: BTreeMap<Region, u64>,
    /// Largest allowed difference between a message's time and this node's wall clock, in microseconds.
    age_us_max: Option<u64>,
    /// Reasons logged so far; each is logged once.
    refused: BTreeSet<String>,
}

/// Interval at which all decisions about bans are published, in milliseconds, in case a message was lost.
const BANS_PUBLISH_MS: u64 = 30_000;

/// Distinct refusal reasons that are logged; further ones are only counted.
const REFUSALS_LOGGED_MAX: usize = 64;

impl Node {
    /// Returns the name of this node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id of this node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Creates a node in a world of the given width and height, in units.
    pub fn new(id: NodeId, name: String, (width, height): (u16, u16)) -> Self {
        let regions = RegionGrid::new(width, height);
        Self {
            id,
            name,
            world: (width, height),
            sequence: 0,
            publisher: Publisher::new(regions),
            remote: RemoteNodes::new(regions),
            heartbeat_due_ms: 0,
            bans_due_ms: 0,
            disputed: None,
            interest_due_ms: 0,
            unseen_since_ms: BTreeMap::new(),
            age_us_max: None,
            refused: BTreeSet::new(),
        }
    }

    /// Refuses messages whose time differs from this node's clock by more than [`TAGGED_AGE_MS_MAX`], which bounds replays.
    /// Requires tags, since only a tag protects the time; the clocks of all nodes must agree within that bound.
    #[must_use]
    pub fn require_fresh(self) -> Self {
        Self { age_us_max: Some(TAGGED_AGE_MS_MAX * 1_000), ..self }
    }

    /// Returns the peers and their ghosts.
    pub fn remote(&self) -> &RemoteNodes {
        &self.remote
    }

    /// Returns the grid of regions.
    pub fn regions(&self) -> RegionGrid {
        self.remote.regions()
    }

    /// Returns the known leases of ids.
    pub fn ids(&self) -> &Ids {
        self.remote.ids()
    }

    /// Adds a lease of ids and makes a heartbeat due, so that the peers learn of the lease before any player
    /// with its ids. Returns whether the lease was plausible and therefore accepted.
    pub fn grant(&mut self, ids: Range<u32>, now: Now, world: &mut World) -> bool {
        let is_taken = self.remote.ids_mut().grant(&ids, now.ms);
        if is_taken {
            self.heartbeat_due_ms = 0;
            world.grant_ids(ids);
            if let Some(disputed) = self.disputed.take() {
                self.give_up_ids(&disputed, now, world);
            }
        }
        is_taken
    }

    /// Returns whether another lease must replace the ids left, which a peer has as well.
    pub fn needs_ids(&self) -> bool {
        self.disputed.is_some()
    }

    /// Returns whether the subscriptions are due for an update.
    pub fn is_interest_due(&self, now: Now) -> bool {
        now.ms >= self.interest_due_ms
    }

    /// Subscribes to the regions in `seen`, and unsubscribes from regions unseen for
    /// [`SUBSCRIPTION_LINGER_MS`]. Returns whether the subscriptions changed.
    pub fn update_subscriptions(
        &mut self,
        seen: &RegionSet,
        now: Now,
        world: &mut World,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        self.interest_due_ms = now.ms + SUBSCRIPTION_UPDATE_MS;
        let fresh: Vec<Region> =
            seen.iter().filter(|&region| !self.remote.subscriptions().contains(region)).collect();
        for &region in &fresh {
            self.remote.subscribe(region);
        }
        self.unseen_since_ms.retain(|&region, _| !seen.contains(region));
        let unseen: Vec<Region> =
            self.remote.subscriptions().iter().filter(|&region| !seen.contains(region)).collect();
        let mut has_changed = !fresh.is_empty();
        for region in unseen {
            let since_ms = *self.unseen_since_ms.entry(region).or_insert(now.ms);
            if now.ms - since_ms >= SUBSCRIPTION_LINGER_MS {
                self.unseen_since_ms.remove(&region);
                self.remote.unsubscribe(region, world);
                has_changed = true;
            }
        }
        if !fresh.is_empty() {
            self.publish(Channel::All, &Body::SnapshotRequest(fresh), now, out);
        }
        has_changed
    }

    /// Resynchronizes after a reconnect: requests all subscribed regions and publishes all regions.
    pub fn reconnect(&mut self, now: Now, out: &mut Vec<Outgoing>) {
        self.heartbeat_due_ms = 0;
        let wanted = self.remote.subscriptions().iter().collect();
        self.publish(Channel::All, &Body::SnapshotRequest(wanted), now, out);
        self.publisher.request_all_snapshots();
    }

    /// Whether the next [`Node::publish_due`] needs a status.
    pub fn is_heartbeat_due(&self, now: Now) -> bool {
        now.ms >= self.heartbeat_due_ms
    }

    /// Publishes the heartbeat with this status, if there is one, then changes and due snapshots of local players.
    pub fn publish_due(&mut self, world: &World, status: Option<Status>, now: Now, out: &mut Vec<Outgoing>) {
        if let Some(status) = status {
            self.heartbeat_due_ms = now.ms + HEARTBEAT_MS;
            let (ids_end, players) = (self.remote.ids().claimed_end(), world.players() as u32);
            let heartbeat = Heartbeat { name: self.name.clone(), ids_end, players, status };
            self.publish(Channel::All, &Body::Heartbeat(heartbeat), now, out);
        }
        // Without peers there are no subscribers.
        if self.remote.has_peers() {
            for (region, body) in self.publisher.publish(world, now.ms) {
                self.publish(Channel::Region(region), &body, now, out);
            }
        }
    }

    /// Asks the owner of a session to transfer the player to this node.
    pub fn request_session(&mut self, token: SessionToken, owner: NodeId, now: Now, out: &mut Vec<Outgoing>) {
        self.publish(Channel::All, &Body::SessionRequest { token, owner }, now, out);
    }

    /// Replies to a session request.
    pub fn reply_session(
        &mut self,
        token: SessionToken,
        requester: NodeId,
        outcome: SessionOutcome,
        now: Now,
        out: &mut Vec<Outgoing>,
    ) {
        self.publish(Channel::All, &Body::SessionReply { token, requester, outcome }, now, out);
    }

    /// Publishes these decisions about banned networks, if it is time: after a change, for a new peer, and now and then.
    pub fn publish_bans(
        &mut self,
        decisions: impl FnOnce() -> Vec<BanDecision>,
        now: Now,
        out: &mut Vec<Outgoing>,
    ) {
        if now.ms < self.bans_due_ms {
            return;
        }
        self.bans_due_ms = now.ms + BANS_PUBLISH_MS;
        let decisions = decisions();
        if !decisions.is_empty() {
            self.publish(Channel::All, &Body::Bans(decisions), now, out);
        }
    }

    /// Makes a heartbeat due: peers must know this node's status soon.
    pub fn status_changed(&mut self) {
        self.heartbeat_due_ms = 0;
    }

    /// Makes the next [`Node::publish_bans`] publish.
    pub fn bans_changed(&mut self) {
        self.bans_due_ms = 0;
    }

    /// Announces that this node is shutting down.
    pub fn announce_shutdown(&mut self, now: Now, out: &mut Vec<Outgoing>) {
        self.publish(Channel::All, &Body::Shutdown, now, out);
    }

    /// Removes peers and regions that timed out. Returns the names of the removed peers.
    pub fn expire(&mut self, now: Now, world: &mut World) -> Vec<String> {
        self.remote.expire(now.ms, world)
    }

    /// Applies a message from the bus.
    pub fn receive(&mut self, bytes: &[u8], now: Now, world: &mut World) -> Received {
        let (header, body) = match decode(bytes) {
            Ok(message) => message,
            Err(DecodeError::Malformed) => return self.refuse("malformed message".to_owned()),
            Err(DecodeError::Version(version)) => {
                let own = message::VERSION;
                return self.refuse(format!("a node with message format version {version} instead of {own}"));
            }
        };
        if header.node == self.id {
            return Received::Echo;
        }
        if let Some(reason) = self.mismatch(&header, now) {
            return self.refuse(reason);
        }
        let origin = Origin { node: header.node, sequence: header.sequence, now_ms: now.ms };
        let has_players = matches!(body, Body::Changes(_) | Body::Snapshot { .. });
        match body {
            Body::Changes(changes) => self.remote.apply_changes(origin, &changes, world),
            Body::Snapshot { region, players } => self.remote.apply_snapshot(origin, region, &players, world),
            Body::SnapshotRequest(regions) => self.publisher.request_snapshots(&regions),
            Body::Shutdown => self.remote.remove(header.node, world),
            Body::SessionRequest { token, owner } if owner == self.id => {
                return Received::SessionRequest(token, header.node);
            }
            Body::SessionReply { token, requester, outcome } if requester == self.id => {
                return Received::SessionReply(token, outcome);
            }
            Body::Bans(decisions) => return Received::Bans(decisions),
            // Addressed to another node.
            Body::SessionRequest { .. } | Body::SessionReply { .. } => {}
            Body::Heartbeat(heartbeat) => {
                let claim = ids::first_of(heartbeat.ids_end)..heartbeat.ids_end;
                let admission = self.remote.heartbeat(origin, heartbeat);
                if admission == Admission::New {
                    // The new peer must learn of this node and its players immediately.
                    self.heartbeat_due_ms = 0;
                    self.bans_due_ms = 0;
                    self.publisher.request_all_snapshots();
                }
                if !self.remote.has_plausible_ids(header.node) {
                    return self.refuse("a heartbeat with an implausible claim of ids".to_owned());
                }
                if !self.give_up_ids(&claim, now, world) {
                    return self.refuse("a claim of this node's ids, after too many such claims".to_owned());
                }
            }
        }
        let shared = self.remote.take_shared_ids();
        if !shared.is_empty() {
            return Received::SharedIds(self.resolve_shared_ids(&shared, header.node, now, world));
        }
        Received::Applied { delay_us: now.unix_us.saturating_sub(header.sent_us), has_players }
    }

    /// Returns why messages of this sender are refused.
    fn mismatch(&self, header: &Header, now: Now) -> Option<String> {
        if header.world != self.world {
            let ((width, height), (own_width, own_height)) = (header.world, self.world);
            return Some(format!(
                "a node whose world is {width} by {height} units instead of {own_width} by {own_height}"
            ));
        }
        self.age_us_max.filter(|&most| now.unix_us.abs_diff(header.sent_us) > most).map(|_| {
            let most_s = TAGGED_AGE_MS_MAX / 1_000;
            format!("a message more than {most_s} s old or from the future: replayed, or clocks differ")
        })
    }

    /// Gives up unused ids of leases that overlap ids of a peer. The last ids are kept until others are leased.
    /// Both nodes do so: a peer learns only of the latest lease. Returns false if too many have been given up.
    fn give_up_ids(&mut self, disputed: &Range<u32>, now: Now, world: &mut World) -> bool {
        for unused in world.unused_ids() {
            if unused.start.max(disputed.start) >= unused.end.min(disputed.end) {
                continue;
            }
            if !self.ids().may_give_up(now.ms) {
                return false;
            }
            if unused.len() == world.ids_left() {
                self.disputed = Some(disputed.clone());
                continue;
            }
            self.remote.ids_mut().give_up(&unused, now.ms);
            world.give_up_ids(&unused);
            let Range { start, end } = unused;
            log::warn!("cluster: unused ids {start} to {} given up: a peer has some of them", end - 1);
        }
        true
    }

    /// Handles ids that a peer's players have as well. The node with the larger number releases them once its players have
    /// left. Returns the slots of those players. Without tags a forger could close any player, so both nodes keep theirs.
    fn resolve_shared_ids(&mut self, shared: &[u32], peer: NodeId, now: Now, world: &mut World) -> Vec<u32> {
        for &id in shared {
            if let Some(range) = self.ids().own_range(id).cloned() {
                self.give_up_ids(&(id..range.end), now, world);
            }
        }
        if self.age_us_max.is_none() || self.id < peer {
            return Vec::new();
        }
        let id_at = |slot: u32| world.id(slot).filter(|id| shared.contains(id));
        let slots: Vec<u32> = (0..world.slots() as u32).filter(|&slot| id_at(slot).is_some()).collect();
        let present: Vec<u32> = slots.iter().filter_map(|&slot| world.id(slot)).collect();
        for &id in shared.iter().filter(|id| !present.contains(id)) {
            self.remote.ids_mut().release(&(id..id + 1));
        }
        slots
    }

    fn publish(&mut self, channel: Channel, body: &Body, now: Now, out: &mut Vec<Outgoing>) {
        self.sequence += 1;
        let header =
            Header { world: self.world, node: self.id, sequence: self.sequence, sent_us: now.unix_us };
        out.push(Outgoing { channel, bytes: encode(&header, body) });
    }

    fn refuse(&mut self, reason: String) -> Received {
        let is_logged = self.refused.len() >= REFUSALS_LOGGED_MAX || !self.refused.insert(reason.clone());
        Received::Refused((!is_logged).then_some(reason))
    }
}

#[cfg(test)]
mod tests;
