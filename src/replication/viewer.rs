//! One viewer: its viewport, its interest set and its schedule.

use super::Settings;
use super::grid::Rect;
use super::interest_set::InterestSet;
use super::recent_leaves::RecentLeaves;
use super::schedule::{FlushKind, InterestMask, Schedule};
use super::slot_mask::{SLOTS_MAX, SlotMask};
use crate::limits::{INTEREST_LEAVE_MARGIN, VIEWPORT_SIDE_MIN};
use crate::prefetch::{LINE_BYTES, prefetch};
use crate::world::changes::{ALL_REGIONS, Regions};
use crate::world::{Tick, World};
use serde::{Deserialize, Serialize};

/// The replication state of a player: two cache lines, both cold at nearly every flush. The second is the schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(C, align(64))]
pub struct Viewer {
    pub(crate) slot: u32,
    pub(crate) id: u32,
    /// Entities that the client sees besides its own, by time of enter; at most `max_visible`.
    pub(crate) interest_set: InterestSet,
    /// The members by slot, unless the world is too large for it.
    mask: Option<Box<SlotMask>>,
    /// Half the sides of the viewport, in units; with `None` the viewer sees the whole world.
    half_viewport: Option<(u16, u16)>,
    /// Radius at which the next search starts, in units. The largest one reaches every position.
    search_radius: u16,
    /// Regions where changes and movements matter, as of the last interest update.
    pub(crate) regions: Regions,
    /// Entities that may not enter again yet.
    pub(super) recent_leaves: RecentLeaves,
    pub(super) schedule: Schedule,
}

const _: () = assert!(size_of::<Viewer>() == 2 * LINE_BYTES);

impl Viewer {
    pub(crate) fn new(slot: u32, id: u32, now: Tick, settings: &Settings) -> Self {
        Self {
            slot,
            id,
            interest_set: InterestSet::default(),
            mask: None,
            half_viewport: None,
            search_radius: 0,
            regions: ALL_REGIONS,
            recent_leaves: RecentLeaves::default(),
            schedule: Schedule::new(id, now, settings),
        }
    }

    /// Prefetches the viewer's own cache lines.
    pub(super) fn prefetch(&self) {
        prefetch(&self.slot);
        prefetch(&self.schedule);
    }

    /// Prefetches the rows that a flush of this kind reads. The viewer itself should be cached by then.
    pub(super) fn prefetch_interest_set(&self, kind: FlushKind, world: &World) {
        match (kind, &self.mask) {
            (FlushKind::Delta, Some(mask)) => mask.prefetch(world.slots()),
            (FlushKind::Delta, None) => self.interest_set.prefetch_slots(),
            (FlushKind::InterestUpdate | FlushKind::Snapshot, _) => self.interest_set.prefetch(),
        }
    }

    /// Prefetches the states of the members. Reads the interest set, which should be cached by then. The states of a small
    /// world stay cached.
    pub(super) fn prefetch_entity_states(&self, world: &World) {
        if self.mask.is_some() {
            return;
        }
        for &slot in self.interest_set.slots() {
            prefetch(world.entity_state(slot));
        }
    }

    /// Brings the mask up to date after these members left, and after the ones from position `first_entered` on entered. The set
    /// had no member without an entity of its own: two members would share the bit of a slot.
    pub(super) fn update_mask(&mut self, left: &[u32], first_entered: usize, world: &World) {
        match &mut self.mask {
            Some(mask) if world.slots() <= SLOTS_MAX => {
                for &slot in left {
                    mask.remove(slot);
                }
                for &slot in &self.interest_set.slots()[first_entered..] {
                    mask.insert(slot);
                }
            }
            _ => self.rebuild_mask(world),
        }
    }

    /// Brings the mask up to date after any change.
    pub(super) fn rebuild_mask(&mut self, world: &World) {
        if world.slots() <= SLOTS_MAX {
            self.mask.get_or_insert_default().assign(self.interest_set.slots());
        } else {
            self.mask = None;
        }
    }

    #[cfg(test)]
    pub(super) fn clear_mask(&mut self) {
        self.mask = None;
    }

    /// Returns the members by slot. `None` if the world is too large, or a member may have been removed from it: the member's
    /// slot may then hold another entity.
    pub(super) fn mask(&self, world: &World) -> Option<&SlotMask> {
        let mask = self.mask.as_deref().filter(|_| !self.schedule.may_have_left_pending(world))?;
        debug_assert!(mask.is_of(self.interest_set.slots()), "the mask was not updated");
        Some(mask)
    }

    /// Returns the radius at which the next search starts, in units.
    pub(super) fn search_radius(&self) -> i32 {
        i32::from(self.search_radius)
    }

    pub(super) fn set_search_radius(&mut self, radius: i32) {
        self.search_radius = u16::try_from(radius).unwrap_or(u16::MAX);
    }

    /// Returns the slot of the viewer's player.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the ids of the interest set.
    pub fn visible_ids(&self) -> impl Iterator<Item = u32> {
        self.interest_set.ids().iter().copied()
    }

    /// Returns half the sides of the clamped viewport, in units; `None` for the whole world.
    pub fn half_sides(&self) -> Option<(i32, i32)> {
        self.half_viewport.map(|(width, height)| (i32::from(width), i32::from(height)))
    }

    /// Sets the client's viewport. Each side is clamped to between 100 units and the side of the world.
    pub(crate) fn set_viewport(&mut self, width: u16, height: u16, world: &World) {
        let rules = world.rules();
        let half = |side: u16, most: u16| side.clamp(VIEWPORT_SIDE_MIN.min(most), most) / 2;
        self.half_viewport = Some((half(width, rules.width), half(height, rules.height)));
        self.schedule.request_interest_update();
    }

    /// Returns the rectangle in which entities enter, and the wider one in which they stay.
    pub(crate) fn enter_and_leave_rects(&self, world: &World) -> (Rect, Rect) {
        let rules = world.rules();
        let whole = Rect { left: 0, top: 0, right: i32::from(rules.width), bottom: i32::from(rules.height) };
        let Some((half_width, half_height)) = self.half_sides() else { return (whole, whole) };
        let position = world.position(self.slot);
        let (x, y) = (i32::from(position.x), i32::from(position.y));
        let around = |margin: i32| Rect {
            left: x - half_width - margin,
            top: y - half_height - margin,
            right: x + half_width + margin,
            bottom: y + half_height + margin,
        };
        (around(0).intersect(&whole), around(i32::from(INTEREST_LEAVE_MARGIN)).intersect(&whole))
    }

    /// Records that the client has only now received the last flush: a backlog never contains two, as its viewer is not
    /// flushed. The client starts loading the sprites of entities that entered only now, so their ages restart.
    pub(super) fn backlog_drained(&mut self, now: Tick, settings: &Settings) {
        let first = self.interest_set.count_aged(self.schedule.age_before_flush(now), now);
        let has_entered = first < self.interest_set.len();
        if has_entered {
            // Age 0 means that an entity enters with this tick's flush; these have been sent before.
            self.interest_set.reset_entered(first, now.saturating_sub(1));
        }
        self.schedule.backlog_drained(has_entered, now, settings);
    }

    /// Returns the mask that decides whether the viewer's next flushes are skipped.
    pub(super) fn interest_mask(&self) -> InterestMask {
        self.schedule.interest_mask(self.regions)
    }
}
