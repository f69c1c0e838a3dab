//! The schedule of one viewer: what it has been sent, and when it is due for what.
//!
//! A viewer is flushed at two occasions: in flush rounds, in which the timer wheel names the viewers, and with an
//! ack. [`Schedule::next`] decides at both what the viewer gets. `now` is always the last closed tick.
//!
//! Invariants:
//!
//! * **Progress.** `sent_until`, `interest_updated_at` and `snapshot_sent_at` are at most `now` and never decrease;
//!   `flushed_at` is at most `now + 1`. Every change after `sent_until` in the viewer's regions is still to be sent.
//! * **Flush interval.** A round sends nothing within a flush interval of the last flush with content, an ack nothing
//!   within half of it. An interest update is not late by more than `Settings::interest_update_max` in all.
//! * **Snapshots.** A snapshot is sent in an interest update only, and never before `snapshot_due` and
//!   `snapshot_allowed`. Until the first entity enters, no snapshot is allowed.
//! * **Never late.** A viewer is in the timer wheel's bucket of [`Schedule::wake`] or in an earlier one. A viewer that
//!   wakes early waits again. A viewer that an [`InterestMask`] skips is one whose flush would have no content.
//! * **Settings.** Every decision reads the current intervals, so a changed setting applies from the next decision on.
//!   A tick that is already stored or on the wheel stays; [`Schedule::jumped`] alone moves `snapshot_due` forward.

use super::Settings;
use super::interest_mask::InterestMask;
use crate::prefetch::LINE_BYTES;
use crate::world::dirty_regions::Regions;
use crate::world::{Tick, World};

/// Content of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushKind {
    /// Changes of the members of the interest set.
    Delta,
    /// A delta with an interest update: members that enter or leave, and keyframes.
    InterestUpdate,
    /// An interest update, and a snapshot in place of its other frames if anything changed since the last one.
    Snapshot,
}

/// What a viewer needs at an [`Occasion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing before this tick.
    Wait(Tick),
    /// Nothing: the viewer has received everything. It is asked again after a flush interval.
    UpToDate,
    /// A flush, now.
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

/// No tick.
const NEVER: Tick = Tick::MAX;

/// The second cache line of a viewer.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Schedule {
    /// Changes up to and including this tick have been sent.
    sent_until: Tick,
    /// Tick of the last flush with content; the following tick if that flush was piggybacked between two ticks.
    flushed_at: Tick,
    /// Tick of the last interest update.
    interest_updated_at: Tick,
    /// While the last interest update is older than this tick, another one is needed even without movement: for
    /// members within their dwell time, or, with [`NEVER`], for a new viewport.
    update_interest_until: Tick,
    /// Tick in which the next snapshot is due.
    snapshot_due: Tick,
    /// Earliest tick for a snapshot; [`NEVER`] until the first entity enters.
    snapshot_allowed: Tick,
    /// Tick of the last snapshot.
    snapshot_sent_at: Tick,
    /// Lower 32 bits of [`World::removals`] when all members were last known to be in the world.
    removals_seen: u32,
    /// Whether anything in the interest set changed since the last snapshot.
    pub(super) changed_since_snapshot: bool,
    /// Whether a member is known to have been removed from the world without its LEFT having been sent.
    pub(super) left_pending: bool,
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
            update_interest_until: now,
            snapshot_due: now + settings.sync_interval / 2 + stagger / 2,
            snapshot_allowed: NEVER,
            snapshot_sent_at: now,
            removals_seen: 0,
            changed_since_snapshot: false,
            left_pending: false,
        }
    }

    /// Returns the tick up to which changes have been sent.
    pub(super) fn sent_until(&self) -> Tick {
        self.sent_until
    }

    /// Returns the tick of the last interest update.
    pub(super) fn interest_updated_at(&self) -> Tick {
        self.interest_updated_at
    }

    /// Returns the tick of the last snapshot.
    pub(super) fn snapshot_sent_at(&self) -> Tick {
        self.snapshot_sent_at
    }

    /// Returns whether the last flush with content is older than tick `tick`.
    pub(super) fn is_flushed_before(&self, tick: Tick) -> bool {
        self.flushed_at < tick
    }

    // ---- Decisions -----------------------------------------------------------------------------------------------

    /// Decides what a viewer with these regions needs now. A round that finds it up to date records that.
    pub(super) fn next(
        &mut self,
        occasion: Occasion,
        world: &World,
        regions: Regions,
        settings: &Settings,
    ) -> Work {
        let (now, interval) = (world.tick(), settings.flush_interval);
        let flush_due = self.flushed_at
            + match occasion {
                Occasion::Round => interval,
                Occasion::Ack => (interval / 2).max(1),
            };
        if now < flush_due {
            return Work::Wait(flush_due);
        }
        self.skip_idle_snapshots(now, settings);
        let update_age = now - self.interest_updated_at;
        let is_update_due = match occasion {
            // Flushes don't align with the interest interval, so the flush nearest to its end makes the update.
            Occasion::Round => update_age + interval / 2 >= settings.interest_interval,
            // Rounds make most updates. A viewer whose flushes are all piggybacked gets one after twice the interval.
            Occasion::Ack => update_age >= 2 * settings.interest_interval,
        };
        let are_regions_stale = update_age > settings.regions_ttl;
        let may_have_changes =
            are_regions_stale || world.dirty_regions().has_changed(regions, self.sent_until);
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

    /// Returns the tick in which a viewer with this work is asked again, at the latest.
    pub(super) fn wake(work: Work, now: Tick, settings: &Settings) -> Tick {
        if let Work::Wait(tick) = work { tick } else { now + settings.flush_interval }
    }

    /// Returns the mask that decides whether the viewer's next flush rounds skip it.
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

    /// Returns whether an interest update may change anything even if no member changed.
    fn needs_interest_update(&self, world: &World, regions: Regions) -> bool {
        self.interest_updated_at < self.update_interest_until
            || world.dirty_regions().has_moved(regions, self.interest_updated_at)
            || (self.changed_since_snapshot && world.tick() >= self.snapshot_at())
    }

    /// Returns the tick from which a snapshot is due and allowed, or [`NEVER`].
    fn snapshot_at(&self) -> Tick {
        self.snapshot_due.max(self.snapshot_allowed)
    }

    /// Moves the due tick of a snapshot past the intervals in which nothing changed.
    fn skip_idle_snapshots(&mut self, now: Tick, settings: &Settings) {
        if !self.changed_since_snapshot && self.snapshot_due < now {
            self.snapshot_due += (now - self.snapshot_due).next_multiple_of(settings.sync_interval);
        }
    }

    /// Returns whether a member may have been removed from the world without a LEFT.
    pub(super) fn may_have_left_pending(&self, world: &World) -> bool {
        self.left_pending || self.removals_seen != world.removals() as u32
    }

    // ---- Events --------------------------------------------------------------------------------------------------

    /// Requests an interest update, for a new viewport.
    pub(super) fn request_interest_update(&mut self) {
        self.update_interest_until = NEVER;
    }

    /// Requests another interest update after the first snapshot: entities that joined after the grid was built can't
    /// enter earlier.
    pub(super) fn first_snapshot_sent(&mut self, now: Tick) {
        self.update_interest_until = self.update_interest_until.max(now + 1);
    }

    /// Records an interest update, in which entities entered or not. The client loads the first one's sprite before it
    /// can apply a snapshot.
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

    /// Records whether a LEFT is pending for any member, as of now.
    pub(super) fn set_left_pending(&mut self, left_pending: bool, world: &World) {
        self.left_pending = left_pending;
        self.removals_seen = world.removals() as u32;
    }

    /// Brings the next snapshot forward after a jump of a member. All viewers nearby see the same jump; their ids
    /// spread their snapshots over ticks.
    pub(super) fn jumped(&mut self, viewer_id: u32, now: Tick, settings: &Settings) {
        let stagger = Tick::from(viewer_id) % (settings.jump_sync / 2).max(1);
        let earliest = (now + stagger).max(self.snapshot_sent_at + settings.jump_sync_pause);
        self.snapshot_due = self.snapshot_due.min(earliest);
    }

    /// Starts the next sync interval, whether the flush needs a snapshot or not.
    pub(super) fn snapshot_handled(&mut self, now: Tick, settings: &Settings) {
        self.snapshot_due = now + settings.sync_interval;
    }

    /// Records that a snapshot has been written.
    pub(super) fn snapshot_sent(&mut self, now: Tick) {
        self.snapshot_sent_at = now;
    }

    /// Records a flush, with content or without.
    pub(super) fn flushed(&mut self, has_content: bool, now: Tick) {
        self.sent_until = now;
        if has_content {
            self.flushed_at = now;
        }
    }

    /// Lets the flush interval after a piggybacked flush begin with the coming tick. Otherwise a client that moves in step
    /// with the interval is flushed just before each ack, which then has nothing to piggyback.
    pub(super) fn piggybacked(&mut self, now: Tick) {
        if self.flushed_at == now {
            self.flushed_at = now + 1;
        }
    }

    /// Records that the client has only now received data written up to `delay` ticks ago. With `has_entered`, that data
    /// let entities enter, and their dwell times restart.
    pub(super) fn backlog_drained(&mut self, has_entered: bool, delay: Tick, now: Tick, settings: &Settings) {
        if has_entered {
            self.update_interest_until = self.update_interest_until.max(now + settings.dwell + 1);
        }
        let allowed = now + settings.first_sprite_load;
        if self.snapshot_allowed != NEVER && self.snapshot_allowed + delay + 1 >= allowed {
            // The frame of the first entity that entered was part of the backlog.
            self.snapshot_allowed = allowed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::dirty_regions::ALL_REGIONS;
    use crate::world::testing::world_of;
    use crate::world::{Input, Pace};
    use proptest::prelude::*;

    /// An event before an occasion.
    #[derive(Debug, Clone)]
    enum Event {
        Change,
        Jump,
        NewViewport,
        BacklogDrained(Tick),
        FlushInterval(Tick),
        InterestInterval(Tick),
        SyncInterval(Tick),
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => Just(Event::Change),
            1 => Just(Event::Jump),
            1 => Just(Event::NewViewport),
            1 => (0u64..30).prop_map(Event::BacklogDrained),
            1 => (1u64..10).prop_map(Event::FlushInterval),
            1 => (1u64..60).prop_map(Event::InterestInterval),
            1 => (1u64..300).prop_map(Event::SyncInterval),
        ]
    }

    proptest! {
        #[test]
        fn every_decision_keeps_the_invariants(
            steps in proptest::collection::vec(
                (proptest::option::of(events()), 0u32..20, any::<bool>(), any::<bool>(), any::<bool>()), 1..200,
            ),
        ) {
            let (mut settings, mut world) = (Settings::new(Pace::new(60, 4), 128, 50, 5, 1000), world_of(&[(1000, 1000)]));
            let mut schedule = Schedule::new(1001, 0, &settings);
            let (mut content_at, mut changed_at, mut snapshot_at, mut allowed_at) = (0, 0, 0, NEVER);
            for (event, ticks, is_round, has_entered, is_changed) in steps {
                let before = world.tick();
                match event {
                    Some(Event::Change) => {
                        world.apply(0, Input::Face { right: !world.is_facing_right(0) });
                        changed_at = before + 1;
                    }
                    Some(Event::Jump) => {
                        schedule.jumped(1001, before, &settings);
                        snapshot_at = snapshot_at.min(schedule.snapshot_sent_at + settings.jump_sync_pause);
                    }
                    Some(Event::NewViewport) => schedule.request_interest_update(),
                    Some(Event::BacklogDrained(delay)) => {
                        schedule.backlog_drained(has_entered, delay, before, &settings);
                    }
                    Some(Event::FlushInterval(interval)) => settings.flush_interval = interval,
                    Some(Event::InterestInterval(interval)) => settings.interest_interval = interval,
                    Some(Event::SyncInterval(interval)) => settings.sync_interval = interval,
                    None => {}
                }
                world.step(ticks + 1);
                let (now, sent_until) = (world.tick(), schedule.sent_until);
                let update_age = now - schedule.interest_updated_at;
                let occasion = if is_round { Occasion::Round } else { Occasion::Ack };
                let pause = if is_round { settings.flush_interval } else { (settings.flush_interval / 2).max(1) };
                let mut mask = schedule.interest_mask(ALL_REGIONS);
                let is_quiet = update_age <= settings.regions_ttl && mask.is_quiet(world.dirty_regions(), now);
                match schedule.next(occasion, &world, ALL_REGIONS, &settings) {
                    Work::Wait(tick) => prop_assert!(now < tick && tick == content_at + pause),
                    Work::UpToDate => prop_assert!(now >= content_at + pause && changed_at <= sent_until),
                    Work::Flush(kind) => {
                        prop_assert!(now >= content_at + pause && !is_quiet);
                        let is_update_overdue = update_age >= 2 * settings.interest_interval;
                        prop_assert!(kind != FlushKind::Delta || !is_update_overdue);
                        if kind == FlushKind::Snapshot {
                            prop_assert!(now >= snapshot_at && now >= allowed_at);
                            schedule.snapshot_handled(now, &settings);
                            schedule.snapshot_sent(now);
                            snapshot_at = now + settings.sync_interval;
                        }
                        if kind != FlushKind::Delta {
                            schedule.interest_updated(has_entered, now, &settings);
                            allowed_at = allowed_at.min(if has_entered { now + settings.first_sprite_load } else { NEVER });
                        }
                        schedule.changed_since_snapshot = is_changed;
                        schedule.flushed(is_changed, now);
                        content_at = if is_changed { now } else { content_at };
                        if !is_round && is_changed {
                            schedule.piggybacked(now);
                            content_at = now + 1;
                        }
                    }
                }
            }
        }
    }
}
