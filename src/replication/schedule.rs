//! The schedule of one viewer: what it has been sent, and when it is due for what.
//!
//! A viewer is flushed at two occasions: in flush rounds, in which the timer wheel names the viewers, and with an ack.
//! [`Schedule::next`] decides at both what the viewer gets. `now` is the last closed tick.
//!
//! Invariants:
//!
//! * **Progress.** `sent_until`, `interest_updated_at` and `snapshot_sent_at` never decrease and are at most `now`;
//!   `flushed_at` is at most `now + 1`. Every change in the viewer's regions after `sent_until` is still to be sent.
//! * **Intervals.** A round sends nothing within a flush interval of the last flush with content, an ack nothing within
//!   half of it. Every flush is an interest update once the last one is two interest intervals old.
//! * **Snapshots.** A snapshot is part of an interest update, never before `snapshot_due` and `snapshot_allowed`.
//! * **Never late.** The timer wheel wakes a viewer in the tick of its [`Work`] or earlier; early, it waits again. An
//!   [`InterestMask`] skips a viewer only while a flush would have no content.
//! * **Settings.** Each decision reads the current settings, so a new interval applies from the next decision on. Ticks
//!   that are stored, or on the wheel, stay.

use super::Settings;
use crate::prefetch::LINE_BYTES;
use crate::world::changes::{ChangesSince, Regions, Removals};
use crate::world::{Tick, World};
use serde::{Deserialize, Serialize};

/// Content of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushKind {
    /// Changes of the members of the interest set.
    Delta,
    /// A delta with an interest update: members that enter or leave, and keyframes.
    InterestUpdate,
    /// An interest update, with a snapshot in place of its frames if anything changed since the last one.
    Snapshot,
}

/// What a viewer needs at an [`Occasion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing before this tick.
    Wait(Tick),
    /// Nothing for a flush interval: the viewer has received everything.
    UpToDate,
    /// A flush now; the next one is due after a flush interval.
    Flush(FlushKind),
}

/// The reason to ask for a viewer's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A flush round, which processes neighbors together.
    Round,
    /// An ack that is about to be written.
    Ack,
}

const NEVER: Tick = Tick::MAX;

/// The second cache line of a viewer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(align(64))]
pub(super) struct Schedule {
    /// Changes up to and including this tick have been sent.
    sent_until: Tick,
    /// Tick of the last flush with content; the following tick if that flush was piggybacked between two ticks.
    flushed_at: Tick,
    interest_updated_at: Tick,
    /// While the last interest update is older than this tick, another one is needed even without movement: for members
    /// within their dwell time, or, with [`NEVER`], for a new viewport.
    update_interest_until: Tick,
    /// Tick in which the next snapshot is due.
    snapshot_due: Tick,
    /// Earliest tick for a snapshot; [`NEVER`] until the first entity enters.
    snapshot_allowed: Tick,
    snapshot_sent_at: Tick,
    /// [`World::removals`] when all members were last known to be in the world.
    removals_seen: Removals,
    /// Whether anything in the interest set changed since the last snapshot.
    pub(super) changed_since_snapshot: bool,
    /// Whether a member is known to have been removed from the world without its LEFT having been sent.
    pub(super) left_pending: bool,
    /// Whether the viewer's flushes panic. It stands here because the viewer's first line is full.
    #[cfg(test)]
    #[serde(skip)]
    pub(super) poisoned: bool,
}

const _: () = assert!(size_of::<Schedule>() == LINE_BYTES);

impl Schedule {
    pub(super) fn new(id: u32, now: Tick, settings: &Settings) -> Self {
        // A hash of the id spreads the snapshots of players that join together.
        let stagger = Tick::from(id.wrapping_mul(0x9e37_79b1) >> 16) % settings.sync_interval;
        Self {
            sent_until: now,
            flushed_at: now,
            interest_updated_at: now,
            // Entities that joined after the grid was built can't enter with the first snapshot.
            update_interest_until: now + 1,
            snapshot_due: now + settings.sync_interval / 2 + stagger / 2,
            snapshot_allowed: NEVER,
            snapshot_sent_at: now,
            removals_seen: Removals::default(),
            changed_since_snapshot: false,
            left_pending: false,
            #[cfg(test)]
            poisoned: false,
        }
    }

    /// Decides what a viewer with these regions needs now. A round that finds it up to date records that.
    #[inline]
    pub(super) fn next(
        &mut self,
        occasion: Occasion,
        world: &World,
        regions: Regions,
        settings: &Settings,
    ) -> Work {
        let (now, interval) = (world.tick(), settings.flush_interval);
        let pause = if occasion == Occasion::Round { interval } else { (interval / 2).max(1) };
        if now < self.flushed_at + pause {
            return Work::Wait(self.flushed_at + pause);
        }
        if !self.changed_since_snapshot && self.snapshot_due < now {
            // Skips the intervals in which nothing changed.
            self.snapshot_due += (now - self.snapshot_due).next_multiple_of(settings.sync_interval);
        }
        let age = now - self.interest_updated_at;
        let is_update_due = match occasion {
            // Flushes don't align with the interest interval, so the flush nearest to its end makes the update.
            Occasion::Round => age + interval / 2 >= settings.interest_interval,
            // Rounds make most updates. A viewer whose flushes are all piggybacked gets one after twice the interval.
            Occasion::Ack => age >= 2 * settings.interest_interval,
        };
        let may_have_changes = age > settings.regions_ttl || self.unsent(world).may_have_change_in(regions);
        if is_update_due && (may_have_changes || self.needs_interest_update(world, regions)) {
            let is_snapshot_due = now >= self.snapshot_at();
            return Work::Flush(if is_snapshot_due {
                FlushKind::Snapshot
            } else {
                FlushKind::InterestUpdate
            });
        }
        if may_have_changes {
            return Work::Flush(FlushKind::Delta);
        }
        if occasion == Occasion::Round {
            self.sent_until = now;
            self.interest_updated_at = if is_update_due { now } else { self.interest_updated_at };
        }
        Work::UpToDate
    }

    /// Returns whether an interest update may change anything even if no member changed.
    fn needs_interest_update(&self, world: &World, regions: Regions) -> bool {
        self.interest_updated_at < self.update_interest_until
            || world.changes_since(self.interest_updated_at).may_have_movement_in(regions)
            || (self.changed_since_snapshot && world.tick() >= self.snapshot_at())
    }

    /// Returns the tick from which a snapshot is due and allowed, or [`NEVER`].
    fn snapshot_at(&self) -> Tick {
        self.snapshot_due.max(self.snapshot_allowed)
    }

    /// Returns the mask that decides whether flush rounds skip the viewer.
    pub(super) fn interest_mask(&self, regions: Regions) -> InterestMask {
        let quiet_until = if self.interest_updated_at < self.update_interest_until {
            0
        } else if self.changed_since_snapshot {
            self.snapshot_at()
        } else {
            NEVER
        };
        InterestMask { regions, since: self.sent_until.min(self.interest_updated_at), quiet_until }
    }

    /// Returns the changes that the viewer has not been sent.
    pub(super) fn unsent<'a>(&self, world: &'a World) -> ChangesSince<'a> {
        world.changes_since(self.sent_until)
    }

    pub(super) fn since_snapshot<'a>(&self, world: &'a World) -> ChangesSince<'a> {
        world.changes_since(self.snapshot_sent_at)
    }

    pub(super) fn interest_updated_at(&self) -> Tick {
        self.interest_updated_at
    }

    /// Returns whether the last flush with content is older than this tick.
    pub(super) fn is_flushed_before(&self, tick: Tick) -> bool {
        self.flushed_at < tick
    }

    /// Returns whether a member may have been removed from the world without a LEFT.
    pub(super) fn may_have_left_pending(&self, world: &World) -> bool {
        self.left_pending || self.removals_seen != world.removals()
    }

    /// Records whether a LEFT is pending for any member, as of now.
    pub(super) fn set_left_pending(&mut self, left_pending: bool, world: &World) {
        (self.left_pending, self.removals_seen) = (left_pending, world.removals());
    }

    /// Requests an interest update, for a new viewport.
    pub(super) fn request_interest_update(&mut self) {
        self.update_interest_until = NEVER;
    }

    /// Requests another interest update after the one at `now`, even without movement: an entity may not enter yet.
    pub(super) fn request_later_update(&mut self, now: Tick) {
        self.update_interest_until = self.update_interest_until.max(now + 1);
    }

    /// Records an interest update. The client must load the sprite of the first entity before it applies a snapshot.
    pub(super) fn interest_updated(&mut self, has_entered: bool, now: Tick, settings: &Settings) {
        if has_entered {
            self.update_interest_until = now + settings.dwell + 1;
            if self.snapshot_allowed == NEVER {
                self.snapshot_allowed = now + settings.first_sprite_load;
            }
        } else if self.update_interest_until == NEVER {
            self.update_interest_until = now + settings.dwell;
        }
        self.interest_updated_at = now;
    }

    /// Returns whether the client may be loading its first sprite. It then ignores changes, and no snapshot may heal that yet.
    pub(super) fn may_load_first_sprite(&self, now: Tick) -> bool {
        now < self.snapshot_allowed && self.snapshot_allowed != NEVER
    }

    /// Returns whether all members get a keyframe with the interest update at `now`, given [`Self::may_load_first_sprite`].
    pub(super) fn repeats_keyframes(&self, now: Tick, settings: &Settings) -> bool {
        let periods_left = |tick: Tick| (self.snapshot_allowed - 1 - tick) / settings.keyframe_repeat;
        periods_left(now) != periods_left(self.interest_updated_at)
    }

    /// Records a flush, with content or without.
    pub(super) fn flushed(&mut self, has_content: bool, now: Tick) {
        self.sent_until = now;
        if has_content {
            self.flushed_at = now;
        }
    }

    /// Lets the interval after a piggybacked flush begin with the coming tick. Otherwise a client that moves in step with
    /// the interval is flushed just before each ack, which then has nothing to piggyback.
    pub(super) fn piggybacked(&mut self, now: Tick) {
        if self.flushed_at == now {
            self.flushed_at = now + 1;
        }
    }

    /// Starts the next sync interval. Without a change since the last snapshot, none is written.
    pub(super) fn snapshot_handled(&mut self, is_written: bool, now: Tick, settings: &Settings) {
        self.snapshot_due = now + settings.sync_interval;
        if is_written {
            self.snapshot_sent_at = now;
        }
    }

    /// Brings the next snapshot forward after a jump of a member. Ids spread the snapshots of all its viewers over ticks.
    pub(super) fn jumped(&mut self, viewer_id: u32, now: Tick, settings: &Settings) {
        let stagger = Tick::from(viewer_id) % (settings.jump_sync / 2).max(1);
        let earliest = (now + stagger).max(self.snapshot_sent_at + settings.jump_sync_pause);
        self.snapshot_due = self.snapshot_due.min(earliest);
    }

    /// Returns the least age of an entity that entered before the last flush with content.
    pub(super) fn age_before_flush(&self, now: Tick) -> Tick {
        // The flush was in this tick, or in the one before if it was piggybacked.
        now + 2 - self.flushed_at
    }

    /// Records that the client has only now received the last flush. With `has_entered`, that flush let entities enter, and
    /// their dwell times restart.
    pub(super) fn backlog_drained(&mut self, has_entered: bool, now: Tick, settings: &Settings) {
        if has_entered {
            self.update_interest_until = self.update_interest_until.max(now + settings.dwell + 1);
        }
        if self.snapshot_allowed != NEVER
            && self.snapshot_allowed + 1 >= self.flushed_at + settings.first_sprite_load
        {
            // The frame of the first entity that entered was part of the backlog.
            self.snapshot_allowed = now + settings.first_sprite_load;
        }
    }
}

/// Decides from 24 bytes whether a flush can be skipped. The mask of each of 10,000 viewers is tested 20 times a second in
/// an idle world, where a cache miss on the viewer itself would dominate.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct InterestMask {
    /// Regions whose changes and movements matter to the viewer.
    regions: Regions,
    /// No relevant change happened up to this tick.
    since: Tick,
    /// From this tick on the viewer needs a flush even without a change.
    quiet_until: Tick,
}

impl InterestMask {
    /// Mask of a slot without a viewer; always quiet.
    pub(super) const NO_VIEWER: Self = Self { regions: 0, since: 0, quiet_until: NEVER };

    /// Returns whether nothing needs to be sent now. If so, records that.
    pub(super) fn is_quiet(&mut self, world: &World) -> bool {
        let (now, changes) = (world.tick(), world.changes_since(self.since));
        let is_quiet = now < self.quiet_until
            && !changes.may_have_movement_in(self.regions)
            && !changes.may_have_change_in(self.regions);
        if is_quiet {
            self.since = now;
        }
        is_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::changes::ALL_REGIONS;
    use crate::world::testing::world_of;
    use crate::world::{Input, Pace};
    use proptest::prelude::*;

    proptest! {
        /// Between two occasions happens one event, selected by a number, with a value.
        #[test]
        fn every_decision_keeps_the_invariants(
            steps in proptest::collection::vec((0u8..16, 1u64..60, 1u32..20, any::<[bool; 3]>()), 1..200),
        ) {
            let mut settings = Settings::new(Pace::new(60, 4), 128, 50, 5, 1000);
            let (mut world, mut schedule) = (world_of(&[(1000, 1000)]), Schedule::new(1001, 0, &settings));
            let (mut flushed_at, mut changed_at, mut snapshot_due, mut snapshot_allowed) = (0, 0, 0, NEVER);
            for (event, value, ticks, [is_round, has_entered, has_content]) in steps {
                let now = world.tick();
                match event {
                    0 => settings.flush_interval = 1 + value % 10,
                    1 => settings.interest_interval = value,
                    2 => settings.sync_interval = 10 * value,
                    3 => schedule.request_interest_update(),
                    4 => schedule.backlog_drained(has_entered, now, &settings),
                    5 => {
                        schedule.jumped(1001, now, &settings);
                        snapshot_due = snapshot_due.min(schedule.snapshot_sent_at + settings.jump_sync_pause);
                    }
                    6..10 => {
                        world.apply(0, Input::Face { right: !world.is_facing_right(0) });
                        changed_at = now + 1;
                    }
                    _ => {}
                }
                world.step(ticks);
                let (now, sent_until) = (world.tick(), schedule.sent_until);
                let age = now - schedule.interest_updated_at;
                let is_quiet = age <= settings.regions_ttl && schedule.interest_mask(ALL_REGIONS).is_quiet(&world);
                let (occasion, pause) = if is_round {
                    (Occasion::Round, settings.flush_interval)
                } else {
                    (Occasion::Ack, (settings.flush_interval / 2).max(1))
                };
                let work = schedule.next(occasion, &world, ALL_REGIONS, &settings);
                prop_assert_eq!(matches!(work, Work::Wait(_)), now < flushed_at + pause);
                let kind = match work {
                    Work::Wait(tick) => {
                        prop_assert_eq!(tick, flushed_at + pause);
                        continue;
                    }
                    Work::UpToDate => {
                        prop_assert!(changed_at <= sent_until, "a change is still to be sent");
                        continue;
                    }
                    Work::Flush(kind) => kind,
                };
                prop_assert!(!is_quiet);
                prop_assert!(kind != FlushKind::Delta || age < 2 * settings.interest_interval);
                if kind == FlushKind::Snapshot {
                    prop_assert!(now >= snapshot_due && now >= snapshot_allowed);
                    schedule.snapshot_handled(has_content, now, &settings);
                    snapshot_due = now + settings.sync_interval;
                }
                if kind != FlushKind::Delta {
                    schedule.interest_updated(has_entered, now, &settings);
                    if has_entered {
                        snapshot_allowed = snapshot_allowed.min(now + settings.first_sprite_load);
                    }
                }
                schedule.changed_since_snapshot = has_content;
                schedule.flushed(has_content, now);
                if has_content {
                    flushed_at = if is_round { now } else { now + 1 };
                }
                if !is_round {
                    schedule.piggybacked(now);
                }
            }
        }
    }
}
