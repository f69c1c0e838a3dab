//! Clients leave in every way there is and come back at once: a few all the time, or many at the same instant.

use std::collections::VecDeque;

use game_client::ClientMessage;

use super::Load;
use crate::client::Phase;
use crate::ids::Ids;
use crate::measure::{Pending, Times};
use crate::options::Options;
use crate::os::reset_when_closed;
use crate::schedule::FixedRate;

/// Most clients that leave in one turn, so that a late generator does not make a burst of what was to be spread.
const LEAVES_PER_ITERATION: usize = 4;

/// Most clients of a storm that begin to come back in one turn: what arrives meanwhile must be read.
const RETURNS_PER_ITERATION: usize = 32;

/// Clients looked at to find one that may leave.
const ATTEMPTS: usize = 32;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveKind {
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

impl LeaveKind {
    /// All kinds, in the order of their counts.
    pub const ALL: [LeaveKind; 6] = [
        LeaveKind::Close,
        LeaveKind::Leave,
        LeaveKind::HangUp,
        LeaveKind::Reset,
        LeaveKind::Vanish,
        LeaveKind::Storm,
    ];

    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            LeaveKind::Close => "close",
            LeaveKind::Leave => "leave",
            LeaveKind::HangUp => "hang up",
            LeaveKind::Reset => "reset",
            LeaveKind::Vanish => "vanish",
            LeaveKind::Storm => "storm",
        }
    }
}

/// Who left and came back, and how that went.
#[derive(Debug)]
pub struct Churn {
    /// When clients leave.
    rate: FixedRate,
    /// Clients that left, by how.
    pub left: [u64; LeaveKind::ALL.len()],
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
    pub began_ns: Option<u64>,
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
            rate: FixedRate::new(0, 0.0),
            left: [0; LeaveKind::ALL.len()],
            connect: Times::default(),
            ids: Ids::default(),
            storm: Storm::default(),
        }
    }

    /// From now on, so many leave a second.
    pub fn begin(&mut self, now_ns: u64, per_s: f64) {
        self.rate = FixedRate::new(now_ns, per_s);
    }

    /// The measured window begins: a storm may come.
    pub fn await_storm(&mut self, window_from_ns: u64, options: &Options) {
        self.storm.due_ns = options.storm_at.map(|at| window_from_ns + at.as_nanos() as u64);
    }

    /// Nobody leaves any more.
    pub fn stop(&mut self) {
        self.rate = FixedRate::new(u64::MAX, 0.0);
        self.storm.due_ns = None;
    }

    /// The next moment at which there is something to do.
    pub fn next_ns(&self) -> u64 {
        if !self.storm.waiting.is_empty() {
            return 0;
        }
        self.rate.next_ns().min(self.storm.due_ns.unwrap_or(u64::MAX))
    }

    /// Clients that left and were to come back.
    pub fn left_total(&self) -> u64 {
        self.left.iter().sum()
    }
}

impl Storm {
    /// Whether a MOVE was due while others had not come back.
    fn is_active_at(&self, at_ns: u64) -> bool {
        self.began_ns.is_some_and(|began_ns| (began_ns..self.back_ns.unwrap_or(u64::MAX)).contains(&at_ns))
    }

    /// Records an ack received by a client whose connection began at `connected_ns`.
    pub fn answered(&mut self, pending: &Pending, connected_ns: u64, now_ns: u64) {
        if self.is_active_at(pending.intended_ns) && self.began_ns > Some(connected_ns) {
            self.ack_of_stayed.record(now_ns.saturating_sub(pending.intended_ns));
        }
    }

    /// Records that a client rejoined whose connection began at `connected_ns`.
    pub fn record_return(&mut self, connected_ns: u64, now_ns: u64) {
        if self.back_ns.is_none() && self.began_ns.is_some_and(|began_ns| connected_ns >= began_ns) {
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
        for _ in 0..RETURNS_PER_ITERATION {
            let Some(index) = self.churn.storm.waiting.pop_front() else { break };
            self.begin(index, self.clock.now_ns());
        }
        if !self.stage.is_active() {
            return;
        }
        for _ in 0..LEAVES_PER_ITERATION {
            if !self.churn.rate.take_due(self.clock.now_ns()) {
                break;
            }
            self.reconnect_random_client();
        }
        let now_ns = self.clock.now_ns();
        if self.churn.storm.due_ns.is_some_and(|due_ns| due_ns <= now_ns) {
            self.storm(now_ns);
        }
    }

    /// Some client that is no viewer leaves and comes back at once.
    fn reconnect_random_client(&mut self) {
        let may_leave = |load: &Load, index: usize| {
            let client = &load.clients[index];
            client.phase == Phase::Playing && client.viewer.is_none()
        };
        let count = self.clients.len() as u64;
        let found = (0..ATTEMPTS).find_map(|_| {
            let index = self.random.below(count) as usize;
            may_leave(self, index).then_some(index)
        });
        let Some(index) = found else { return };
        let kind = LeaveKind::ALL[self.random.below(5) as usize];
        let now_ns = self.clock.now_ns();
        match kind {
            LeaveKind::Close => self.send_close(index),
            LeaveKind::Leave => self.send(index, &[ClientMessage::Leave], now_ns),
            LeaveKind::HangUp | LeaveKind::Vanish => {}
            LeaveKind::Reset | LeaveKind::Storm => self.reset(index),
        }
        // Somebody who is to vanish must leave first, which is a hang-up of its own; and the write may have failed.
        let counted = if kind == LeaveKind::Vanish { LeaveKind::HangUp } else { kind };
        self.leave(index, counted);
        self.clients[index].vanishes = kind == LeaveKind::Vanish;
        self.begin(index, self.clock.now_ns());
    }

    /// Goes before it reads what its request is answered with, and comes back.
    pub(super) fn vanish(&mut self, index: usize) {
        if self.random.chance(0.5) {
            self.reset(index);
        }
        self.leave(index, LeaveKind::Vanish);
        // It counts among those that were to leave.
        self.churn.rate.take_early();
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
            self.leave(index, LeaveKind::Storm);
            if let Some(viewer) = self.clients[index].viewer {
                self.viewers.restart(viewer);
            }
        }
        let reset_ns = self.clock.now_ns();
        let ack_of_stayed = Times::default();
        self.churn.storm = Storm {
            due_ns: None,
            began_ns: Some(now_ns),
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

    fn leave(&mut self, index: usize, kind: LeaveKind) {
        self.abandoned += self.clients[index].pending.len() as u64;
        self.remove(index);
        self.churn.left[kind as usize] += 1;
        self.tally.left += 1;
    }

    /// Somebody has come in who had left.
    pub(super) fn record_return(&mut self, index: usize, now_ns: u64) {
        let began_ns = self.clients[index].began_ns;
        self.churn.connect.record(now_ns - began_ns);
        self.churn.storm.record_return(began_ns, now_ns);
        self.tally.returned += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(intended_ns: u64) -> Pending {
        Pending { sequence: 1, intended_ns, sent_ns: intended_ns, is_backlogged: false }
    }

    #[test]
    fn a_storm_is_over_when_all_are_back() {
        let mut storm = Storm { began_ns: Some(100), killed: 2, ..Storm::default() };
        storm.record_return(50, 150);
        assert_eq!(storm.returned, 0, "began before the storm");
        storm.record_return(110, 160);
        assert_eq!(storm.back_ns, None);
        storm.record_return(110, 170);
        storm.record_return(180, 190);
        assert_eq!((storm.back_ns, storm.returned), (Some(170), 2), "later ones are of other causes");
    }

    #[test]
    fn only_those_who_stayed_count_and_only_while_the_others_are_away() {
        let mut storm = Storm { began_ns: Some(100), back_ns: Some(200), ..Storm::default() };
        storm.answered(&pending(99), 1, 300);
        storm.answered(&pending(200), 1, 300);
        storm.answered(&pending(150), 120, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 0);
        storm.answered(&pending(150), 1, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 1);
    }
}
