//! The entity state: the 16 hot bytes of an entity.

use super::change_tick::ChangeTick;
use super::reconciliation::Point;
use super::{Position, State, Tick, Vector};
use serde::{Deserialize, Serialize};

/// Id of a vacant slot; no entity has it.
pub(super) const VACANT: u32 = 0;

/// The replicated state of an entity, in 16 bytes. Interest updates read it for every candidate, and deltas for every
/// changed entity: millions of reads per second, each of which loads a cache line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct EntityState {
    /// The entity's id, or [`VACANT`].
    pub(super) id: u32,
    /// Change tick of the last change other than steady movement.
    changed: ChangeTick,
    pub(crate) position: Position,
    details: Details,
}

const _: () = assert!(size_of::<EntityState>() == 16);

impl EntityState {
    /// Creates a standing entity that faces right and was added in this tick.
    pub(super) fn new(id: u32, position: Position, tick: Tick) -> Self {
        let details = Details(0).with(FACING_RIGHT, true).with_change_tick(ChangeTick::of(tick));
        Self { id, changed: ChangeTick::of(tick), position, details }
    }

    /// Returns the entity's id; meaningless if the slot is vacant.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn has_id(&self, id: u32) -> bool {
        self.id == id
    }

    pub(crate) fn vector(&self) -> Vector {
        Vector::new(self.details.axis(DX), self.details.axis(DY))
    }

    pub(crate) fn is_moving(&self) -> bool {
        // One comparison: the branch on a single axis is unpredictable, the branch on both is mostly predictable.
        self.details.0 & (0b11 << DX | 0b11 << DY) != 0
    }

    pub(crate) fn is_facing_right(&self) -> bool {
        self.details.has(FACING_RIGHT)
    }

    pub(crate) fn is_attacking(&self) -> bool {
        self.details.has(ATTACKING)
    }

    /// Returns whether the entity is a ghost, owned by another node.
    pub(crate) fn is_ghost(&self) -> bool {
        self.details.has(GHOST)
    }

    pub(super) fn set_ghost(&mut self) {
        self.details = self.details.with(GHOST, true);
    }

    pub(crate) fn state(&self) -> State {
        if self.is_attacking() {
            State::Attacking
        } else if self.is_moving() {
            State::Moving
        } else {
            State::Idle
        }
    }

    /// Returns whether any field changed after tick `since`.
    pub(super) fn has_changed_since(&self, since: Tick) -> bool {
        self.changed.is_after(since)
    }

    /// Returns whether a field other than the vector may have changed after tick `since`. After 2^23 ticks, 38 hours at
    /// 60 Hz, an old change appears new again; the [`ChangeTicks`](super::change_tick::ChangeTicks) are exact.
    pub(super) fn may_have_rare_change_since(&self, since: Tick) -> bool {
        self.details.change_tick_is_after(since)
    }

    pub(super) fn set_vector(&mut self, vector: Vector, change_tick: ChangeTick) {
        self.details = self.details.with_axis(DX, vector.dx()).with_axis(DY, vector.dy());
        self.changed = change_tick;
    }

    pub(super) fn set_facing_right(&mut self, right: bool, change_tick: ChangeTick) {
        self.details = self.details.with(FACING_RIGHT, right);
        self.touch(change_tick);
    }

    pub(super) fn set_attacking(&mut self, attacks: bool, change_tick: ChangeTick) {
        self.details = self.details.with(ATTACKING, attacks);
        self.touch(change_tick);
    }

    /// Records a change of a field other than the vector.
    pub(super) fn touch(&mut self, change_tick: ChangeTick) {
        self.details = self.details.with_change_tick(change_tick);
        self.changed = change_tick;
    }

    pub(super) fn vacate(&mut self) {
        self.id = VACANT;
        self.details = self.details.with_axis(DX, 0).with_axis(DY, 0);
    }

    pub(super) fn point(&self) -> Point {
        Point { x: i32::from(self.position.x), y: i32::from(self.position.y) }
    }
}

/// Two axes of two bits, three flags, and from bit [`CHANGE_TICK`] on the lower bits of the last other change's tick.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Details(u32);

const DX: u32 = 0;
const DY: u32 = 2;
const FACING_RIGHT: u32 = 4;
const ATTACKING: u32 = 5;
const GHOST: u32 = 6;
const CHANGE_TICK: u32 = 8;

impl Details {
    fn axis(self, at: u32) -> i8 {
        // Sign-extends the two bits.
        ((self.0 >> at << 6) as i8) >> 6
    }

    fn with_axis(self, at: u32, sign: i8) -> Self {
        Self(self.0 & !(0b11 << at) | (u32::from(sign.cast_unsigned()) & 0b11) << at)
    }

    fn has(self, flag: u32) -> bool {
        self.0 >> flag & 1 == 1
    }

    fn with(self, flag: u32, is_set: bool) -> Self {
        Self(self.0 & !(1 << flag) | u32::from(is_set) << flag)
    }

    fn with_change_tick(self, change_tick: ChangeTick) -> Self {
        Self(self.0 & ((1 << CHANGE_TICK) - 1) | change_tick.bits() << CHANGE_TICK)
    }

    fn change_tick_is_after(self, since: Tick) -> bool {
        let flags = (1 << CHANGE_TICK) - 1;
        (self.0 & !flags).wrapping_sub((since as u32) << CHANGE_TICK).cast_signed() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_fields_round_trip(
            dx in -1i8..=1, dy in -1i8..=1, right: bool, attacks: bool, tick in 0u64..1 << 40, age in 1u64..1 << 22,
        ) {
            let mut entity = EntityState::new(7, Position { x: 1, y: 2 }, tick);
            prop_assert!(!entity.may_have_rare_change_since(tick));
            entity.set_facing_right(right, ChangeTick::of(tick + age));
            entity.set_attacking(attacks, ChangeTick::of(tick + age));
            entity.set_vector(Vector::new(dx, dy), ChangeTick::of(tick + age + 5));
            prop_assert_eq!(entity.vector(), Vector::new(dx, dy));
            prop_assert_eq!(entity.is_moving(), (dx, dy) != (0, 0));
            prop_assert_eq!((entity.is_facing_right(), entity.is_attacking()), (right, attacks));
            prop_assert!(entity.may_have_rare_change_since(tick));
            prop_assert!(entity.may_have_rare_change_since(tick + age - 1));
            prop_assert!(!entity.may_have_rare_change_since(tick + age));
            prop_assert!(entity.has_changed_since(tick + age + 4) && !entity.has_changed_since(tick + age + 5));
        }
    }
}
