//! Disconnects clients in various ways and reconnects them: a few all the time, or many at once (a storm).

use std::collections::VecDeque;

use game_client::ClientMessage;

use super::Load;
use crate::connection::Phase;
use crate::ids::Ids;
use crate::measure::{Pending, Times};
use crate::named::named;
use crate::options::Options;
use crate::schedule::FixedRate;

/// Most disconnects per iteration, so that a late generator does not turn an even rate into a burst.
const LEAVES_PER_ITERATION: usize = 4;

/// Most reconnects of a storm per iteration: arriving data must be read in between.
const RETURNS_PER_ITERATION: usize = 32;

/// Random attempts to find a client that may disconnect.
const ATTEMPTS: usize = 32;

named! {
    /// How a client disconnects.
    pub enum LeaveKind {
        /// With a close frame.
        Close = "close",
        /// With LEAVE.
        Leave = "leave",
        /// By closing the socket without a close frame.
        HangUp = "hang up",
        /// With a reset.
        Reset = "reset",
        /// Right after the upgrade request, before it reads anything.
        Vanish = "vanish",
        /// With a reset, at the same time as many others.
        Storm = "storm",
    }
}

/// Disconnects, reconnects and their results.
#[derive(Debug)]
pub struct Churn {
    /// Schedule of disconnects.
    rate: FixedRate,
    /// Disconnects by kind.
    pub left: [u64; LeaveKind::ALL.len()],
    /// From the start of a connection to its first snapshot, of reconnecting clients.
    pub connect: Times,
    /// All ids of the run.
    pub ids: Ids,
    /// The storm.
    pub storm: Storm,
}

/// Many clients disconnected at once.
#[derive(Debug, Default)]
pub struct Storm {
    /// Time at which a scheduled storm begins; `None` once it has begun, or without one.
    due_ns: Option<u64>,
    /// Time at which it began.
    pub began_ns: Option<u64>,
    /// Time of the last reset.
    pub reset_ns: u64,
    /// Time at which all clients had reconnected.
    pub back_ns: Option<u64>,
    /// Clients that have not started to reconnect.
    waiting: VecDeque<usize>,
    /// Number of disconnected clients.
    pub killed: usize,
    /// Number of reconnected clients.
    pub returned: usize,
    /// Ack round trips of the unaffected clients, until all others had reconnected.
    pub ack_of_stayed: Times,
}

impl Churn {
    /// Returns a state without disconnects until [`Churn::begin`].
    pub fn new() -> Churn {
        Churn {
            rate: FixedRate::new(0, 0.0),
            left: [0; LeaveKind::ALL.len()],
            connect: Times::default(),
            ids: Ids::default(),
            storm: Storm::default(),
        }
    }

    /// Starts to disconnect `per_s` clients per second.
    pub fn begin(&mut self, now_ns: u64, per_s: f64) {
        self.rate = FixedRate::new(now_ns, per_s);
    }

    /// Schedules the storm at the beginning of the measured window.
    pub fn await_storm(&mut self, window_from_ns: u64, options: &Options) {
        self.storm.due_ns = options.storm_at.map(|at| window_from_ns + at.as_nanos() as u64);
    }

    /// Stops all disconnects.
    pub fn stop(&mut self) {
        self.rate = FixedRate::new(u64::MAX, 0.0);
        self.storm.due_ns = None;
    }

    /// Returns the next due time.
    pub fn next_ns(&self) -> u64 {
        if !self.storm.waiting.is_empty() {
            return 0;
        }
        self.rate.next_ns().min(self.storm.due_ns.unwrap_or(u64::MAX))
    }

    /// Returns the number of all disconnects.
    pub fn left_total(&self) -> u64 {
        self.left.iter().sum()
    }
}

impl Storm {
    /// Whether a time is between the storm's begin and the last reconnect.
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
    /// Performs due disconnects, and reconnects clients of a storm.
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

    /// Disconnects a random client that is not a viewer, and reconnects it immediately.
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
            LeaveKind::Reset | LeaveKind::Storm => self.clients[index].connection.reset(),
        }
        // A client that will vanish must disconnect first, which counts as a hang-up.
        let counted = if kind == LeaveKind::Vanish { LeaveKind::HangUp } else { kind };
        self.leave(index, counted);
        self.clients[index].vanishes = kind == LeaveKind::Vanish;
        self.begin(index, self.clock.now_ns());
    }

    /// Disconnects before the response to the upgrade request is read, and reconnects.
    pub(super) fn vanish(&mut self, index: usize) {
        if self.random.chance(0.5) {
            self.clients[index].connection.reset();
        }
        self.leave(index, LeaveKind::Vanish);
        // It counts towards the rate of disconnects.
        self.churn.rate.take_early();
        self.clients[index].vanishes = false;
        self.begin(index, self.clock.now_ns());
    }

    /// Resets many clients at once. They reconnect as fast as possible.
    fn storm(&mut self, now_ns: u64) {
        let (all, wanted) = (self.clients.len(), self.options.storm_clients);
        let is_hit = |index: usize| (index + 1) * wanted / all > index * wanted / all;
        let hit: VecDeque<usize> =
            (0..all).filter(|&index| is_hit(index) && self.clients[index].phase == Phase::Playing).collect();
        for &index in &hit {
            self.clients[index].connection.reset();
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

    fn leave(&mut self, index: usize, kind: LeaveKind) {
        self.abandoned += self.clients[index].pending.len() as u64;
        self.remove(index);
        self.churn.left[kind as usize] += 1;
        self.tally.left += 1;
    }

    /// Records that a client has reconnected.
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
    fn a_storm_ends_when_all_clients_have_reconnected() {
        let mut storm = Storm { began_ns: Some(100), killed: 2, ..Storm::default() };
        storm.record_return(50, 150);
        assert_eq!(storm.returned, 0, "connected before the storm");
        storm.record_return(110, 160);
        assert_eq!(storm.back_ns, None);
        storm.record_return(110, 170);
        storm.record_return(180, 190);
        assert_eq!((storm.back_ns, storm.returned), (Some(170), 2), "later reconnects have other causes");
    }

    #[test]
    fn only_unaffected_clients_count_and_only_during_the_storm() {
        let mut storm = Storm { began_ns: Some(100), back_ns: Some(200), ..Storm::default() };
        storm.answered(&pending(99), 1, 300);
        storm.answered(&pending(200), 1, 300);
        storm.answered(&pending(150), 120, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 0);
        storm.answered(&pending(150), 1, 300);
        assert_eq!(storm.ack_of_stayed.summary().count, 1);
    }
}
