//! One world over several processes: each is the publisher for its own players, tells the others of them region by region,
//! and shows theirs as ghosts.
//!
//! ```text
//! World ──> Publisher: what changed, what is due ──> message ──> the bus ──> message ──> RemoteNodes ──> World of another
//! ```
//!
//! * [`region`]: the parts of the world that are spoken of. [`message`]: the words.
//! * [`publisher`]: what is told of one's own players. [`remote`]: what is believed of the others'.
//! * [`Node`]: both together, as bytes in and bytes out, which simulation drives as well as the server.
//! * [`link`]: the way to Redis and back.
//!
//! The bus may lose, double and reorder what it carries. A message counts for its region only if it is newer than the last
//! one, and all of a region is told every two seconds; so whatever went wrong is right again by then.

pub mod authentication;
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

/// Where on the bus something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Everybody listens.
    All,
    /// Whoever wants to know about this region listens.
    Region(Region),
}

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub channel: Channel,
    /// What.
    pub bytes: Vec<u8>,
}

/// The time, as the caller's clocks have it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub ms: u64,
    /// Microseconds since 1970.
    pub unix_us: u64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// One's own.
    Echo,
    /// Applied in, so many microseconds after it was said, by the clocks of both.
    Applied {
        /// The delay.
        delay_us: u64,
        /// It told of players.
        has_players: bool,
    },
    /// A client shows this ticket to that node, and its player is said to be here.
    SessionRequest(SessionToken, NodeId),
    /// What has become of the player whose ticket was shown here.
    SessionReply(SessionToken, SessionOutcome),
    /// Not listened to, for a reason to be logged unless it is the same as before.
    Refused(Option<String>),
}

/// One process of a world.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    name: String,
    world: (u16, u16),
    /// The number of the last message.
    sequence: u64,
    publisher: Publisher,
    remote: RemoteNodes,
    heartbeat_due_ms: u64,
    interest_due_ms: u64,
    /// Since when nobody has wanted to see a region that is listened to.
    unseen_since_ms: BTreeMap<Region, u64>,
    /// Refuses messages whose time is farther than this from the own clock's, in microseconds.
    age_us_max: Option<u64>,
    /// What was refused already: each is logged once.
    refused: BTreeSet<String>,
}

/// Different refusals that are logged at most.
const REFUSALS_LOGGED_MAX: usize = 64;

impl Node {
    /// A process of this name and number in a world of this size, in units.
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

    /// Refuses messages that were sent long ago, as replayed ones were: for a bus with tags, which cover the time. Clocks of
    /// nodes must agree that far.
    #[must_use]
    pub fn require_fresh(self) -> Self {
        Self { age_us_max: Some(TAGGED_AGE_MS_MAX * 1_000), ..self }
    }

    /// The other processes and their players.
    pub fn remote(&self) -> &RemoteNodes {
        &self.remote
    }

    /// The regions of the world.
    pub fn regions(&self) -> RegionGrid {
        self.remote.regions()
    }

    /// What is known of ids.
    pub fn ids(&self) -> &Ids {
        self.remote.ids()
    }

    /// Ids were granted to this node, which its peers are to know before anything else. Returns whether the lease was
    /// plausible and is taken.
    pub fn grant(&mut self, ids: Range<u32>, now: Now, world: &mut World) -> bool {
        let is_taken = self.remote.ids_mut().grant(&ids, now.ms);
        if is_taken {
            self.heartbeat_due_ms = 0;
            world.grant_ids(ids);
        }
        is_taken
    }

    /// Whether it is time to look again who sees what.
    pub fn is_interest_due(&self, now: Now) -> bool {
        now.ms >= self.interest_due_ms
    }

    /// Listens to what is seen, and a while longer to what was. Returns whether anything changed.
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

    /// The bus is there, perhaps again: everybody is asked for everything, and told everything.
    pub fn reconnect(&mut self, now: Now, out: &mut Vec<Outgoing>) {
        self.heartbeat_due_ms = 0;
        let wanted = self.remote.subscriptions().iter().collect();
        self.publish(Channel::All, &Body::SnapshotRequest(wanted), now, out);
        self.publisher.request_all_snapshots();
    }

    /// Says that this process lives, twice a second, and what is new of its players.
    pub fn publish_due(&mut self, world: &World, now: Now, out: &mut Vec<Outgoing>) {
        self.heartbeat_if_due(world.players() as u32, now, out);
        // Alone there is nobody to tell.
        if self.remote.has_peers() {
            for (region, body) in self.publisher.publish(world, now.ms) {
                self.publish(Channel::Region(region), &body, now, out);
            }
        }
    }

    /// Asks the node that has the player of this ticket what becomes of it.
    pub fn request_session(
        &mut self,
        ticket: SessionToken,
        owner: NodeId,
        now: Now,
        out: &mut Vec<Outgoing>,
    ) {
        self.publish(Channel::All, &Body::SessionRequest { ticket, owner }, now, out);
    }

    /// Tells the node that asked what becomes of it.
    pub fn reply_session(
        &mut self,
        ticket: SessionToken,
        requester: NodeId,
        outcome: SessionOutcome,
        now: Now,
        out: &mut Vec<Outgoing>,
    ) {
        self.publish(Channel::All, &Body::SessionReply { ticket, requester, outcome }, now, out);
    }

    /// Takes leave of everybody.
    pub fn announce_shutdown(&mut self, now: Now, out: &mut Vec<Outgoing>) {
        self.publish(Channel::All, &Body::Shutdown, now, out);
    }

    /// Forgets who has been silent for too long. Returns their names.
    pub fn expire(&mut self, now: Now, world: &mut World) -> Vec<String> {
        self.remote.expire(now.ms, world)
    }

    /// Hears what somebody says.
    pub fn receive(&mut self, bytes: &[u8], now: Now, world: &mut World) -> Received {
        let (header, body) = match decode(bytes) {
            Ok(message) => message,
            Err(DecodeError::Malformed) => return self.refuse("bytes that are no message".to_owned()),
            Err(DecodeError::Version(version)) => {
                let own = message::VERSION;
                return self
                    .refuse(format!("a process that speaks version {version} of the format and not {own}"));
            }
        };
        if header.node == self.id {
            return Received::Echo;
        }
        if header.world != self.world {
            let ((width, height), (own_width, own_height)) = (header.world, self.world);
            return self.refuse(format!(
                "a process whose world is {width} by {height} units and not {own_width} by {own_height}"
            ));
        }
        if self.age_us_max.is_some_and(|most| now.unix_us.abs_diff(header.sent_us) > most) {
            return self.refuse(format!(
                "a message sent more than {} s ago, or from the future: replayed, or clocks differ",
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
            Body::SessionRequest { ticket, owner } if owner == self.id => {
                return Received::SessionRequest(ticket, header.node);
            }
            Body::SessionReply { ticket, requester, outcome } if requester == self.id => {
                return Received::SessionReply(ticket, outcome);
            }
            // Between two others.
            Body::SessionRequest { .. } | Body::SessionReply { .. } => {}
            Body::Heartbeat(heartbeat) => {
                let admission = self.remote.heartbeat(origin, heartbeat);
                if admission == Admission::New {
                    // It is to know of this node, and of all its players, at once.
                    self.heartbeat_due_ms = 0;
                    self.publisher.request_all_snapshots();
                }
                if !self.remote.has_plausible_ids(header.node) {
                    return self.refuse("a beat that claims ids which its sender can't have".to_owned());
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
    fn ids_that_may_be_taken_are_not_granted_again() {
        let (mut node, mut world) = (Node::new(1, "node".to_owned(), (2000, 2000)), world_of(&[]));
        world.require_granted_ids();
        let now = Now { ms: 0, unix_us: 0 };
        assert!(!node.grant(0..16_384, now, &mut world));
        assert_eq!((world.ids_left(), node.ids().end()), (0, 0), "nobody has an id below the first");
        assert!(node.grant(5_000..5_010, now, &mut world));
        assert!(!node.grant(5_005..6_000, now, &mut world));
        assert!(!node.grant(2_000..3_000, now, &mut world));
        assert_eq!((world.ids_left(), node.ids().end()), (10, 5_010));
    }
}
