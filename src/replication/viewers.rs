//! All viewers, and the schedule of their flushes.

use super::flush::{write_flush, write_initial_snapshot, write_stops};
use super::frames::{FrameCounts, Frames};
use super::grid::Rect;
use super::interest::Scratch;
use super::schedule::{FlushKind, InterestMask, Occasion, Work};
use super::timer_wheel::{Smoothing, TimerWheel};
use super::{Scene, Settings, Viewer};
use crate::prefetch::prefetch;
use crate::world::{Position, Tick, World};
use serde::{Deserialize, Serialize};

/// All viewers, by the slot of their player.
#[derive(Debug, Serialize, Deserialize)]
pub struct Viewers {
    by_slot: Vec<Option<Box<Viewer>>>,
    /// Interest mask of each slot.
    masks: Vec<InterestMask>,
    settings: Settings,
    #[serde(skip)]
    scratch: Scratch,
    /// Sum of the sizes of all interest sets.
    visible_total: usize,
    count: usize,
    /// Tick of each viewer's next flush.
    wheel: TimerWheel,
    /// Slots due in this tick; empty between rounds.
    due: Vec<u32>,
    /// Viewers still due in the current flush round; the last one is next.
    round: Vec<RoundEntry>,
    /// Tick of the last flush of any viewer in a flush round.
    round_flushed_at: Tick,
}

/// A viewer with something to send, taken out of [`Viewers`] for the fan-out.
pub(super) type Assignment = (Box<Viewer>, FlushKind);

/// A slot in a flush round, with its sort key in the upper bits.
///
/// Viewers are sorted by horizontal bands of the world and, within a band, from left to right. Neighbors have
/// overlapping interest sets, so the entity states they read are still cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RoundEntry(u64);

/// Number of interest masks to prefetch ahead.
const MASKS_AHEAD: usize = 8;

/// Height of a band in units, as a power of two.
const BAND_HEIGHT_BITS: u32 = 7;

impl RoundEntry {
    fn new(position: Position, slot: u32) -> Self {
        let band = u64::from(position.y >> BAND_HEIGHT_BITS);
        Self(band << (u16::BITS + u32::BITS) | u64::from(position.x) << u32::BITS | u64::from(slot))
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }
}

impl Viewers {
    /// Returns an empty collection.
    pub fn new(settings: Settings) -> Self {
        Self {
            by_slot: Vec::new(),
            masks: Vec::new(),
            settings,
            scratch: Scratch::default(),
            visible_total: 0,
            count: 0,
            wheel: TimerWheel::default(),
            due: Vec::new(),
            round: Vec::new(),
            round_flushed_at: 0,
        }
    }

    /// Returns the current settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the settings for changes. A change applies to each viewer from its next flush on.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Returns the sum of all interest sets: the entities per tick that a server without deltas would send.
    pub fn visible_total(&self) -> usize {
        self.visible_total
    }

    /// Returns the viewer in this slot.
    pub fn viewer(&self, slot: u32) -> Option<&Viewer> {
        self.by_slot.get(slot as usize)?.as_deref()
    }

    /// Adds a viewer for a new player, with a viewport if known. Appends its first frames to `out`.
    ///
    /// # Panics
    /// If the slot is vacant in the world or already has a viewer.
    pub fn join(
        &mut self,
        scene: &Scene,
        slot: u32,
        viewport: Option<(u16, u16)>,
        out: &mut Vec<u8>,
        counts: &mut FrameCounts,
    ) {
        let id = scene.world.id(slot).expect("a player joins the world before it gets a viewer");
        let mut viewer = Box::new(Viewer::new(slot, id, scene.world.tick(), &self.settings));
        if let Some((width, height)) = viewport {
            viewer.set_viewport(width, height, &scene.world);
        }
        let mut frames = Frames { world: &scene.world, out, counts };
        write_initial_snapshot(&mut viewer, scene, &self.settings, &mut self.scratch, &mut frames);
        if self.by_slot.len() <= slot as usize {
            self.by_slot.resize_with(slot as usize + 1, || None);
            self.masks.resize(slot as usize + 1, InterestMask::NO_VIEWER);
        }
        // Spreads players that join together over one flush interval.
        let stagger = Tick::from(slot) % self.settings.flush_interval;
        self.wheel.schedule(slot, scene.world.tick() + 1 + stagger);
        self.count += 1;
        self.visible_total += viewer.interest_set.len();
        self.masks[slot as usize] = viewer.interest_mask();
        let previous = self.by_slot[slot as usize].replace(viewer);
        assert!(previous.is_none(), "slot {slot} has a viewer already");
    }

    /// Removes a viewer. The caller removes the player from the world.
    pub fn leave(&mut self, slot: u32) {
        if let Some(viewer) = self.by_slot[slot as usize].take() {
            self.visible_total -= viewer.interest_set.len();
            self.masks[slot as usize] = InterestMask::NO_VIEWER;
            self.count -= 1;
            self.wheel.cancel(slot);
        }
    }

    /// Iterates over the leave rectangles of all viewers, outside which no entity stays in an interest set.
    pub fn leave_rects<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Rect> + 'a {
        self.by_slot.iter().flatten().map(|viewer| viewer.enter_and_leave_rects(world).1)
    }

    /// Sets the viewport that a client reports: full width and height, in units.
    pub fn set_viewport(&mut self, scene: &Scene, slot: u32, width: u16, height: u16) {
        if let Some(viewer) = self.by_slot[slot as usize].as_deref_mut() {
            viewer.set_viewport(width, height, &scene.world);
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// Records that a client has only now received the last flush.
    pub fn backlog_drained(&mut self, scene: &Scene, slot: u32) {
        if let Some(viewer) = self.by_slot[slot as usize].as_deref_mut() {
            viewer.backlog_drained(scene.world.tick(), &self.settings);
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// Begins a flush round with the viewers whose last flush is a flush interval old.
    ///
    /// Each viewer gets its changes within the interval, with as few writes as possible. Acks piggyback
    /// deltas too; since clients move at different times, this spreads the flushes over ticks.
    pub fn begin_flush_round(&mut self, scene: &Scene) {
        let now = scene.world.tick();
        self.wheel.advance(now, &mut self.due);
        for (at, &slot) in self.due.iter().enumerate() {
            if let Some(&ahead) = self.due.get(at + MASKS_AHEAD) {
                prefetch(&self.masks[ahead as usize]);
            }
            if self.masks[slot as usize].is_quiet(&scene.world) {
                // A quiet viewer stays on the wheel at the cost of this mask test.
                self.wheel.schedule(slot, now + self.settings.flush_interval);
            } else {
                self.round.push(RoundEntry::new(scene.world.position(slot), slot));
            }
        }
        self.due.clear();
        self.round.sort_unstable();
    }

    /// Bounds that keep flush rounds about equally long.
    ///
    /// Without them, a round of twice the size takes longer than its tick and delays the next one, which
    /// grows too. One interval later, all these viewers would be due together again.
    fn smoothing(&self) -> Smoothing {
        let interval = self.settings.flush_interval;
        let share = self.count.div_ceil(interval as usize);
        Smoothing { target_len: share + share / 8, early_max: interval / 3 }
    }

    /// Returns up to `most` slots that are next in this round.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = u32> {
        self.round.iter().rev().take(most).map(|entry| entry.slot())
    }

    /// Returns whether every viewer of the current flush round has been handled.
    pub fn is_flush_round_over(&self) -> bool {
        self.round.is_empty()
    }

    /// Takes out up to `most` due viewers that have something to send. `can_be_written` returns whether a
    /// viewer's socket accepts bytes; if not, the viewer is skipped until its next interval.
    pub(super) fn take_due(
        &mut self,
        scene: &Scene,
        most: usize,
        assignments: &mut Vec<Assignment>,
        can_be_written: &mut dyn FnMut(u32) -> bool,
    ) {
        let now = scene.world.tick();
        let smoothing = self.smoothing();
        self.upcoming(most).for_each(|slot| self.prefetch(slot));
        while assignments.len() < most {
            let Some(slot) = self.round.pop().map(RoundEntry::slot) else { return };
            let Some(viewer) = self.by_slot[slot as usize].as_deref_mut() else { continue };
            let regions = viewer.regions;
            let work = viewer.schedule.next(Occasion::Round, &scene.world, regions, &self.settings);
            let wake = if let Work::Wait(tick) = work { tick } else { now + self.settings.flush_interval };
            self.wheel.schedule_smoothed(slot, wake, &smoothing);
            match work {
                Work::UpToDate => self.masks[slot as usize] = viewer.interest_mask(),
                Work::Flush(kind) if can_be_written(slot) => {
                    let viewer = self.by_slot[slot as usize].take().expect("borrowed above");
                    self.visible_total -= viewer.interest_set.len();
                    self.round_flushed_at = now;
                    assignments.push((viewer, kind));
                }
                // A delta has been piggybacked on an ack since, or the socket is full.
                Work::Wait(_) | Work::Flush(_) => {}
            }
        }
    }

    /// Puts a viewer back after its flush.
    pub(super) fn put_back(&mut self, viewer: Box<Viewer>) {
        self.visible_total += viewer.interest_set.len();
        let slot = viewer.slot as usize;
        self.masks[slot] = viewer.interest_mask();
        self.by_slot[slot] = Some(viewer);
    }

    /// Appends a delta to a viewer's acks if its last flush is old enough. While a round is being written, it
    /// may contain frames of this viewer that a piggybacked delta must not overtake.
    pub fn piggyback(
        &mut self,
        scene: &Scene,
        slot: u32,
        round_is_written: bool,
        out: &mut Vec<u8>,
        counts: &mut FrameCounts,
    ) {
        let Some(viewer) = self.by_slot[slot as usize].as_deref_mut() else { return };
        if !round_is_written && !viewer.schedule.is_flushed_before(self.round_flushed_at) {
            return;
        }
        let work = viewer.schedule.next(Occasion::Ack, &scene.world, viewer.regions, &self.settings);
        if let Work::Flush(kind) = work {
            self.visible_total -= viewer.interest_set.len();
            let mut frames = Frames { world: &scene.world, out, counts };
            write_flush(viewer, scene, &self.settings, kind, &mut self.scratch, &mut frames);
            self.visible_total += viewer.interest_set.len();
            viewer.schedule.piggybacked(scene.world.tick());
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// Appends a stop for each member that the viewer's client extrapolates, at most `max_visible`.
    pub fn stop_movers(&self, scene: &Scene, slot: u32, out: &mut Vec<u8>, counts: &mut FrameCounts) {
        if let Some(viewer) = self.viewer(slot) {
            write_stops(viewer, &mut Frames { world: &scene.world, out, counts });
        }
    }

    /// Prefetches the viewer in this slot.
    pub fn prefetch(&self, slot: u32) {
        if let Some(viewer) = self.viewer(slot) {
            viewer.prefetch();
        }
    }

    #[cfg(test)]
    pub(crate) fn viewer_mut(&mut self, slot: u32) -> &mut Viewer {
        self.by_slot[slot as usize].as_deref_mut().expect("the slot has a viewer")
    }
}
