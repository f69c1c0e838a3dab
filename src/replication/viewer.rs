//! One viewer: whom it sees, and up to when it has been told.

use super::Settings;
use super::grid::Rect;
use super::interest_mask::InterestMask;
use super::interest_set::InterestSet;
use crate::limits::{INTEREST_LEAVE_MARGIN, VIEWPORT_SIDE_MIN};
use crate::prefetch::{LINE_BYTES, prefetch};
use crate::world::dirty_regions::{ALL_REGIONS, Regions};
use crate::world::{Tick, World};

/// What a viewer's turn consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushKind {
    /// What changed about those it sees.
    Delta,
    /// Also who came into view or left it, repeated vectors, and the full state when it is due.
    InterestUpdate,
}

/// A player as a viewer. It takes two cache lines, which have to come from far away at each of its turns; its first field is in
/// the one, its last in the other.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Viewer {
    pub(crate) slot: u32,
    pub(crate) id: u32,
    /// Whom the client shows beside itself, in the order of their entrances. At most `max_visible`.
    pub(crate) interest_set: InterestSet,
    /// Half the viewport's sides; `None` sees the whole world.
    half_viewport: Option<(i32, i32)>,
    /// How far out the next look's search begins, in units.
    pub(crate) search_radius: i32,
    /// Changes stamped up to this tick have been sent.
    pub(crate) sent_until: Tick,
    /// Tick of the last flush that wrote anything, or the tick after it when that flush came between two ticks.
    pub(crate) flushed_at: Tick,
    /// Tick of the last look.
    pub(crate) interest_updated_at: Tick,
    /// The next look must happen even if nothing moved: young members, a new viewport.
    pub(crate) update_interest_until: Tick,
    /// Where changes and movements can matter to this viewer, as of `looked`.
    pub(crate) regions: Regions,
    /// When the next full state is due.
    pub(crate) snapshot_due: Tick,
    /// Tick of the last full state.
    pub(crate) snapshot_sent_at: Tick,
    /// The earliest tick for a full state: `None` until somebody else came into view.
    pub(crate) snapshot_allowed: Option<Tick>,
    /// Something in view changed since the last full state.
    pub(crate) changed_since_snapshot: bool,
    /// Some member may be gone from the world, and its LEFT be untold.
    pub(crate) left_pending: bool,
    #[cfg(test)]
    pub(crate) poisoned: bool,
    /// [`World::departures`] when it was last made sure that everybody in view is there, as its lower 32 bits.
    departures_seen: u32,
}

const _: () = assert!(size_of::<Viewer>() == 2 * LINE_BYTES);

impl Viewer {
    pub(crate) fn new(slot: u32, id: u32, now: Tick, settings: &Settings) -> Self {
        // Spread by id, which is as good as chance: those who join together must not all be synchronised together.
        let stagger = Tick::from(id.wrapping_mul(0x9e37_79b1) >> 16) % settings.sync_interval;
        Self {
            slot,
            id,
            interest_set: InterestSet::default(),
            half_viewport: None,
            search_radius: 0,
            sent_until: now,
            flushed_at: now,
            interest_updated_at: now,
            update_interest_until: now,
            regions: ALL_REGIONS,
            snapshot_due: now + settings.sync_interval / 2 + stagger / 2,
            snapshot_sent_at: now,
            snapshot_allowed: None,
            changed_since_snapshot: false,
            left_pending: false,
            #[cfg(test)]
            poisoned: false,
            departures_seen: 0,
        }
    }

    /// Calls the viewer itself near the processor.
    pub(super) fn prefetch(&self) {
        prefetch(&self.slot);
        prefetch(&self.changed_since_snapshot);
    }

    /// Calls what such a turn reads of whom it sees near the processor; the viewer itself must be there already.
    pub(super) fn prefetch_interest_set(&self, kind: FlushKind) {
        match kind {
            FlushKind::Delta => self.interest_set.prefetch_slots(),
            FlushKind::InterestUpdate => self.interest_set.prefetch(),
        }
    }

    /// Calls what those look like near the processor; whom it sees must be there already.
    pub(super) fn prefetch_entity_states(&self, world: &World) {
        for &slot in self.interest_set.slots() {
            prefetch(world.entity_state(slot));
        }
    }

    /// The slot of the player who looks.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The ids of those it sees.
    pub fn visible_ids(&self) -> impl Iterator<Item = u32> {
        self.interest_set.ids().iter().copied()
    }

    /// Half the sides of its rectangle, in units, as clamped; `None` sees the whole world.
    pub fn half_sides(&self) -> Option<(i32, i32)> {
        self.half_viewport
    }

    /// Takes the client's word for what it shows, within bounds: each side at least 100 units, at most the world's.
    pub(crate) fn set_viewport(&mut self, width: u16, height: u16, world: &World) {
        let rules = world.rules();
        let half =
            |side: u16, most: u16| i32::from(side.clamp(VIEWPORT_SIDE_MIN.min(most), most)).div_euclid(2);
        self.half_viewport = Some((half(width, rules.width), half(height, rules.height)));
        self.update_interest_until = Tick::MAX;
    }

    /// The rectangle in which somebody comes into view, and the wider one it must leave to go out of it.
    pub(crate) fn enter_and_leave_rects(&self, world: &World) -> (Rect, Rect) {
        let rules = world.rules();
        let whole = Rect { left: 0, top: 0, right: i32::from(rules.width), bottom: i32::from(rules.height) };
        let Some((half_width, half_height)) = self.half_viewport else { return (whole, whole) };
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

    /// What a turn in a round would be by the clock.
    pub(crate) fn due_in_flush_round(&self, settings: &Settings, now: Tick) -> FlushKind {
        // Turns come when they come: the one nearest to the end of a look's interval is the look.
        let is_update_due =
            now - self.interest_updated_at + settings.flush_interval / 2 >= settings.interest_interval;
        if is_update_due { FlushKind::InterestUpdate } else { FlushKind::Delta }
    }

    /// What a turn that rides on an ack would be by the clock. Looks are left to rounds, where those who stand together are
    /// served together; but whom acks keep from having turns of its own must look some time.
    pub(crate) fn due_on_piggyback(&self, settings: &Settings, now: Tick) -> FlushKind {
        if now - self.interest_updated_at >= 2 * settings.interest_interval {
            FlushKind::InterestUpdate
        } else {
            FlushKind::Delta
        }
    }

    /// What there is to do in a turn that is due: perhaps less, perhaps nothing.
    pub(crate) fn needed(&self, due: FlushKind, world: &World, settings: &Settings) -> Option<FlushKind> {
        let changed = self.may_have_changes(world, settings);
        if due == FlushKind::InterestUpdate && (changed || self.needs_interest_update(world, settings)) {
            return Some(FlushKind::InterestUpdate);
        }
        changed.then_some(FlushKind::Delta)
    }

    /// Whether anything it sees may have changed since it was served.
    fn may_have_changes(&self, world: &World, settings: &Settings) -> bool {
        self.are_regions_stale(world, settings)
            || world.dirty_regions().has_changed(self.regions, self.sent_until)
    }

    /// Its client has only now been handed what was written up to `delay` ticks ago. The players that came into view
    /// meanwhile have come into its picture just now, and their sprites are loaded from now on: all that counts from an
    /// entrance counts from here.
    pub(super) fn backlog_drained(&mut self, delay: Tick, now: Tick, settings: &Settings) {
        // A tick more, for what was written just before it had to wait.
        let first = self.interest_set.count_aged(delay + 2, now);
        if first < self.interest_set.len() {
            self.interest_set.reset_entered(first, now);
            self.update_interest_until = self.update_interest_until.max(now + settings.dwell + 1);
        }
        if let Some(allowed) = &mut self.snapshot_allowed
            && *allowed + delay + 1 >= now + settings.first_sprite_load
        {
            // The first entrance of all was among it.
            *allowed = now + settings.first_sprite_load;
        }
    }

    /// Whether a look may find a difference.
    fn needs_interest_update(&self, world: &World, settings: &Settings) -> bool {
        self.interest_updated_at < self.update_interest_until
            || self.are_regions_stale(world, settings)
            || world.dirty_regions().has_moved(self.regions, self.interest_updated_at)
            || (self.changed_since_snapshot && self.is_snapshot_due(world.tick()))
    }

    /// Whether somebody it shows may have left the world.
    pub(crate) fn may_have_left_pending(&self, world: &World) -> bool {
        self.left_pending || self.departures_seen != world.removals() as u32
    }

    /// Notes that everybody it shows is in the world, but for those that `left_pending` tells of.
    pub(crate) fn set_left_pending(&mut self, left_pending: bool, world: &World) {
        self.left_pending = left_pending;
        self.departures_seen = world.removals() as u32;
    }

    /// Whether the remembered regions are too old to be trusted.
    fn are_regions_stale(&self, world: &World, settings: &Settings) -> bool {
        world.tick() - self.interest_updated_at > settings.regions_ttl
    }

    /// What is to be known of it until its next turn.
    pub(super) fn interest_mask(&self) -> InterestMask {
        let quiet_until = if self.interest_updated_at < self.update_interest_until {
            0
        } else if self.changed_since_snapshot {
            self.snapshot_allowed.map_or(Tick::MAX, |allowed| allowed.max(self.snapshot_due))
        } else {
            Tick::MAX
        };
        InterestMask {
            regions: self.regions,
            since: self.sent_until.min(self.interest_updated_at),
            quiet_until,
        }
    }

    /// Puts off full states that would have been due while nothing happened.
    pub(crate) fn skip_idle_snapshots(&mut self, now: Tick, settings: &Settings) {
        if !self.changed_since_snapshot && self.snapshot_due < now {
            self.snapshot_due += (now - self.snapshot_due).next_multiple_of(settings.sync_interval);
        }
    }

    /// Whether the time for a full state has come; whether one is needed is another question.
    pub(crate) fn is_snapshot_due(&self, now: Tick) -> bool {
        now >= self.snapshot_due && self.snapshot_allowed.is_some_and(|allowed| now >= allowed)
    }

    /// Notes that nothing happened up to now.
    pub(crate) fn skip(&mut self, kind: FlushKind, now: Tick) {
        self.sent_until = now;
        if kind == FlushKind::InterestUpdate {
            self.interest_updated_at = now;
        }
    }
}
