//! All viewers, and who of them is due in this tick.

use super::flush::{write_flush, write_initial_snapshot};
use super::frames::{FrameCounts, Frames};
use super::grid::Rect;
use super::interest::Scratch;
use super::interest_mask::InterestMask;
use super::timer_wheel::{Smoothing, TimerWheel};
use super::{FlushKind, Scene, Settings, Viewer};
use crate::prefetch::prefetch;
use crate::world::{Position, Tick, World};

/// The viewers by slot of their player.
#[derive(Debug)]
pub struct Viewers {
    viewers: Vec<Option<Box<Viewer>>>,
    /// By slot as well, what tells whether that viewer must be looked at.
    masks: Vec<InterestMask>,
    settings: Settings,
    scratch: Scratch,
    /// Sum over all viewers of the players they see.
    visible_total: usize,
    /// How many there are.
    count: usize,
    /// When their next turns are.
    wheel: TimerWheel,
    /// Slots that a round is made of.
    due: Vec<u32>,
    /// Whose turn it is in the round under way, the last one next.
    round: Vec<RoundEntry>,
    /// The tick in which a viewer was served last by a round.
    round_flushed_at: Tick,
}

/// A viewer with something to be told, taken out of [`Viewers`] for the fan-out.
pub(super) type Assignment = (Box<Viewer>, FlushKind);

/// A slot of a round, with its place in it packed before it.
///
/// Viewers in bands of the world follow one another, from left to right: those who stand together see the same players, whose
/// data is still near the processor then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RoundEntry(u64);

/// How many outlooks before its own one is called near the processor.
const MASKS_AHEAD: usize = 8;

/// How high a band is, in units, as a power of two.
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
    /// No viewers.
    pub fn new(settings: Settings) -> Self {
        Self {
            viewers: Vec::new(),
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

    /// The measures in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the measures; takes effect with everybody's next turn.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Sum over all viewers of the players they see: what a server without interest management would send per tick.
    pub fn visible_total(&self) -> usize {
        self.visible_total
    }

    /// The viewer in this slot.
    pub fn viewer(&self, slot: u32) -> Option<&Viewer> {
        self.viewers.get(slot as usize)?.as_deref()
    }

    /// A new player's view, of a rectangle so wide and high if that is known; its first frames are appended to `out`.
    ///
    /// # Panics
    /// When the slot is vacant in the world, or has a viewer already.
    pub fn join(
        &mut self,
        scene: &Scene,
        slot: u32,
        viewport: Option<(u16, u16)>,
        out: &mut Vec<u8>,
        counts: &mut FrameCounts,
    ) {
        let id = scene.world.id(slot).expect("a viewer is a player first");
        let mut viewer = Box::new(Viewer::new(slot, id, scene.world.tick(), &self.settings));
        if let Some((width, height)) = viewport {
            viewer.set_viewport(width, height, &scene.world);
        }
        let mut frames = Frames { world: &scene.world, out, counts };
        write_initial_snapshot(&mut viewer, scene, &self.settings, &mut self.scratch, &mut frames);
        if self.viewers.len() <= slot as usize {
            self.viewers.resize_with(slot as usize + 1, || None);
            self.masks.resize(slot as usize + 1, InterestMask::NO_VIEWER);
        }
        // Spread over an interval: who joins together must not always be served together.
        let stagger = Tick::from(slot) % self.settings.flush_interval;
        self.wheel.schedule(slot, scene.world.tick() + 1 + stagger);
        self.count += 1;
        self.visible_total += viewer.interest_set.len();
        self.masks[slot as usize] = viewer.interest_mask();
        let before = self.viewers[slot as usize].replace(viewer);
        assert!(before.is_none(), "slot {slot} has a viewer already");
    }

    /// Forgets a viewer; its player leaves the world by itself.
    pub fn leave(&mut self, slot: u32) {
        if let Some(viewer) = self.viewers[slot as usize].take() {
            self.visible_total -= viewer.interest_set.len();
            self.masks[slot as usize] = InterestMask::NO_VIEWER;
            self.count -= 1;
            self.wheel.cancel(slot);
        }
    }

    /// Where somebody is in view, for each viewer.
    pub fn leave_rects<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Rect> + 'a {
        self.viewers.iter().flatten().map(|viewer| viewer.enter_and_leave_rects(world).1)
    }

    /// The rectangle a client says it shows, full width and height in units.
    pub fn set_viewport(&mut self, scene: &Scene, slot: u32, width: u16, height: u16) {
        if let Some(viewer) = self.viewers[slot as usize].as_deref_mut() {
            viewer.set_viewport(width, height, &scene.world);
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// A client has only now been handed what was written for it up to `delay_ms` ago.
    pub fn backlog_drained(&mut self, scene: &Scene, slot: u32, delay_ms: u64) {
        let (now, rules) = (scene.world.tick(), scene.world.rules());
        let delay = rules.pace.ticks(u32::try_from(delay_ms).unwrap_or(u32::MAX));
        if let Some(viewer) = self.viewers[slot as usize].as_deref_mut() {
            viewer.backlog_drained(delay, now, &self.settings);
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// Begins a round: the turn of every viewer that was told something a flush interval ago, or would have been.
    ///
    /// So each viewer is told of changes in time, with the fewest writes; and since acks carry changes as well, whenever
    /// it is that a client moves, turns spread by themselves.
    pub fn begin_flush_round(&mut self, scene: &Scene) {
        let (now, dirty) = (scene.world.tick(), scene.world.dirty_regions());
        self.wheel.advance(now, &mut self.due);
        for (at, &slot) in self.due.iter().enumerate() {
            if let Some(&ahead) = self.due.get(at + MASKS_AHEAD) {
                prefetch(&self.masks[ahead as usize]);
            }
            if self.masks[slot as usize].is_quiet(dirty, now) {
                // It costs next to nothing, however many there are.
                self.wheel.schedule(slot, now + self.settings.flush_interval);
            } else {
                self.round.push(RoundEntry::new(scene.world.position(slot), slot));
            }
        }
        self.due.clear();
        self.round.sort_unstable();
    }

    /// What keeps rounds about equally long. A round of twice as many takes longer than its tick, delays the next one, which is
    /// larger for it, and they would all come together again an interval later.
    fn smoothing(&self) -> Smoothing {
        let interval = self.settings.flush_interval;
        let share = self.count.div_ceil(interval as usize);
        Smoothing { target_len: share + share / 8, early_max: interval / 3 }
    }

    /// Up to `most` of those whose turn comes next in this round.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = u32> {
        self.round.iter().rev().take(most).map(|entry| entry.slot())
    }

    /// Whether everybody whose turn this round is has had it.
    pub fn is_flush_round_over(&self) -> bool {
        self.round.is_empty()
    }

    /// Takes out up to `most` viewers whose turn it is and who have something to be told. `can_be_written` says whether a
    /// viewer's socket would take the bytes; who can't be written to stays where it is and is served later.
    pub(super) fn take_due(
        &mut self,
        scene: &Scene,
        most: usize,
        assignments: &mut Vec<Assignment>,
        can_be_written: &mut dyn FnMut(u32) -> bool,
    ) {
        let (now, interval) = (scene.world.tick(), self.settings.flush_interval);
        let smoothing = self.smoothing();
        self.upcoming(most).for_each(|slot| self.prefetch(slot));
        while assignments.len() < most {
            let Some(slot) = self.round.pop().map(RoundEntry::slot) else { return };
            let Some(viewer) = self.viewers[slot as usize].as_deref_mut() else { continue };
            let next = viewer.flushed_at + interval;
            if next > now {
                // An ack carried the changes lately.
                self.wheel.schedule_smoothed(slot, next, &smoothing);
                continue;
            }
            self.wheel.schedule_smoothed(slot, now + interval, &smoothing);
            viewer.skip_idle_snapshots(now, &self.settings);
            let due = viewer.due_in_flush_round(&self.settings, now);
            match viewer.needed(due, &scene.world, &self.settings) {
                None => {
                    viewer.skip(due, now);
                    self.masks[slot as usize] = viewer.interest_mask();
                }
                Some(kind) if can_be_written(slot) => {
                    let viewer = self.viewers[slot as usize].take().expect("looked at above");
                    self.visible_total -= viewer.interest_set.len();
                    self.round_flushed_at = now;
                    assignments.push((viewer, kind));
                }
                Some(_) => {}
            }
        }
    }

    /// Puts a viewer back after its turn.
    pub(super) fn put_back(&mut self, viewer: Box<Viewer>) {
        self.visible_total += viewer.interest_set.len();
        let slot = viewer.slot as usize;
        self.masks[slot] = viewer.interest_mask();
        self.viewers[slot] = Some(viewer);
    }

    /// Lets what a viewer is to be told ride along with its acks, when its last flush is old enough. While the frames of a
    /// round are being written, those of this viewer may be among them, which a rider must not overtake.
    pub fn piggyback(
        &mut self,
        scene: &Scene,
        slot: u32,
        round_is_written: bool,
        out: &mut Vec<u8>,
        counts: &mut FrameCounts,
    ) {
        let Some(viewer) = self.viewers[slot as usize].as_deref_mut() else { return };
        let now = scene.world.tick();
        if now.saturating_sub(viewer.flushed_at) < (self.settings.flush_interval / 2).max(1)
            || !(round_is_written || viewer.flushed_at < self.round_flushed_at)
        {
            return;
        }
        viewer.skip_idle_snapshots(now, &self.settings);
        let due = viewer.due_on_piggyback(&self.settings, now);
        if let Some(kind) = viewer.needed(due, &scene.world, &self.settings) {
            self.visible_total -= viewer.interest_set.len();
            let mut frames = Frames { world: &scene.world, out, counts };
            write_flush(viewer, scene, &self.settings, kind, &mut self.scratch, &mut frames);
            self.visible_total += viewer.interest_set.len();
            // The interval to the next flush begins with the tick that comes: a client that moves in step with the interval
            // would otherwise be flushed just before each of its acks, which then had nothing to carry.
            if viewer.flushed_at == now {
                viewer.flushed_at = now + 1;
            }
            self.masks[slot as usize] = viewer.interest_mask();
        }
    }

    /// Calls what a turn of this viewer reads near the processor.
    pub fn prefetch(&self, slot: u32) {
        if let Some(viewer) = self.viewer(slot) {
            viewer.prefetch();
        }
    }

    #[cfg(test)]
    pub(crate) fn viewer_mut(&mut self, slot: u32) -> &mut Viewer {
        self.viewers[slot as usize].as_deref_mut().expect("a viewer in this slot")
    }
}
