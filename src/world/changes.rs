//! What changed since a tick: recorded by the world, asked by replication and the cluster through [`ChangesSince`].
//!
//! # Change ticks
//!
//! A change is sent after its tick has closed. While tick `t` is the last closed one, an input is a change of tick
//! `t + 1`: its *change tick*. A viewer that has been sent tick `s` misses exactly the changes with a later change tick.
//! One number per viewer therefore replaces queues of changes.
//!
//! # Which structure answers which question
//!
//! Change ticks are exact, but reading them misses the cache. Coarser structures answer most questions before that. Each of
//! the first five questions is asked only after a yes to the one above it:
//!
//! | question about the ticks after `s` | answered by | which reads | yes is wrong at times |
//! |---|---|---|---|
//! | Did a field change in these regions? Did an entity move or join there? | [`DirtyRegions`] | 8 bytes per tick | for another entity of the region; beyond 62 ticks |
//! | Did the entity in this slot change, or leave? | [`DirtySet`] | a bit per slot | beyond 16 ticks |
//! | Did this entity change? | [`EntityState`] | its 16 bytes | after 2^30 ticks |
//! | May a field besides the vector have changed? | 24 bits of [`EntityState`] | the same | after 2^23 ticks |
//! | Did the vector, the facing, an attack or a jump change? | [`ChangeTicks`] | 16 bytes | after 2^30 ticks |
//! | May a slot hold another entity? | [`Removals`] | 4 bytes | for another slot |
//!
//! # Invariants
//!
//! * **No is never wrong**, for any `s` within 2^23 ticks (38 hours at 60 Hz). A wrong yes costs time or repeats a frame.
//!   Every change of a field passes [`Changes::mark`], so the coarse structures miss none of them.
//! * **The tick in progress** is part of the regions and of the change ticks, but not of the dirty set. A viewer is thus not
//!   taken for quiet while a change is about to close, and an entity whose only change is in progress waits for the next
//!   delta. With a closed change as well it is sent at once, and again in the next delta.
//! * **Steady movement is no change**, since clients extrapolate it. It marks its region as moved, because it changes
//!   interest sets. The correction of a position is a change only if the entity stands: its vector may never change
//!   again. A walking entity is drawn at the wrong place until `extrapolation` finds the error too large. That is a
//!   *jump*: it has its own change tick, and brings the next snapshot forward.
//! * **A join is no change**: the entity enters by an interest update, with its whole state. A removal is a change and a
//!   movement. Its slot may be reused in the same tick, so only slot and id together identify an entity.

use super::change_tick::{ChangeTick, ChangeTicks};
use super::dirty_regions::DirtyRegions;
pub use super::dirty_regions::{ALL_REGIONS, Regions};
use super::dirty_set::{DirtySet, DirtySlots};
use super::entity_state::EntityState;
use super::{Position, Tick};
use serde::{Deserialize, Serialize};

/// The structures that record changes, except for the change ticks in each [`EntityState`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Changes {
    pub(super) regions: DirtyRegions,
    slots: DirtySet,
    pub(super) ticks: Vec<ChangeTicks>,
    pub(super) removals: Removals,
}

/// Number of entities removed since the start. While it stays equal, every occupied slot keeps its entity. The lower 32
/// bits suffice: no slot is remembered for as long as it takes to remove 2^32 entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Removals(u32);

impl Changes {
    /// Creates an empty record for a world of this size, in units.
    pub(super) fn new(width: u16, height: u16) -> Self {
        let (regions, slots) = (DirtyRegions::new(width, height), DirtySet::new());
        Self { regions, slots, ticks: Vec::new(), removals: Removals::default() }
    }

    /// Records the join of an entity. Its slot is one that was used before, or the next new one.
    pub(super) fn join(&mut self, at: usize, position: Position, now: Tick) {
        let ticks = ChangeTicks::all(ChangeTick::long_before(now));
        if at < self.ticks.len() {
            self.ticks[at] = ticks;
        } else {
            self.ticks.push(ticks);
            self.slots.reserve(at + 1);
        }
        self.regions.mark_moved(position);
    }

    pub(super) fn remove(&mut self, at: usize, position: Position) {
        self.mark(at, position);
        self.regions.mark_moved(position);
        self.removals.0 = self.removals.0.wrapping_add(1);
    }

    /// Records a change of an entity at this position. The caller sets the change ticks.
    pub(super) fn mark(&mut self, at: usize, position: Position) {
        self.regions.mark_changed(position);
        self.slots.mark(at);
    }

    /// Closes the next `ticks` ticks; the first one has all changes since the last call. `open` follows them.
    pub(super) fn close(&mut self, ticks: u32, open: Tick) {
        self.regions.advance(open);
        self.slots.close(ticks);
    }
}

/// Answers what changed after a tick: see the [module](self) for what each answer reads and how it errs.
#[derive(Clone, Copy)]
pub struct ChangesSince<'a> {
    pub(super) changes: &'a Changes,
    pub(super) states: &'a [EntityState],
    /// The last closed tick.
    pub(super) now: Tick,
    pub(super) since: Tick,
}

impl<'a> ChangesSince<'a> {
    /// Returns whether a field of any entity in these regions may have changed, or an entity was removed.
    pub(crate) fn may_have_change_in(self, regions: Regions) -> bool {
        self.changes.regions.has_changed(regions, self.since)
    }

    /// Returns whether any entity may have moved or joined in these regions, or was removed.
    pub(crate) fn may_have_movement_in(self, regions: Regions) -> bool {
        self.changes.regions.has_moved(regions, self.since)
    }

    /// Returns the slots whose entities may have changed in closed ticks, or were removed.
    pub(crate) fn slots(self) -> DirtySlots<'a> {
        self.changes.slots.within(self.now - self.since)
    }

    /// Returns whether the entity in this slot changed.
    pub fn has_changed(self, slot: u32) -> bool {
        self.states[slot as usize].has_changed_since(self.since)
    }

    /// Returns whether a field besides the vector may have changed. Implied by a change of such a field.
    pub(crate) fn may_have_rare_change(self, slot: u32) -> bool {
        self.states[slot as usize].may_have_rare_change_since(self.since)
    }

    pub(crate) fn has_new_vector(self, slot: u32) -> bool {
        // The last change is one of the vector unless the entity state shows a change of another field.
        self.has_changed(slot) && self.rare(slot).is_none_or(|ticks| ticks.vector.is_after(self.since))
    }

    pub(crate) fn has_new_facing(self, slot: u32) -> bool {
        self.rare(slot).is_some_and(|ticks| ticks.facing.is_after(self.since))
    }

    /// Returns whether an attack began in a closed tick, less than `ticks` ago.
    pub(crate) fn has_begun_attack(self, slot: u32, ticks: Tick) -> bool {
        self.rare(slot).is_some_and(|&ChangeTicks { attack, .. }| {
            attack.is_after(self.since) && attack.age(self.now) < ticks
        })
    }

    pub(crate) fn has_jumped(self, slot: u32) -> bool {
        self.rare(slot).is_some_and(|ticks| ticks.jump.is_after(self.since))
    }

    /// Returns the change ticks, unless only the vector can have changed, which saves loading another cache line.
    fn rare(self, slot: u32) -> Option<&'a ChangeTicks> {
        self.may_have_rare_change(slot).then(|| &self.changes.ticks[slot as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::world_of;
    use crate::world::{Input, World};
    use proptest::prelude::*;

    /// Players in each of the 64 regions, after others, so that their slots span two words of the dirty set.
    const FIRST: usize = 10;
    const PLAYERS: usize = 64;

    /// Ticks of the last change and movement of each player, and of its last change in a closed tick.
    struct History {
        changed: [Tick; PLAYERS],
        closed: [Tick; PLAYERS],
        moved: [Tick; PLAYERS],
    }

    impl History {
        /// Compares every answer about the ticks after `since`.
        fn check(&self, world: &World, since: Tick) -> Result<(), TestCaseError> {
            let (changes, age) = (world.changes_since(since), world.tick() - since);
            for player in 0..PLAYERS {
                let slot = (FIRST + player) as u32;
                let Position { x, y } = world.position(slot);
                let region = world.regions(x.into(), y.into(), x.into(), y.into());
                prop_assert_eq!(changes.has_changed(slot), self.changed[player] > since);
                prop_assert_eq!(changes.has_new_facing(slot), self.changed[player] > since);
                prop_assert_eq!(changes.slots().has(slot), self.closed[player] > since || age > 16);
                prop_assert_eq!(changes.may_have_change_in(region), self.changed[player] > since || age > 62);
                prop_assert_eq!(changes.may_have_movement_in(region), self.moved[player] > since || age > 62);
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn answers_are_exact_within_their_window_and_yes_beyond(
            steps in proptest::collection::vec((0..PLAYERS, 0u8..4, 1u32..40, 0u64..90), 1..40),
        ) {
            let place = |player: usize| ((player % 8 * 250 + 5) as u16, (player / 8 * 250 + 5) as u16);
            let places: Vec<_> = (0..FIRST).map(|_| (0, 0)).chain((0..PLAYERS).map(place)).collect();
            let mut world = world_of(&places);
            let mut history = History { changed: [0; PLAYERS], closed: [0; PLAYERS], moved: [1; PLAYERS] };
            for (player, action, ticks, age) in steps {
                let (slot, (x, y)) = ((FIRST + player) as u32, place(player));
                if action == 0 {
                    world.place(slot, x, y);
                    history.moved[player] = world.tick() + 1;
                } else if action == 1 {
                    world.apply(slot, Input::Face { right: !world.is_facing_right(slot) });
                    history.changed[player] = world.tick() + 1;
                }
                history.check(&world, world.tick().saturating_sub(age))?;
                world.step(ticks);
                history.closed = history.changed;
                history.check(&world, world.tick().saturating_sub(age))?;
            }
        }
    }
}
