//! Clients leave in every way there is and come back at once: a few all the time, or many at the same instant.

use std::collections::VecDeque;

use game_client::ClientMessage;

use super::Load;
use crate::client::Phase;
use crate::ids::Ids;
use crate::measure::{Pending, Times};
use crate::options::Options;
use crate::os::reset_when_closed;
use crate::schedule::Pace;

/// Most clients that leave in one turn, so that a late generator does not make a burst of what was to be spread.
const LEAVES_PER_TURN: usize = 4;

/// Most clients of a storm that begin to come back in one turn: what arrives meanwhile must be read.
const RETURNS_PER_TURN: usize = 32;

/// Clients looked at to find one that may leave.
const TRIES: usize = 32;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// With a close frame.
    Close,
    /// With LEAVE.
    Leave,
    /// Without a word.
    HangUp,
    /// With a reset.
    Reset,
    /// Right after it has asked for the upgrade, before it reads anything.
    Vanish,
    /// With a reset, together with many others.
    Storm,
}

impl Leaving {
    /// All kinds, in the order of their counts.
    pub const ALL: [Leaving; 6] =
        [Leaving::Close, Leaving::Leave, Leaving::HangUp, Leaving::Reset, Leaving::Vanish, Leaving::Storm];

    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Leaving::Close => "close",
            Leaving::Leave => "leave",
            Leaving::HangUp => "hang up",
            Leaving::Reset => "reset",
            Leaving::Vanish => "vanish",
            Leaving::Storm => "storm",
        }
    }
}

/// Who left and came back, and how that went.
#[derive(Debug)]
pub struct Churn {
    /// When clients leave.
    pace: Pace,
    /// Clients that left, by how.
    pub left: [u64; Leaving::ALL.len()],
    /// From the begin of a connection to its first full state, of those who come back.
    pub connect: Times,
    /// All ids of the run.
    pub ids: Ids,
    /// Those killed at once.
    pub storm: Storm,
}

/// Many clients killed at the same instant.
#[derive(Debug, Default)]
pub struct Storm {
    /// When, if it is still to come.
    due_ns: Option<u64>,
    /// When it broke.
    pub broke_ns: Option<u64>,
    /// When the last of them was reset.
    pub reset_ns: u64,
    /// When all were back.
    pub back_ns: Option<u64>,
    /// Those who have not begun to come back.
    waiting: VecDeque<usize>,
    /// How many were killed.
    pub killed: usize,
    /// How many are back.
    pub returned: usize,
    /// From the moment a MOVE was to be sent to its answer, of those who stayed, until all the others were back.
    pub ack_of_stayed: Times,
}

impl Churn {
    /// Nobody leaves before [`Churn::begin`].
    pub fn new() -> Churn {
        Churn {
            pace: Pace::new(0, 0.0),
            left: [0; Leaving::ALL.len()],
            connect: Times::default(),
            ids: Ids::default(),
            storm: Storm::default(),
        }
    }

    /// From now on, so many leave a second.
    pub fn begin(&mut self, now_ns: u64, per_s: f64) {
        self.pace = Pace::new(now_ns, per_s);
    }

    /// The measured window begins: a storm may come.
    pub fn await_storm(&mut self, window_from_ns: u64, options: &Options) {
        self.storm.due_ns = options.storm_at.map(|at| window_from_ns + at.as_nanos() as u64);
    }

    /// Nobody leaves any more.
    pub fn stop(&mut self) {
        self.pace = Pace::new(u64::MAX, 0.0);
        self.storm.due_ns = None;
    }

    /// The next moment at which there is something to do.
    pub fn next_ns(&self) -> u64 {
        if !self.storm.waiting.is_empty() {
            return 0;
        }
        self.pace.next_ns().min(self.storm.due_ns.unwrap_or(u64::MAX))
    }

    /// Clients that left and were to come back.
    pub fn left_total(&self) -> u64 {
        self.left.iter().sum()
    }
}

impl Storm {
    /// Whether a MOVE was due while others had not come back.
    fn rages_at(&self, at_ns: u64) -> bool {
        self.broke_ns.is_some_and(|broke_ns| (broke_ns..self.back_ns.unwrap_or(u64::MAX)).contains(&at_ns))
    }

    /// Notes an answer to somebody who began to connect at `began_ns`.
    pub fn answered(&mut self, pending: &Pending, began_ns: u64, now_ns: u64) {
        if self.rages_at(pending.intended_ns) && self.broke_ns > Some(began_ns) {
            self.ack_of_stayed.record(now_ns.saturating_sub(pending.intended_ns));
        }
    }

    /// Notes that somebody has come in who began to connect at `began_ns` after it had left.
    pub fn came_back(&mut self, began_ns: u64, now_ns: u64) {
        if self.back_ns.is_none() && self.broke_ns.is_some_and(|broke_ns| began_ns >= broke_ns) {
            self.returned += 1;
            if self.returned == self.killed {
                self.back_ns = Some(now_ns);
            }
        }
    }
}

impl Load {
    /// Lets those leave whose moment has come, and those of a storm come back.
    pub(super) fn churn(&mut self) {
        for _ in 0..RETURNS_PER_TURN {
            let Some(index) = self.churn.storm.waiting.pop_front() else { break };
            self.begin(index, self.clock.now_ns());
        }
        if !self.stage.is_lively() {
            return;
        }
        for _ in 0..LEAVES_PER_TURN {
            if !self.churn.pace.take_due(self.clock.now_ns()) {
                break;
            }
            self.reconnect_somebody();
        }
        let now_ns = self.clock.now_ns();
        if self.churn.storm.due_ns.is_some_and(|due_ns| due_ns <= now_ns) {
            self.storm(now_ns);
        }
    }

    /// Some client that is no viewer leaves and comes back at once.
    fn reconnect_somebody(&mut self) {
        let may_leave = |load: &Load, index: usize| {
            let client = &load.clients[index];
            client.phase == Phase::Playing && client.watcher.is_none()
        };
        let count = self.clients.len() as u64;
        let found = (0..TRIES).find_map(|_| {
            let index = self.random.below(count) as usize;
            may_leave(self, index).then_some(index)
        });
        let Some(index) = found else { return };
        let leaving = Leaving::ALL[self.random.below(5) as usize];
        let now_ns = self.clock.now_ns();
        match leaving {
            Leaving::Close => self.say_goodbye(index),
            Leaving::Leave => self.send(index, &[ClientMessage::Leave], now_ns),
            Leaving::HangUp | Leaving::Vanish => {}
            Leaving::Reset | Leaving::Storm => self.reset(index),
        }
        // Somebody who is to vanish must leave first, which is a hang-up of its own; and the write may have failed.
        let counted = if leaving == Leaving::Vanish { Leaving::HangUp } else { leaving };
        self.leave(index, counted);
        self.clients[index].vanishes = leaving == Leaving::Vanish;
        self.begin(index, self.clock.now_ns());
    }

    /// Goes before it reads what its request is answered with, and comes back.
    pub(super) fn vanish(&mut self, index: usize) {
        if self.random.chance(0.5) {
            self.reset(index);
        }
        self.leave(index, Leaving::Vanish);
        // It counts among those that were to leave.
        self.churn.pace.take_early();
        self.clients[index].vanishes = false;
        self.begin(index, self.clock.now_ns());
    }

    /// Kills many at the same instant. They come back as fast as they can.
    fn storm(&mut self, now_ns: u64) {
        let (all, wanted) = (self.clients.len(), self.options.storm_clients);
        let is_hit = |index: usize| (index + 1) * wanted / all > index * wanted / all;
        let hit: VecDeque<usize> =
            (0..all).filter(|&index| is_hit(index) && self.clients[index].phase == Phase::Playing).collect();
        for &index in &hit {
            self.reset(index);
            self.leave(index, Leaving::Storm);
            if let Some(watcher) = self.clients[index].watcher {
                self.watch.restart(watcher);
            }
        }
        let reset_ns = self.clock.now_ns();
        let ack_of_stayed = Times::default();
        self.churn.storm = Storm {
            due_ns: None,
            broke_ns: Some(now_ns),
            reset_ns,
            back_ns: None,
            killed: hit.len(),
            returned: 0,
            waiting: hit,
            ack_of_stayed,
        };
    }

    fn reset(&mut self, index: usize) {
        if let Some(stream) = &self.clients[index].stream {
            // Fails only when the server was faster, and then there is nothing to reset.
            let _ = reset_when_closed(stream);
        }
    }

    fn leave(&mut self, index: usize, leaving: Leaving) {
        self.abandoned += self.clients[index].pending.len() as u64;
        self.remove(index);
        self.churn.left[leaving as usize] += 1;
        self.tally.left += 1;
    }

    /// Somebody has come in who had left.
    pub(super) fn note_return(&mut self, index: usize, now_ns: u64) {
        let began_ns = self.clients[index].began_ns;
        self.churn.connect.record(now_ns - began_ns);
        self.churn.storm.came_back(began_ns, now_ns);
        self.tally.returned += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(intended_ns: u64) -> Pending {
        Pending { sequence: 1, intended_ns, sent_ns: intended_ns, is_held_up: false }
    }

    #[test]
    fn a_storm_is_over_when_all_are_back() {
        let mut storm = Storm { broke_ns: Some(100), killed: 2, ..Storm::default() };
        storm.came_back(50, 150);
        assert_eq!(storm.returned, 0, "began before the storm");
        storm.came_back(110, 160);
        assert_eq!(storm.back_ns, None);
        storm.came_back(110, 170);
        storm.came_back(180, 190);
        assert_eq!((storm.back_ns, storm.returned), (Some(170), 2), "later ones are of other causes");
    }

    #[test]
    fn only_those_who_stayed_count_and_only_while_the_others_are_away() {
        let mut storm = Storm { broke_ns: Some(100), back_ns: Some(200), ..Storm::default() };
        storm.answered(&pending(99), 1, 300);
        storm.answered(&pending(200), 1, 300);
        storm.answered(&pending(150), 120, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 0);
        storm.answered(&pending(150), 1, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 1);
    }
}
