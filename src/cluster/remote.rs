//! The peers of this node and the ghosts of their players. Snapshots repair lost messages; silent peers time out.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use arrayvec::ArrayVec;

use super::ids::Ids;
use super::message::{Changes, Heartbeat, NodeId};
use super::region::{Region, RegionGrid, RegionSet};
use super::status::Status;
use crate::limits::{
    PEER_REGIONS_MAX, PEER_TIMEOUT_MS, PEERS_MAX, REGION_TIMEOUT_MS, SEQUENCE_HOLD_MS, SHARED_IDS_MAX,
};
use crate::world::{GhostUpdate, Position, World};

/// Peers, ghosts and subscriptions.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoteNodes {
    regions: RegionGrid,
    /// Regions this node subscribes to.
    subscriptions: RegionSet,
    peers: BTreeMap<NodeId, Peer>,
    ghosts: BTreeMap<u32, Ghost>,
    ids: Ids,
    /// Ids of this node that the last message gave to players of its sender.
    shared_ids: SharedIds,
    /// Players whose node fell silent, by id, with their last place: for clients that reconnect to this node. At
    /// [`LOST_PLAYERS_MAX`] further ones are left out, and continue where they were saved last.
    lost: BTreeMap<u32, Place>,
    /// Upper bound of the regions of all peers: those of the last [`expire`](Self::expire), plus those added since.
    peer_regions: usize,
    /// Snapshots that corrected a region, without the first snapshot of each region.
    resyncs: u64,
    /// Players, regions and ids from the bus that were implausible or exceeded a bound.
    implausible: u64,
}

/// Ids that this node and a peer use.
pub(super) type SharedIds = ArrayVec<u32, SHARED_IDS_MAX>;

/// Result of a heartbeat for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The sender is a new peer.
    New,
    /// A known peer.
    Known,
    /// The sender is refused: there are [`PEERS_MAX`] peers already.
    Rejected,
}

/// Another node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// Its name; empty before its first heartbeat.
    pub name: String,
    /// Its local players.
    pub players: u32,
    /// Its load, and its part in a port group.
    pub status: Status,
    /// End of the ids granted to it, by its highest plausible claim; 0 before the first.
    ids_end: u32,
    /// Its last claim of ids was implausible.
    has_implausible_ids: bool,
    last_seen_ms: u64,
    /// Time of its last heartbeat, in milliseconds of the event loop's clock.
    pub status_ms: u64,
    regions: BTreeMap<Region, PeerRegion>,
}

/// Players of one peer in one region.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PeerRegion {
    /// Sequence number of the newest message about the region.
    sequence: u64,
    last_seen_ms: u64,
    /// At least one snapshot was applied.
    has_snapshot: bool,
    ids: BTreeSet<u32>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ghost {
    slot: u32,
    node: NodeId,
    region: Region,
    /// Sequence number of the message that updated it last.
    sequence: u64,
    last_seen_ms: u64,
}

impl Ghost {
    /// Returns whether a newer message updated the ghost, which blocks older ones for [`SEQUENCE_HOLD_MS`].
    fn is_newer_than(&self, origin: Origin) -> bool {
        self.sequence > origin.sequence && origin.now_ms.saturating_sub(self.last_seen_ms) < SEQUENCE_HOLD_MS
    }
}

/// Where a player was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its position.
    pub position: Position,
    /// Whether it faced right.
    pub faces_right: bool,
    /// Time at which it was lost, in milliseconds of the event loop's clock.
    lost_ms: u64,
}

/// Maximum number of players kept of silent nodes: those of three full ones.
const LOST_PLAYERS_MAX: usize = 64 * 1024;

/// Time for which they are kept, in milliseconds.
const LOST_PLAYERS_MS: u64 = 60_000;

/// Origin of a message.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The sender.
    pub node: NodeId,
    /// The message's sequence number.
    pub sequence: u64,
    /// Time of arrival, in milliseconds of the event loop's clock.
    pub now_ms: u64,
}

impl RemoteNodes {
    /// Creates a table without peers and subscriptions.
    pub fn new(regions: RegionGrid) -> Self {
        let subscriptions = RegionSet::empty(regions);
        Self {
            regions,
            subscriptions,
            peers: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            lost: BTreeMap::new(),
            ids: Ids::default(),
            shared_ids: SharedIds::new(),
            peer_regions: 0,
            resyncs: 0,
            implausible: 0,
        }
    }

    /// Returns the number of players of all peers.
    pub fn peer_players(&self) -> u64 {
        self.peers().map(|(_, peer)| u64::from(peer.players)).sum()
    }

    /// Iterates over the peers, with their ids.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(&node, peer)| (node, peer))
    }

    /// Returns whether there are peers.
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Returns whether that node is a known peer.
    pub fn contains(&self, node: NodeId) -> bool {
        self.peers.contains_key(&node)
    }

    /// Returns the regions this node subscribes to.
    pub fn subscriptions(&self) -> &RegionSet {
        &self.subscriptions
    }

    /// Returns the number of snapshots that corrected a region, without the first snapshot of each region.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Returns the number of players, regions and ids from the bus that were implausible or exceeded a bound.
    pub fn implausible(&self) -> u64 {
        self.implausible
    }

    /// Returns the known leases of ids.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(super) fn ids_mut(&mut self) -> &mut Ids {
        &mut self.ids
    }

    /// Returns the ids of this node that messages gave to players of peers since the last call.
    pub(super) fn take_shared_ids(&mut self) -> SharedIds {
        std::mem::take(&mut self.shared_ids)
    }

    /// Returns whether that node's last claim of ids was plausible; true for unknown nodes.
    pub fn has_plausible_ids(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_none_or(|peer| !peer.has_implausible_ids)
    }

    /// Subscribes to a region.
    pub fn subscribe(&mut self, region: Region) {
        self.subscriptions.insert(region);
    }

    /// Unsubscribes from a region and removes its ghosts.
    pub fn unsubscribe(&mut self, region: Region, world: &mut World) {
        self.subscriptions.remove(region);
        for peer in self.peers.values_mut() {
            let known = peer.regions.remove(&region).unwrap_or_default();
            remove_ghosts(&mut self.ghosts, known.ids, world);
        }
    }

    /// Applies a heartbeat: refreshes the peer, its player count and its claim of ids.
    pub fn heartbeat(&mut self, origin: Origin, heartbeat: Heartbeat) -> Admission {
        let is_new = !self.contains(origin.node);
        let has_room = !is_new || self.peers.len() < PEERS_MAX;
        let is_plausible = has_room && self.ids.announce(origin.node, heartbeat.ids_end, origin.now_ms);
        self.implausible += u64::from(!is_plausible);
        let Some(peer) = self.touch(origin) else { return Admission::Rejected };
        (peer.name, peer.players, peer.has_implausible_ids) =
            (heartbeat.name, heartbeat.players, !is_plausible);
        (peer.status, peer.status_ms) = (heartbeat.status, origin.now_ms);
        if is_plausible {
            peer.ids_end = peer.ids_end.max(heartbeat.ids_end);
        }
        if is_new { Admission::New } else { Admission::Known }
    }

    /// Refreshes a peer's timeout, adding the peer if there is room.
    fn touch(&mut self, origin: Origin) -> Option<&mut Peer> {
        if !self.contains(origin.node) && self.peers.len() >= PEERS_MAX {
            return None;
        }
        let peer = self.peers.entry(origin.node).or_default();
        peer.last_seen_ms = origin.now_ms;
        Some(peer)
    }

    /// Removes a peer and its ghosts.
    pub fn remove(&mut self, node: NodeId, world: &mut World) {
        self.ids.remove_peer(node);
        for (_, known) in self.peers.remove(&node).map(|peer| peer.regions).unwrap_or_default() {
            remove_ghosts(&mut self.ghosts, known.ids, world);
        }
    }

    /// Applies the changes of a region.
    pub fn apply_changes(&mut self, origin: Origin, changes: &Changes, world: &mut World) {
        if self.region_for(origin, changes.region).is_none() {
            return;
        }
        for id in &changes.left {
            self.remove_ghost(origin, changes.region, *id, world);
        }
        for (to, entity) in &changes.moved {
            if self.subscriptions.contains(*to) {
                self.upsert_ghost(origin, *to, entity, world);
            } else {
                self.remove_ghost(origin, changes.region, entity.id, world);
            }
        }
        for entity in &changes.updated {
            self.upsert_ghost(origin, changes.region, entity, world);
        }
    }

    /// Applies a snapshot of a region: ghosts of the peer that it does not list are removed.
    pub fn apply_snapshot(
        &mut self,
        origin: Origin,
        region: Region,
        players: &[GhostUpdate],
        world: &mut World,
    ) {
        let Some(known) = self.region_for(origin, region) else { return };
        let listed: BTreeSet<u32> = players.iter().map(|entity| entity.id).collect();
        let gone: Vec<u32> = known.ids.difference(&listed).copied().collect();
        let was_right = gone.is_empty() && known.ids.len() == listed.len();
        let is_first = !std::mem::replace(&mut known.has_snapshot, true);
        self.resyncs += u64::from(!was_right && !is_first);
        for id in gone {
            self.remove_ghost(origin, region, id, world);
        }
        for entity in players {
            self.upsert_ghost(origin, region, entity, world);
        }
    }

    /// Removes peers and regions that timed out. Returns the names of the removed peers.
    pub fn expire(&mut self, now_ms: u64, world: &mut World) -> Vec<String> {
        let is_silent = |last_seen_ms: u64, limit_ms: u64| now_ms.saturating_sub(last_seen_ms) > limit_ms;
        let silent = self.peers.iter().filter(|(_, peer)| is_silent(peer.last_seen_ms, PEER_TIMEOUT_MS));
        let gone: Vec<(NodeId, String)> = silent.map(|(&node, peer)| (node, peer.name.clone())).collect();
        self.lost.retain(|_, place| now_ms - place.lost_ms < LOST_PLAYERS_MS);
        for (node, _) in &gone {
            self.keep_places(*node, now_ms, world);
            self.remove(*node, world);
        }
        for peer in self.peers.values_mut() {
            peer.regions.retain(|_, known| {
                let is_over = is_silent(known.last_seen_ms, REGION_TIMEOUT_MS);
                if is_over {
                    remove_ghosts(&mut self.ghosts, std::mem::take(&mut known.ids), world);
                }
                !is_over
            });
        }
        self.peer_regions = self.peers.values().map(|peer| peer.regions.len()).sum();
        gone.into_iter().map(|(_, name)| name).collect()
    }

    /// Keeps the places of the players of a silent node.
    fn keep_places(&mut self, node: NodeId, now_ms: u64, world: &World) {
        for (&id, ghost) in self.ghosts.iter().filter(|(_, ghost)| ghost.node == node) {
            if self.lost.len() < LOST_PLAYERS_MAX
                && let Some(place) = self.place_of(ghost, now_ms, world)
            {
                self.lost.insert(id, place);
            }
        }
    }

    /// Returns where a player of a silent or lost node was when the node was last heard; `None` if this node did not see it.
    pub fn last_place(&self, id: u32, now_ms: u64, world: &World) -> Option<Place> {
        self.ghosts
            .get(&id)
            .and_then(|ghost| self.place_of(ghost, now_ms, world))
            .or_else(|| self.lost.get(&id).copied())
    }

    /// Returns where a ghost was when its node was last heard: since then it has walked on with its last vector.
    fn place_of(&self, ghost: &Ghost, now_ms: u64, world: &World) -> Option<Place> {
        let silent_ms = now_ms.saturating_sub(self.peers.get(&ghost.node)?.last_seen_ms).min(PEER_TIMEOUT_MS);
        let rules = world.rules();
        let (position, vector) = (world.position(ghost.slot), world.vector(ghost.slot));
        let walked = rules.pace.distance(0, rules.pace.ticks(silent_ms as u32) as u32);
        let back = |at: u16, direction: i8, most: u16| {
            (i32::from(at) - i32::from(direction) * walked).clamp(0, i32::from(most)) as u16
        };
        let (x, y) =
            (back(position.x, vector.dx(), rules.width), back(position.y, vector.dy(), rules.height));
        let faces_right = world.is_facing_right(ghost.slot);
        Some(Place { position: Position { x, y }, faces_right, lost_ms: now_ms })
    }

    /// Returns the peer's region if a message about it applies: newer than the last one, about a subscribed region.
    fn region_for(&mut self, origin: Origin, region: Region) -> Option<&mut PeerRegion> {
        if !self.subscriptions.contains(region) {
            return None;
        }
        let has_room = self.peer_regions < PEER_REGIONS_MAX;
        let is_new = !self.touch(origin)?.regions.contains_key(&region);
        if is_new && !has_room {
            self.implausible += 1;
            return None;
        }
        self.peer_regions += usize::from(is_new);
        let known = self.peers.get_mut(&origin.node)?.regions.entry(region).or_default();
        if known.sequence >= origin.sequence {
            return None;
        }
        (known.sequence, known.last_seen_ms) = (origin.sequence, origin.now_ms);
        Some(known)
    }

    /// Adds or updates a ghost, unless newer state is known or the claim is implausible.
    fn upsert_ghost(&mut self, origin: Origin, region: Region, entity: &GhostUpdate, world: &mut World) {
        let rules = world.rules();
        let is_inside = entity.position.x <= rules.width && entity.position.y <= rules.height;
        if !is_inside || self.regions.of(entity.position) != region {
            self.implausible += 1;
            return;
        }
        match self.ghosts.get_mut(&entity.id) {
            Some(ghost) if ghost.node != origin.node => {
                self.implausible += 1;
                return;
            }
            Some(ghost) if ghost.is_newer_than(origin) => return,
            Some(ghost) => {
                world.update_ghost(ghost.slot, entity);
                let before = std::mem::replace(&mut ghost.region, region);
                (ghost.sequence, ghost.last_seen_ms) = (origin.sequence, origin.now_ms);
                if before != region
                    && let Some(known) = self.peer_region(origin.node, before)
                {
                    known.ids.remove(&entity.id);
                }
            }
            None => {
                if !self.may_own(origin.node, entity.id) {
                    self.implausible += 1;
                    if self.ids.is_own(entity.id) {
                        // At the bound the next snapshot repeats the others.
                        let _ = self.shared_ids.try_push(entity.id);
                    }
                    return;
                }
                let Some(slot) = world.add_ghost(entity) else {
                    self.implausible += 1;
                    return;
                };
                let (sequence, last_seen_ms) = (origin.sequence, origin.now_ms);
                self.ghosts
                    .insert(entity.id, Ghost { slot, node: origin.node, region, sequence, last_seen_ms });
            }
        }
        let peer = self.peers.get_mut(&origin.node).expect("the sender of players is a peer");
        let known = peer
            .regions
            .entry(region)
            .or_insert_with(|| PeerRegion { last_seen_ms: origin.now_ms, ..PeerRegion::default() });
        known.ids.insert(entity.id);
    }

    /// Returns whether a peer can own a player with this id.
    fn may_own(&self, node: NodeId, id: u32) -> bool {
        self.peers.get(&node).is_some_and(|peer| self.ids.may_have(node, peer.ids_end, id))
    }

    /// Removes a ghost from this region, unless newer state is known.
    fn remove_ghost(&mut self, origin: Origin, region: Region, id: u32, world: &mut World) {
        let is_match = |ghost: &&Ghost| {
            ghost.node == origin.node && ghost.region == region && !ghost.is_newer_than(origin)
        };
        if let Some(ghost) = self.ghosts.get(&id).filter(is_match) {
            world.leave(ghost.slot);
            self.ghosts.remove(&id);
            if let Some(known) = self.peer_region(origin.node, region) {
                known.ids.remove(&id);
            }
        }
    }

    fn peer_region(&mut self, node: NodeId, region: Region) -> Option<&mut PeerRegion> {
        self.peers.get_mut(&node)?.regions.get_mut(&region)
    }

    /// Returns the grid of regions.
    pub fn regions(&self) -> RegionGrid {
        self.regions
    }
}

fn remove_ghosts(ghosts: &mut BTreeMap<u32, Ghost>, ids: BTreeSet<u32>, world: &mut World) {
    for id in ids {
        if let Some(ghost) = ghosts.remove(&id) {
            world.leave(ghost.slot);
        }
    }
}
