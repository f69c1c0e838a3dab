//! One viewer: its interest set, and the tick up to which it has been sent changes.

use super::Settings;
use super::grid::Rect;
use super::interest_mask::InterestMask;
use super::interest_set::InterestSet;
use crate::limits::{INTEREST_LEAVE_MARGIN, VIEWPORT_SIDE_MIN};
use crate::prefetch::{LINE_BYTES, prefetch};
use crate::world::dirty_regions::{ALL_REGIONS, Regions};
use crate::world::{Tick, World};

/// Content of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushKind {
    /// Changes of the members of the interest set.
    Delta,
    /// A delta with an interest update: members that enter or leave, keyframes, and the snapshot when it is
    /// due.
    InterestUpdate,
}

/// The replication state of a player: two cache lines, both of which miss the cache at nearly every flush.
/// The first field lies in one line, the last in the other.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Viewer {
    pub(crate) slot: u32,
    pub(crate) id: u32,
    /// Entities that the client sees besides its own, in the order in which they entered. At most
    /// `max_visible`.
    pub(crate) interest_set: InterestSet,
    /// Half the sides of the viewport, in units; with `None` the viewer sees the whole world.
    half_viewport: Option<(i32, i32)>,
    /// Radius at which the next search starts, in units.
    pub(crate) search_radius: i32,
    /// Changes up to and including this tick have been sent.
    pub(crate) sent_until: Tick,
    /// Tick of the last flush that was not empty; the following tick if that flush was piggybacked between
    /// two ticks.
    pub(crate) flushed_at: Tick,
    /// Tick of the last interest update.
    pub(crate) interest_updated_at: Tick,
    /// While the last interest update is older than this tick, another one is needed even without movement:
    /// for members within their dwell time, or for a new viewport.
    pub(crate) update_interest_until: Tick,
    /// Regions where changes and movements matter, as of `interest_updated_at`.
    pub(crate) regions: Regions,
    /// Tick in which the next snapshot is due.
    pub(crate) snapshot_due: Tick,
    /// Tick of the last snapshot.
    pub(crate) snapshot_sent_at: Tick,
    /// Earliest tick for a snapshot; `None` until the first entity enters.
    pub(crate) snapshot_allowed: Option<Tick>,
    /// Whether anything in the interest set changed since the last snapshot.
    pub(crate) changed_since_snapshot: bool,
    /// Whether a member may have been removed from the world without its LEFT having been sent.
    pub(crate) left_pending: bool,
    #[cfg(test)]
    pub(crate) poisoned: bool,
    /// Lower 32 bits of [`World::removals`] when all members were last known to be in the world.
    removals_seen: u32,
}

const _: () = assert!(size_of::<Viewer>() == 2 * LINE_BYTES);

impl Viewer {
    pub(crate) fn new(slot: u32, id: u32, now: Tick, settings: &Settings) -> Self {
        // A hash of the id spreads the snapshots of players that join together.
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
            removals_seen: 0,
        }
    }

    /// Prefetches the viewer's own cache lines.
    pub(super) fn prefetch(&self) {
        prefetch(&self.slot);
        prefetch(&self.changed_since_snapshot);
    }

    /// Prefetches the rows of the interest set that a flush of this kind reads. Reads the viewer, which
    /// should be cached by then.
    pub(super) fn prefetch_interest_set(&self, kind: FlushKind) {
        match kind {
            FlushKind::Delta => self.interest_set.prefetch_slots(),
            FlushKind::InterestUpdate => self.interest_set.prefetch(),
        }
    }

    /// Prefetches the states of the members. Reads the interest set, which should be cached by then.
    pub(super) fn prefetch_entity_states(&self, world: &World) {
        for &slot in self.interest_set.slots() {
            prefetch(world.entity_state(slot));
        }
    }

    /// Returns the slot of the viewer's player.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the ids of the interest set.
    pub fn visible_ids(&self) -> impl Iterator<Item = u32> {
        self.interest_set.ids().iter().copied()
    }

    /// Returns half the sides of the clamped viewport, in units; with `None` the viewer sees the whole
    /// world.
    pub fn half_sides(&self) -> Option<(i32, i32)> {
        self.half_viewport
    }

    /// Sets the viewport that the client reports. Each side is clamped to between 100 units and the side of
    /// the world.
    pub(crate) fn set_viewport(&mut self, width: u16, height: u16, world: &World) {
        let rules = world.rules();
        let half =
            |side: u16, most: u16| i32::from(side.clamp(VIEWPORT_SIDE_MIN.min(most), most)).div_euclid(2);
        self.half_viewport = Some((half(width, rules.width), half(height, rules.height)));
        self.update_interest_until = Tick::MAX;
    }

    /// Returns the rectangle in which entities enter, and the wider one in which they stay.
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

    /// Returns the kind of flush that is due in a flush round.
    pub(crate) fn due_in_flush_round(&self, settings: &Settings, now: Tick) -> FlushKind {
        // Flush times don't align with the interest interval, so the flush nearest to its end makes the
        // update.
        let is_update_due =
            now - self.interest_updated_at + settings.flush_interval / 2 >= settings.interest_interval;
        if is_update_due { FlushKind::InterestUpdate } else { FlushKind::Delta }
    }

    /// Returns the kind of flush that is due with an ack. Flush rounds make most interest updates, since
    /// they process neighbors together. A viewer whose flushes are all piggybacked is updated after twice
    /// the interval.
    pub(crate) fn due_on_piggyback(&self, settings: &Settings, now: Tick) -> FlushKind {
        if now - self.interest_updated_at >= 2 * settings.interest_interval {
            FlushKind::InterestUpdate
        } else {
            FlushKind::Delta
        }
    }

    /// Reduces a due flush to the kind that is needed: the same kind, a delta, or none.
    pub(crate) fn needed(&self, due: FlushKind, world: &World, settings: &Settings) -> Option<FlushKind> {
        let changed = self.may_have_changes(world, settings);
        if due == FlushKind::InterestUpdate && (changed || self.needs_interest_update(world, settings)) {
            return Some(FlushKind::InterestUpdate);
        }
        changed.then_some(FlushKind::Delta)
    }

    /// Returns whether any entity near the viewer may have changed since the last flush.
    fn may_have_changes(&self, world: &World, settings: &Settings) -> bool {
        self.are_regions_stale(world, settings)
            || world.dirty_regions().has_changed(self.regions, self.sent_until)
    }

    /// Records that the client has only now received data written up to `delay` ticks ago. The client starts
    /// loading the sprites of entities that entered meanwhile only now, so their ages restart.
    pub(super) fn backlog_drained(&mut self, delay: Tick, now: Tick, settings: &Settings) {
        // One extra tick covers data written just before the backlog began.
        let first = self.interest_set.count_aged(delay + 2, now);
        if first < self.interest_set.len() {
            self.interest_set.reset_entered(first, now);
            self.update_interest_until = self.update_interest_until.max(now + settings.dwell + 1);
        }
        if let Some(allowed) = &mut self.snapshot_allowed
            && *allowed + delay + 1 >= now + settings.first_sprite_load
        {
            // The frame of the first entity that entered was part of the backlog.
            *allowed = now + settings.first_sprite_load;
        }
    }

    /// Returns whether an interest update may change anything.
    fn needs_interest_update(&self, world: &World, settings: &Settings) -> bool {
        self.interest_updated_at < self.update_interest_until
            || self.are_regions_stale(world, settings)
            || world.dirty_regions().has_moved(self.regions, self.interest_updated_at)
            || (self.changed_since_snapshot && self.is_snapshot_due(world.tick()))
    }

    /// Returns whether a member may have been removed from the world without a LEFT.
    pub(crate) fn may_have_left_pending(&self, world: &World) -> bool {
        self.left_pending || self.removals_seen != world.removals() as u32
    }

    /// Records whether a LEFT is pending for any member, as of now.
    pub(crate) fn set_left_pending(&mut self, left_pending: bool, world: &World) {
        self.left_pending = left_pending;
        self.removals_seen = world.removals() as u32;
    }

    /// Returns whether the regions are too old to be trusted.
    fn are_regions_stale(&self, world: &World, settings: &Settings) -> bool {
        world.tick() - self.interest_updated_at > settings.regions_ttl
    }

    /// Returns the mask that decides whether the viewer's next flushes are skipped.
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

    /// Moves the due tick of a snapshot past the intervals in which nothing changed.
    pub(crate) fn skip_idle_snapshots(&mut self, now: Tick, settings: &Settings) {
        if !self.changed_since_snapshot && self.snapshot_due < now {
            self.snapshot_due += (now - self.snapshot_due).next_multiple_of(settings.sync_interval);
        }
    }

    /// Returns whether a snapshot is due. The caller decides whether one is needed.
    pub(crate) fn is_snapshot_due(&self, now: Tick) -> bool {
        now >= self.snapshot_due && self.snapshot_allowed.is_some_and(|allowed| now >= allowed)
    }

    /// Records that the viewer is up to date as of now.
    pub(crate) fn skip(&mut self, kind: FlushKind, now: Tick) {
        self.sent_until = now;
        if kind == FlushKind::InterestUpdate {
            self.interest_updated_at = now;
        }
    }
}
