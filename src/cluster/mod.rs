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
//! * [`Node`]: combines both behind bytes in and bytes out; driven by the server and by the simulation.
//! * [`link`]: the connections to Redis.
//!
//! The bus may lose, duplicate and reorder messages. A message applies to its region only if its sequence
//! number is newer than the last one. Every two seconds each region is published as a snapshot, which repairs
//! any loss.

pub mod authentication;
pub mod bus;
pub mod ids;
pub mod link;
pub mod message;
pub mod publisher;
pub mod region;
pub mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::limits::{HEARTBEAT_MS, SUBSCRIPTION_LINGER_MS, SUBSCRIPTION_UPDATE_MS, TAGGED_AGE_MS_MAX};
use crate::sessions::SessionToken;
use crate::world::World;
use ids::Ids;
use message::{Body, DecodeError, Header, Heartbeat, NodeId, SessionOutcome, decode, encode};
use publisher::Publisher;
use region::{Region, RegionGrid, RegionSet};
use remote::{Admission, Origin, RemoteNodes};

/// A channel of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Every node subscribes.
    All,
    /// Nodes with viewers near this region subscribe.
    Region(Region),
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        /// Microseconds between sending and receiving, by the wall clocks of both nodes; 0 if the sender's
        /// clock is ahead.
        delay_us: u64,
        /// The message carried players: changes or a snapshot.
        has_players: bool,
    },
    /// A client presented this session token to that node, and this node owns the session.
    SessionRequest(SessionToken, NodeId),
    /// The owner's reply to a session request of this node.
    SessionReply(SessionToken, SessionOutcome),
    /// The message was refused. Holds the reason the first time it occurs; the caller logs it.
    Refused(Option<String>),
}

/// A node: one process of the cluster.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    name: String,
    world: (u16, u16),
    /// Sequence number of the last message sent.
    sequence: u64,
    publisher: Publisher,
    remote: RemoteNodes,
    heartbeat_due_ms: u64,
    interest_due_ms: u64,
    /// Subscribed regions outside every viewer's rectangle, with the time at which this was first noticed.
    unseen_since_ms: BTreeMap<Region, u64>,
    /// Largest allowed difference between a message's time and this node's wall clock, in microseconds.
    age_us_max: Option<u64>,
    /// Reasons logged so far; each is logged once.
    refused: BTreeSet<String>,
}

/// Distinct refusal reasons that are logged; further ones are only counted.
const REFUSALS_LOGGED_MAX: usize = 64;

impl Node {
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
            interest_due_ms: 0,
            unseen_since_ms: BTreeMap::new(),
            age_us_max: None,
            refused: BTreeSet::new(),
        }
    }

    /// Refuses messages whose time differs from this node's clock by more than [`TAGGED_AGE_MS_MAX`], which
    /// bounds replays. Requires tags, since only a tag protects the time; the clocks of all nodes must agree
    /// within that bound.
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
        }
        is_taken
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

    /// Publishes the heartbeat if it is due, then changes and due snapshots of local players.
    pub fn publish_due(&mut self, world: &World, now: Now, out: &mut Vec<Outgoing>) {
        self.heartbeat_if_due(world.players() as u32, now, out);
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
        if header.world != self.world {
            let ((width, height), (own_width, own_height)) = (header.world, self.world);
            return self.refuse(format!(
                "a node whose world is {width} by {height} units instead of {own_width} by {own_height}"
            ));
        }
        if self.age_us_max.is_some_and(|most| now.unix_us.abs_diff(header.sent_us) > most) {
            return self.refuse(format!(
                "a message more than {} s old or from the future: replayed, or clocks differ",
                TAGGED_AGE_MS_MAX / 1_000
            ));
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
            // Addressed to another node.
            Body::SessionRequest { .. } | Body::SessionReply { .. } => {}
            Body::Heartbeat(heartbeat) => {
                let admission = self.remote.heartbeat(origin, heartbeat);
                if admission == Admission::New {
                    // The new peer must learn of this node and its players immediately.
                    self.heartbeat_due_ms = 0;
                    self.publisher.request_all_snapshots();
                }
                if !self.remote.has_plausible_ids(header.node) {
                    return self.refuse("a heartbeat with an implausible claim of ids".to_owned());
                }
            }
        }
        Received::Applied { delay_us: now.unix_us.saturating_sub(header.sent_us), has_players }
    }

    fn heartbeat_if_due(&mut self, players: u32, now: Now, out: &mut Vec<Outgoing>) {
        if now.ms >= self.heartbeat_due_ms {
            self.heartbeat_due_ms = now.ms + HEARTBEAT_MS;
            let ids_end = self.remote.ids().own_end();
            let heartbeat = Heartbeat { name: self.name.clone(), ids_end, players };
            self.publish(Channel::All, &Body::Heartbeat(heartbeat), now, out);
        }
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
mod tests {
    use super::*;
    use crate::world::testing::world_of;

    #[test]
    fn a_lease_of_possibly_used_ids_is_refused() {
        let (mut node, mut world) = (Node::new(1, "node".to_owned(), (2000, 2000)), world_of(&[]));
        world.require_granted_ids();
        let now = Now { ms: 0, unix_us: 0 };
        assert!(!node.grant(0..16_384, now, &mut world));
        assert_eq!((world.ids_left(), node.ids().end()), (0, 0), "ids start at the first player id");
        assert!(node.grant(5_000..5_010, now, &mut world));
        assert!(!node.grant(5_005..6_000, now, &mut world));
        assert!(!node.grant(2_000..3_000, now, &mut world));
        assert_eq!((world.ids_left(), node.ids().end()), (10, 5_010));
    }
}
