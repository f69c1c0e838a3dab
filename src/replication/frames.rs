//! Encodes the frames of a flush from the current state of the world, and counts them.

use super::compaction::Compactor;
use crate::wire::message::{self, Entry, Facing, MovementFrame};
use crate::world::changes::ChangesSince;
use crate::world::{State, World};

/// Number of frames written, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// `GAME_STATE`.
    pub game_state: u64,
    /// `PLAYER_JOINED`.
    pub joined: u64,
    /// `PLAYER_LEFT`.
    pub left: u64,
    /// `PLAYER_ATTACK`.
    pub attack: u64,
    /// `PLAYER_DIRECTION`.
    pub direction: u64,
    /// `PLAYER_MOVEMENT`.
    pub movement: u64,
}

impl FrameCounts {
    /// Adds other counts to these.
    pub fn add(&mut self, other: &Self) {
        self.game_state += other.game_state;
        self.joined += other.joined;
        self.left += other.left;
        self.attack += other.attack;
        self.direction += other.direction;
        self.movement += other.movement;
    }
}

/// Result of encoding the members that may have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChangeSummary {
    /// At least one member changed.
    pub(super) any: bool,
    /// At least one member may have changes besides its vector.
    pub(super) any_others: bool,
    /// At least one member was removed from the world.
    pub(super) any_removed: bool,
}

/// The destination of a flush's frames. Slots passed to its methods must be occupied unless stated otherwise.
pub(super) struct Frames<'a> {
    pub(super) world: &'a World,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) counts: &'a mut FrameCounts,
}

impl Frames<'_> {
    pub(super) fn game_state(&mut self, slots: impl ExactSizeIterator<Item = u32>) {
        message::game_state(self.out, slots.map(|slot| entry(self.world, slot)));
        self.counts.game_state += 1;
    }

    pub(super) fn joined(&mut self, slot: u32) {
        message::joined(self.out, &entry(self.world, slot));
        self.counts.joined += 1;
    }

    /// Writes a LEFT. The entity may be removed from the world already.
    pub(super) fn left(&mut self, id: u32) {
        message::left(self.out, id);
        self.counts.left += 1;
    }

    pub(super) fn movement(&mut self, slot: u32) {
        self.out.extend_from_slice(&movement(self.world, slot));
        self.counts.movement += 1;
    }

    /// Writes the vector zero of an entity. It may be removed from the world already.
    pub(super) fn stop(&mut self, id: u32) {
        self.out.extend_from_slice(&message::movement(id, 0, 0));
        self.counts.movement += 1;
    }

    /// Writes the vectors of these members that have changed. Skips members that may have changes besides the vector.
    ///
    /// A member is its slot, and whether it is still in the world.
    ///
    /// Which members are written is unpredictable, so a frame is encoded for each one and kept by compaction.
    pub(super) fn changed_movements(
        &mut self,
        members: impl ExactSizeIterator<Item = (u32, bool)>,
        changes: ChangesSince<'_>,
        compactor: &mut Compactor<MovementFrame>,
    ) -> ChangeSummary {
        let world = self.world;
        let mut summary = ChangeSummary::default();
        compactor.clear();
        compactor.compact(members.map(|(slot, is_present)| {
            let is_changed = is_present & changes.has_changed(slot);
            let is_more = is_changed & changes.may_have_rare_change(slot);
            summary.any |= is_changed;
            summary.any_others |= is_more;
            summary.any_removed |= !is_present;
            (movement(world, slot), is_changed & !is_more)
        }));
        self.out.extend_from_slice(compactor.kept().as_flattened());
        self.counts.movement += compactor.kept().len() as u64;
        summary
    }

    pub(super) fn direction(&mut self, slot: u32) {
        message::direction(self.out, self.world.entity_state(slot).id(), facing(self.world, slot));
        self.counts.direction += 1;
    }

    pub(super) fn attack(&mut self, slot: u32) {
        let entity = self.world.entity_state(slot);
        message::attack(self.out, entity.id(), entity.position.x, entity.position.y);
        self.counts.attack += 1;
    }
}

fn movement(world: &World, slot: u32) -> MovementFrame {
    let (entity, vector) = (world.entity_state(slot), world.vector(slot));
    message::movement(entity.id(), vector.dx(), vector.dy())
}

fn facing(world: &World, slot: u32) -> Facing {
    if world.entity_state(slot).is_facing_right() { Facing::Right } else { Facing::Left }
}

fn entry(world: &World, slot: u32) -> Entry {
    let (entity, vector) = (world.entity_state(slot), world.vector(slot));
    Entry {
        id: entity.id(),
        x: entity.position.x,
        y: entity.position.y,
        dx: vector.dx(),
        dy: vector.dy(),
        state: match entity.state() {
            State::Idle => message::State::Idle,
            State::Moving => message::State::Moving,
            State::Attacking => message::State::Attacking,
        },
        facing: facing(world, slot),
    }
}
