//! All viewers, and who of them is due in this tick.

use super::serve::{Frames, Tally, serve, welcome};
use super::visibility::Scratch;
use super::{Scene, Settings, Turn, Viewer};
use crate::game::Tick;

/// The viewers by slot of their player.
#[derive(Debug)]
pub struct Views {
    viewers: Vec<Option<Box<Viewer>>>,
    settings: Settings,
    scratch: Scratch,
    /// Sum over all viewers of the players they see.
    visible_total: usize,
    /// Rounds begun. Who is due follows from it and not from the tick, so that nobody's turn is always the one that
    /// an overloaded server has no time for.
    round: u64,
    due: Due,
}

/// Whose turn comes next in the round under way: every `interval`-th slot.
#[derive(Debug, Clone, Copy)]
struct Due {
    next_slot: usize,
    interval: Tick,
}

/// A viewer with something to be told, taken out of [`Views`] for the fan-out.
pub(super) type Assignment = (Box<Viewer>, Turn);

impl Views {
    /// No viewers.
    pub fn new(settings: Settings) -> Self {
        Self {
            viewers: Vec::new(),
            settings,
            scratch: Scratch::default(),
            visible_total: 0,
            round: 0,
            due: Due { next_slot: usize::MAX, interval: 1 },
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

    /// A new player's view; its first frames are appended to `out`.
    ///
    /// # Panics
    /// When the slot is vacant in the world, or has a viewer already.
    pub fn join(&mut self, scene: &Scene, slot: u32, out: &mut Vec<u8>, tally: &mut Tally) {
        let id = scene.world.id(slot).expect("a viewer is a player first");
        let mut viewer = Box::new(Viewer::new(slot, id, scene.world.tick(), &self.settings));
        let mut frames = Frames { out, tally };
        welcome(&mut viewer, scene, &self.settings, &mut self.scratch, &mut frames);
        if self.viewers.len() <= slot as usize {
            self.viewers.resize_with(slot as usize + 1, || None);
        }
        self.visible_total += viewer.visible.len();
        let before = self.viewers[slot as usize].replace(viewer);
        assert!(before.is_none(), "slot {slot} has a viewer already");
    }

    /// Forgets a viewer; its player leaves the world by itself.
    pub fn leave(&mut self, slot: u32) {
        if let Some(viewer) = self.viewers[slot as usize].take() {
            self.visible_total -= viewer.visible.len();
        }
    }

    /// The rectangle a client says it shows, full width and height in units.
    pub fn set_viewport(&mut self, scene: &Scene, slot: u32, width: u16, height: u16) {
        if let Some(viewer) = self.viewers[slot as usize].as_deref_mut() {
            viewer.set_viewport(width, height, &scene.world);
        }
    }

    /// Begins a round: the turn of every viewer whose slot matches it.
    ///
    /// Every flush interval each viewer has one turn, so that the writes of all viewers spread evenly over the ticks;
    /// every few turns one is a look.
    pub fn begin_round(&mut self) {
        self.round += 1;
        let interval = self.settings.flush_interval;
        self.due = Due { next_slot: (self.round % interval) as usize, interval };
    }

    /// Whether everybody whose turn this round is has had it.
    pub fn is_round_over(&self) -> bool {
        self.due.next_slot >= self.viewers.len()
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
        let now = scene.world.tick();
        while assignments.len() < most && !self.is_round_over() {
            let slot = self.due.next_slot;
            self.due.next_slot += self.due.interval as usize;
            let turn = self.turn_of(slot);
            let Some(viewer) = self.viewers[slot].as_deref_mut() else { continue };
            let changed = viewer.has_changes(&scene.world, &self.settings);
            let looks = turn == Turn::Look && (changed || viewer.must_look(&scene.world, &self.settings));
            if !changed && !looks {
                viewer.pass(turn, now, &self.settings);
                continue;
            }
            // An ack carried the changes lately; the next turn is soon enough.
            let is_early = now - viewer.flushed < self.due.interval;
            if (looks || !is_early) && can_be_written(slot as u32) {
                let viewer = self.viewers[slot].take().expect("looked at above");
                self.visible_total -= viewer.visible.len();
                assignments.push((viewer, if looks { Turn::Look } else { Turn::Changes }));
            }
        }
    }

    fn turn_of(&self, slot: usize) -> Turn {
        let order = slot as u64 / self.due.interval + self.round / self.due.interval;
        if order.is_multiple_of(self.settings.flushes_per_look) { Turn::Look } else { Turn::Changes }
    }

    /// Puts a viewer back after its turn.
    pub(super) fn put_back(&mut self, viewer: Box<Viewer>) {
        self.visible_total += viewer.visible.len();
        let slot = viewer.slot as usize;
        self.viewers[slot] = Some(viewer);
    }

    /// Lets a viewer's pending changes ride along with its acks, when its last flush is old enough.
    pub fn ride(&mut self, scene: &Scene, slot: u32, out: &mut Vec<u8>, tally: &mut Tally) {
        let Some(viewer) = self.viewers[slot as usize].as_deref_mut() else { return };
        let age = scene.world.tick() - viewer.flushed;
        if age < (self.settings.flush_interval / 2).max(1)
            || !viewer.has_changes(&scene.world, &self.settings)
        {
            return;
        }
        self.visible_total -= viewer.visible.len();
        let mut frames = Frames { out, tally };
        serve(viewer, scene, &self.settings, Turn::Changes, &mut self.scratch, &mut frames);
        self.visible_total += viewer.visible.len();
    }

    #[cfg(test)]
    pub(crate) fn viewer_mut(&mut self, slot: u32) -> &mut Viewer {
        self.viewers[slot as usize].as_deref_mut().expect("a viewer in this slot")
    }
}
