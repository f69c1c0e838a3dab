//! The players of other processes, as those tell of them. Whatever was lost on the way is right again with the next
//! snapshot; who falls silent is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::Ids;
use super::message::{Changes, Heartbeat, NodeId};
use super::region::{Region, RegionSet, Regions};
use crate::limits::{PEER_REGIONS_MAX, PEER_TIMEOUT_MS, PEERS_MAX, REGION_TIMEOUT_MS, SEQUENCE_HOLD_MS};
use crate::world::{Told, World};

/// Other processes and their players.
#[derive(Debug)]
pub struct Mirror {
    regions: Regions,
    /// Of which this process wants to know.
    wanted: RegionSet,
    peers: BTreeMap<NodeId, Peer>,
    ghosts: BTreeMap<u32, Ghost>,
    ids: Ids,
    /// Regions of all peers of which something is remembered, at most: as of the last look, and since.
    parts: usize,
    /// Snapshots that put something right that was not told as a change.
    resyncs: u64,
    /// Players, regions and ids of the bus that were refused, or for which there was no room.
    implausible: u64,
}

/// What a beat says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing was heard of it before.
    New,
    /// It was known already.
    Already,
    /// One too many, to which this node does not listen.
    TooMany,
}

/// Another process.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its name, once it has told.
    pub name: String,
    /// Its own players.
    pub players: u32,
    /// Above all ids it was granted, as far as its claims were plausible; 0 before the first.
    ids_end: u32,
    /// Its last claim about ids was not plausible.
    has_lied: bool,
    heard_ms: u64,
    parts: BTreeMap<Region, Part>,
}

/// What is known of a process's players in one region.
#[derive(Debug, Default)]
struct Part {
    /// The newest message about it.
    number: u64,
    heard_ms: u64,
    /// A snapshot has come.
    is_whole: bool,
    ids: BTreeSet<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Ghost {
    slot: u32,
    node: NodeId,
    region: Region,
    /// The message that told of it last.
    number: u64,
    heard_ms: u64,
}

impl Ghost {
    /// Whether what is known is newer than this message, and holds it off.
    fn is_newer_than(&self, word: Word) -> bool {
        self.number > word.number && word.now_ms.saturating_sub(self.heard_ms) < SEQUENCE_HOLD_MS
    }
}

/// Who says something, and when.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// The process.
    pub node: NodeId,
    /// The number of its message.
    pub number: u64,
    /// When it arrived, in milliseconds of the loop's clock.
    pub now_ms: u64,
}

impl Mirror {
    /// Nobody yet, and nothing wanted.
    pub fn new(regions: Regions) -> Self {
        let wanted = RegionSet::none(regions);
        Self {
            regions,
            wanted,
            peers: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            ids: Ids::default(),
            parts: 0,
            resyncs: 0,
            implausible: 0,
        }
    }

    /// The other processes.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Whether there is any other process.
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Whether that process is known to live.
    pub fn knows(&self, node: NodeId) -> bool {
        self.peers.contains_key(&node)
    }

    /// The regions listened to.
    pub fn wanted(&self) -> &RegionSet {
        &self.wanted
    }

    /// Snapshots that put something right that was not told as a change.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Players, regions and ids of the bus that were refused, or for which there was no room.
    pub fn implausible(&self) -> u64 {
        self.implausible
    }

    /// What is known of ids.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(super) fn ids_mut(&mut self) -> &mut Ids {
        &mut self.ids
    }

    /// Whether the last claim of a peer about its ids was plausible.
    pub fn has_plausible_ids(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_none_or(|peer| !peer.has_lied)
    }

    /// Listens to one more region.
    pub fn want(&mut self, region: Region) {
        self.wanted.insert(region);
    }

    /// Listens to a region no more; who is there is not shown any longer.
    pub fn leave_alone(&mut self, region: Region, world: &mut World) {
        self.wanted.remove(region);
        for peer in self.peers.values_mut() {
            let part = peer.parts.remove(&region).unwrap_or_default();
            vanish(&mut self.ghosts, part.ids, world);
        }
    }

    /// A peer says that it lives, and up to where its ids reach.
    pub fn beat(&mut self, word: Word, beat: Heartbeat) -> Known {
        let is_new = !self.knows(word.node);
        let has_room = !is_new || self.peers.len() < PEERS_MAX;
        let is_plausible = has_room && self.ids.hear(word.node, beat.ids_end, word.now_ms);
        self.implausible += u64::from(!is_plausible);
        let Some(peer) = self.hear(word) else { return Known::TooMany };
        (peer.name, peer.players, peer.has_lied) = (beat.name, beat.players, !is_plausible);
        if is_plausible {
            peer.ids_end = peer.ids_end.max(beat.ids_end);
        }
        if is_new { Known::New } else { Known::Already }
    }

    /// Whoever speaks lives; one too many is not listened to.
    fn hear(&mut self, word: Word) -> Option<&mut Peer> {
        if !self.knows(word.node) && self.peers.len() >= PEERS_MAX {
            return None;
        }
        let peer = self.peers.entry(word.node).or_default();
        peer.heard_ms = word.now_ms;
        Some(peer)
    }

    /// A process is gone, and its players with it.
    pub fn forget(&mut self, node: NodeId, world: &mut World) {
        self.ids.forget(node);
        for (_, part) in self.peers.remove(&node).map(|peer| peer.parts).unwrap_or_default() {
            vanish(&mut self.ghosts, part.ids, world);
        }
    }

    /// Takes over what changed.
    pub fn change(&mut self, word: Word, changes: &Changes, world: &mut World) {
        if self.open(word, changes.region).is_none() {
            return;
        }
        for id in &changes.left {
            self.drop_from(word, changes.region, *id, world);
        }
        for (to, told) in &changes.moved {
            if self.wanted.contains(*to) {
                self.show(word, *to, told, world);
            } else {
                self.drop_from(word, changes.region, told.id, world);
            }
        }
        for told in &changes.updated {
            self.show(word, changes.region, told, world);
        }
    }

    /// Takes over a snapshot: who is not in it is not there.
    pub fn replace(&mut self, word: Word, region: Region, players: &[Told], world: &mut World) {
        let Some(part) = self.open(word, region) else { return };
        let listed: BTreeSet<u32> = players.iter().map(|told| told.id).collect();
        let gone: Vec<u32> = part.ids.difference(&listed).copied().collect();
        let was_right = gone.is_empty() && part.ids.len() == listed.len();
        let is_first = !std::mem::replace(&mut part.is_whole, true);
        self.resyncs += u64::from(!was_right && !is_first);
        for id in gone {
            self.drop_from(word, region, id, world);
        }
        for told in players {
            self.show(word, region, told, world);
        }
    }

    /// Forgets who has been silent for too long. Returns the names of processes that are gone.
    pub fn expire(&mut self, now_ms: u64, world: &mut World) -> Vec<String> {
        let is_silent = |heard_ms: u64, limit_ms: u64| now_ms.saturating_sub(heard_ms) > limit_ms;
        let silent = self.peers.iter().filter(|(_, peer)| is_silent(peer.heard_ms, PEER_TIMEOUT_MS));
        let gone: Vec<(NodeId, String)> = silent.map(|(&node, peer)| (node, peer.name.clone())).collect();
        for (node, _) in &gone {
            self.forget(*node, world);
        }
        for peer in self.peers.values_mut() {
            peer.parts.retain(|_, part| {
                let is_over = is_silent(part.heard_ms, REGION_TIMEOUT_MS);
                if is_over {
                    vanish(&mut self.ghosts, std::mem::take(&mut part.ids), world);
                }
                !is_over
            });
        }
        self.parts = self.peers.values().map(|peer| peer.parts.len()).sum();
        gone.into_iter().map(|(_, name)| name).collect()
    }

    /// What is known of a region, if this message about it counts: it is wanted, and newer than that.
    fn open(&mut self, word: Word, region: Region) -> Option<&mut Part> {
        if !self.wanted.contains(region) {
            return None;
        }
        let has_room = self.parts < PEER_REGIONS_MAX;
        let is_new = !self.hear(word)?.parts.contains_key(&region);
        if is_new && !has_room {
            self.implausible += 1;
            return None;
        }
        self.parts += usize::from(is_new);
        let part = self.peers.get_mut(&word.node)?.parts.entry(region).or_default();
        if part.number >= word.number {
            return None;
        }
        (part.number, part.heard_ms) = (word.number, word.now_ms);
        Some(part)
    }

    /// Shows a player as its node describes it, unless something newer is known, or the sender can't have it there.
    fn show(&mut self, word: Word, region: Region, told: &Told, world: &mut World) {
        let rules = world.rules();
        let is_inside = told.position.x <= rules.width && told.position.y <= rules.height;
        if !is_inside || self.regions.of(told.position) != region {
            self.implausible += 1;
            return;
        }
        match self.ghosts.get_mut(&told.id) {
            Some(ghost) if ghost.node != word.node => {
                self.implausible += 1;
                return;
            }
            Some(ghost) if ghost.is_newer_than(word) => return,
            Some(ghost) => {
                world.follow(ghost.slot, told);
                let before = std::mem::replace(&mut ghost.region, region);
                (ghost.number, ghost.heard_ms) = (word.number, word.now_ms);
                if before != region
                    && let Some(part) = self.part(word.node, before)
                {
                    part.ids.remove(&told.id);
                }
            }
            None => {
                if !self.may_appear(word.node, told.id) {
                    self.implausible += 1;
                    return;
                }
                let Some(slot) = world.haunt(told) else {
                    self.implausible += 1;
                    return;
                };
                let (number, heard_ms) = (word.number, word.now_ms);
                self.ghosts.insert(told.id, Ghost { slot, node: word.node, region, number, heard_ms });
            }
        }
        let peer = self.peers.get_mut(&word.node).expect("who tells of players is known");
        let part =
            peer.parts.entry(region).or_insert_with(|| Part { heard_ms: word.now_ms, ..Part::default() });
        part.ids.insert(told.id);
    }

    /// Whether a peer can have a player of this id.
    fn may_appear(&self, node: NodeId, id: u32) -> bool {
        self.peers.get(&node).is_some_and(|peer| self.ids.may_have(node, peer.ids_end, id))
    }

    /// A player is in this region no more, unless something newer is known.
    fn drop_from(&mut self, word: Word, region: Region, id: u32, world: &mut World) {
        let is_it =
            |ghost: &&Ghost| ghost.node == word.node && ghost.region == region && !ghost.is_newer_than(word);
        if let Some(ghost) = self.ghosts.get(&id).filter(is_it) {
            world.depart(ghost.slot);
            self.ghosts.remove(&id);
            if let Some(part) = self.part(word.node, region) {
                part.ids.remove(&id);
            }
        }
    }

    fn part(&mut self, node: NodeId, region: Region) -> Option<&mut Part> {
        self.peers.get_mut(&node)?.parts.get_mut(&region)
    }

    /// The regions of the world.
    pub fn regions(&self) -> Regions {
        self.regions
    }
}

fn vanish(ghosts: &mut BTreeMap<u32, Ghost>, ids: BTreeSet<u32>, world: &mut World) {
    for id in ids {
        if let Some(ghost) = ghosts.remove(&id) {
            world.depart(ghost.slot);
        }
    }
}
