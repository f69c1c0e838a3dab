//! Publishes changes of local players. Nothing is queued: the next round has what a round missed.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::message::{Body, Changes};
use super::region::{Region, RegionGrid};
use crate::limits::{EMPTY_REGION_SNAPSHOTS, REGION_SNAPSHOT_MS, SNAPSHOT_REQUEST_MS};
use crate::world::{GhostUpdate, Tick, World};

/// State of publishing: published players and due snapshots.
#[derive(Debug, Serialize, Deserialize)]
pub struct Publisher {
    regions: RegionGrid,
    /// By slot: id and region of the player as last published; id 0 is an empty slot.
    published: Vec<(u32, Region)>,
    /// Changes up to this tick have been published.
    published_tick: Tick,
    /// Regions with local players, and regions that became empty recently.
    schedules: BTreeMap<Region, RegionSchedule>,
    /// Regions with a pending snapshot request.
    requested: BTreeSet<Region>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct RegionSchedule {
    players: usize,
    snapshot_due_ms: u64,
    /// Requests are not answered before this time.
    request_allowed_ms: u64,
    /// Snapshots still to publish after the last player has left.
    empty_snapshots_left: u8,
}

impl Publisher {
    /// Creates a publisher with no players.
    pub fn new(regions: RegionGrid) -> Self {
        Self {
            regions,
            published: Vec::new(),
            published_tick: 0,
            schedules: BTreeMap::new(),
            requested: BTreeSet::new(),
        }
    }

    /// Records a request for snapshots of these regions. Regions without a schedule or outside the world are ignored.
    pub fn request_snapshots(&mut self, regions: &[Region]) {
        self.requested.extend(regions.iter().filter(|region| self.schedules.contains_key(region)));
    }

    /// Records a request for snapshots of all regions.
    pub fn request_all_snapshots(&mut self) {
        self.requested.extend(self.schedules.keys());
    }

    /// Returns the messages to publish as of the tick just closed. Changes of a region precede its snapshot.
    pub fn publish(&mut self, world: &World, now_ms: u64) -> Vec<(Region, Body)> {
        let changes = self.changes(world, now_ms);
        let due = self.take_due_snapshots(now_ms);
        let mut snapshots: BTreeMap<Region, Vec<GhostUpdate>> =
            due.iter().map(|&region| (region, Vec::new())).collect();
        if !due.is_empty() {
            for (slot, &(id, region)) in self.published.iter().enumerate() {
                if id != 0
                    && let Some(players) = snapshots.get_mut(&region)
                {
                    players.push(world.ghost_update(slot as u32, self.published_tick));
                }
            }
        }
        self.published_tick = world.tick();
        let changes = changes.into_values().map(|changes| (changes.region, Body::Changes(changes)));
        let snapshots =
            snapshots.into_iter().map(|(region, players)| (region, Body::Snapshot { region, players }));
        changes.chain(snapshots).collect()
    }

    fn changes(&mut self, world: &World, now_ms: u64) -> BTreeMap<Region, Changes> {
        let mut changes: BTreeMap<Region, Changes> = BTreeMap::new();
        self.published.resize(world.slots(), (0, 0));
        for slot in 0..world.slots() as u32 {
            let before = self.published[slot as usize];
            let id = world.id(slot).filter(|_| !world.is_ghost(slot)).unwrap_or(0);
            if (before.0, id) == (0, 0) {
                continue;
            }
            if before.0 != 0 && before.0 != id {
                changes_in(&mut changes, before.1).left.push(before.0);
                self.remove_player(before.1);
            }
            if id == 0 {
                self.published[slot as usize] = (0, 0);
                continue;
            }
            let region = self.regions.of(world.position(slot));
            if before == (id, region) {
                if world.changes_since(self.published_tick).has_changed(slot) {
                    changes_in(&mut changes, region)
                        .updated
                        .push(world.ghost_update(slot, self.published_tick));
                }
                continue;
            }
            let told = world.ghost_update(slot, self.published_tick);
            if before.0 == id {
                changes_in(&mut changes, before.1).moved.push((region, told));
                self.remove_player(before.1);
            }
            changes_in(&mut changes, region).updated.push(told);
            self.add_player(region, now_ms);
            self.published[slot as usize] = (id, region);
        }
        changes
    }

    fn add_player(&mut self, region: Region, now_ms: u64) {
        // Staggered by region, so that snapshots spread over the rounds.
        let stagger_ms = u64::from(region) * 37 % REGION_SNAPSHOT_MS;
        let fresh = RegionSchedule {
            players: 0,
            snapshot_due_ms: now_ms + stagger_ms,
            request_allowed_ms: 0,
            empty_snapshots_left: EMPTY_REGION_SNAPSHOTS,
        };
        self.schedules.entry(region).or_insert(fresh).players += 1;
    }

    fn remove_player(&mut self, region: Region) {
        if let Some(schedule) = self.schedules.get_mut(&region) {
            schedule.players -= 1;
            schedule.empty_snapshots_left = EMPTY_REGION_SNAPSHOTS;
        }
    }

    /// Returns the regions whose snapshot is due or requested, and schedules their next one.
    fn take_due_snapshots(&mut self, now_ms: u64) -> BTreeSet<Region> {
        let mut due = BTreeSet::new();
        let schedules = &mut self.schedules;
        self.requested.retain(|region| match schedules.get_mut(region) {
            Some(schedule) if now_ms < schedule.request_allowed_ms => true,
            Some(schedule) => {
                schedule.request_allowed_ms = now_ms + SNAPSHOT_REQUEST_MS;
                due.insert(*region);
                false
            }
            None => false,
        });
        self.schedules.retain(|&region, schedule| {
            if now_ms >= schedule.snapshot_due_ms {
                due.insert(region);
                schedule.snapshot_due_ms = now_ms + REGION_SNAPSHOT_MS;
                schedule.request_allowed_ms = now_ms + SNAPSHOT_REQUEST_MS;
                if schedule.players == 0 {
                    schedule.empty_snapshots_left -= 1;
                }
            }
            schedule.players > 0 || schedule.empty_snapshots_left > 0
        });
        due
    }
}

fn changes_in(changes: &mut BTreeMap<Region, Changes>, region: Region) -> &mut Changes {
    changes.entry(region).or_insert_with(|| Changes { region, ..Changes::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::world_of;
    use crate::world::{Input, Position, Vector};

    /// Returns the changes among the published messages, without the scheduled snapshots.
    fn changes(bodies: Vec<(Region, Body)>) -> Vec<Changes> {
        let only = |(_, body)| match body {
            Body::Changes(changes) => Some(changes),
            _ => None,
        };
        bodies.into_iter().filter_map(only).collect()
    }

    fn publisher() -> Publisher {
        Publisher::new(RegionGrid::new(2000, 2000))
    }

    #[test]
    fn each_change_is_published_once() {
        let mut world = world_of(&[(10, 10)]);
        let mut publisher = publisher();
        world.step(1);
        assert_eq!(changes(publisher.publish(&world, 0))[0].updated[0].position, Position { x: 10, y: 10 });
        assert_eq!(changes(publisher.publish(&world, 50)), []);
        world.apply(0, Input::Attack);
        world.step(1);
        let published = changes(publisher.publish(&world, 100));
        assert!(published[0].updated[0].begins_attack, "{published:?}");
        world.step(1);
        assert_eq!(changes(publisher.publish(&world, 150)), []);
    }

    #[test]
    fn a_player_crossing_a_border_leaves_one_region_and_enters_the_other() {
        let mut world = world_of(&[(245, 10)]);
        let mut publisher = publisher();
        world.step(1);
        publisher.publish(&world, 0);
        world.apply(0, Input::Move { vector: Vector::new(1, 0), claim: None });
        world.step(60);
        let published = changes(publisher.publish(&world, 50));
        let crossing = world.ghost_update(0, 1);
        assert_eq!((published[0].region, &*published[0].moved), (0, &[(1, crossing)][..]));
        assert_eq!((published[1].region, &*published[1].updated), (1, &[crossing][..]));
        assert!(published.iter().all(|changes| changes.left.is_empty()));
    }

    #[test]
    fn leaving_is_published_even_when_the_slot_is_reused_immediately() {
        let mut world = world_of(&[(10, 10)]);
        let mut publisher = publisher();
        world.step(1);
        publisher.publish(&world, 0);
        let id = world.id(0).unwrap();
        world.remove(0);
        world.join();
        world.step(1);
        let published = changes(publisher.publish(&world, 50));
        let left: Vec<u32> = published.iter().flat_map(|changes| changes.left.clone()).collect();
        assert_eq!(left, [id]);
        assert_eq!(published.iter().map(|changes| changes.updated.len()).sum::<usize>(), 1);
    }

    #[test]
    fn snapshots_are_periodic_and_on_request_and_end_after_two_empty_ones() {
        let mut world = world_of(&[(10, 10)]);
        let mut publisher = publisher();
        world.step(1);
        let mut snapshots = Vec::new();
        for round in 0..200 {
            let now_ms = round * 50;
            if round == 10 {
                publisher.request_snapshots(&[0, 1, 9_999]);
            }
            if round == 100 {
                world.remove(0);
                world.step(1);
            }
            for (_, body) in publisher.publish(&world, now_ms) {
                if let Body::Snapshot { region: 0, players } = body {
                    snapshots.push((now_ms, players.len()));
                }
            }
        }
        let expected = [(0, 1), (500, 1), (2_000, 1), (4_000, 1), (6_000, 0), (8_000, 0)];
        assert_eq!(snapshots, expected);
        assert!(publisher.schedules.is_empty());
    }

    #[test]
    fn snapshot_requests_are_rate_limited() {
        let mut world = world_of(&[(10, 10)]);
        let mut publisher = publisher();
        world.step(1);
        let mut snapshots = 0;
        for round in 0..200 {
            publisher.request_snapshots(&[0]);
            publisher.request_all_snapshots();
            let published = publisher.publish(&world, round * 50);
            snapshots += published.iter().filter(|(_, body)| matches!(body, Body::Snapshot { .. })).count();
        }
        // Ten seconds at one snapshot per 250 ms; the scheduled ones count towards the same limit.
        assert_eq!(snapshots, 40);
    }

    #[test]
    fn ghosts_are_not_published() {
        let mut world = world_of(&[]);
        let mut publisher = publisher();
        let position = Position { x: 1, y: 1 };
        let update = GhostUpdate {
            id: 9,
            position,
            vector: Vector::ZERO,
            faces_right: true,
            attacks: false,
            begins_attack: false,
        };
        world.add_ghost(&update).expect("room for a ghost");
        world.step(1);
        assert_eq!(publisher.publish(&world, 0), []);
    }
}
