//! Disconnects clients in various ways and reconnects them: a few all the time, or many at once (a storm).

use std::collections::{BTreeMap, HashSet, VecDeque};

use game_client::frame::Opcode;
use game_client::{ClientMessage, PlayerId};
use serde::{Serialize, Serializer};

use super::Load;
use super::act::GOING_AWAY;
use crate::client::Client;
use crate::connection::Phase;
use crate::measure::{Pending, Times, Window};
use crate::named::named;
use crate::options::Options;
use crate::schedule::FixedRate;

/// Most disconnects per iteration, so that a late generator does not turn an even rate into a burst.
const LEAVES_PER_ITERATION: usize = 4;

/// Most reconnects of a storm per iteration: arriving data must be read in between.
const RETURNS_PER_ITERATION: usize = 32;

/// Rng attempts to find a client that may disconnect.
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
#[derive(Debug, Serialize)]
pub struct Churn {
    /// Disconnects.
    pub left: u64,
    /// Disconnects by kind; every kind is present.
    pub left_by_kind: BTreeMap<LeaveKind, u64>,
    /// Disconnects per second in the measured window.
    pub left_per_s: f64,
    /// Reconnected clients that received their id.
    pub returned: u64,
    /// From the start of a connection to its first snapshot, of reconnecting clients.
    #[serde(rename = "connect_ms")]
    pub connect: Times,
    /// All ids of the run.
    #[serde(flatten)]
    pub ids: Ids,
    /// Schedule of disconnects.
    #[serde(skip)]
    pub(crate) rate: FixedRate,
    /// Time at which a scheduled storm begins; `u64::MAX` once it has begun, or without one.
    #[serde(skip)]
    pub(crate) storm_due_ns: u64,
    /// Clients of a storm that have not started to reconnect.
    #[serde(skip)]
    pub(crate) waiting: VecDeque<usize>,
}

/// All ids that the server assigned to clients of this run. Each is assigned once, in ascending order.
#[derive(Debug, Default, Serialize)]
pub struct Ids {
    /// The different ids.
    #[serde(rename = "ids", serialize_with = "count")]
    pub seen: HashSet<PlayerId>,
    /// The highest id; 0 before the first.
    #[serde(rename = "id_highest")]
    pub highest: PlayerId,
    /// Ids assigned more than once.
    #[serde(rename = "ids_repeated")]
    pub repeated: u64,
    /// Ids not above every id known when the connection began.
    #[serde(rename = "ids_not_above")]
    pub not_above: u64,
}

/// A storm: many clients disconnected at once.
#[derive(Debug, Default, Serialize)]
pub struct Storm {
    /// Number of disconnected clients.
    pub killed: usize,
    /// Duration of the resets, in seconds.
    pub reset_s: f64,
    /// Number of reconnected clients.
    pub returned: usize,
    /// Time from the first reset until all had reconnected, in seconds; `None` if some never did.
    pub back_s: Option<f64>,
    /// Number of unaffected clients.
    pub stayed: usize,
    /// Ack round trips of the unaffected clients, until all others had reconnected.
    #[serde(rename = "ack_of_stayed_ms")]
    pub ack_of_stayed: Times,
    /// From its begin to the last reconnect.
    #[serde(skip)]
    pub(crate) window: Window,
}

fn count<S: Serializer>(ids: &HashSet<PlayerId>, serializer: S) -> Result<S::Ok, S::Error> {
    ids.len().serialize(serializer)
}

impl Default for Churn {
    fn default() -> Churn {
        Churn {
            left: 0,
            left_by_kind: LeaveKind::ALL.map(|kind| (kind, 0)).into(),
            left_per_s: 0.0,
            returned: 0,
            connect: Times::default(),
            ids: Ids::default(),
            rate: FixedRate::new(0, 0.0),
            storm_due_ns: u64::MAX,
            waiting: VecDeque::new(),
        }
    }
}

impl Churn {
    /// Starts to disconnect `per_s` clients per second.
    pub fn begin(&mut self, now_ns: u64, per_s: f64) {
        self.rate = FixedRate::new(now_ns, per_s);
    }

    /// Schedules the storm at the beginning of the measured window.
    pub fn await_storm(&mut self, window_from_ns: u64, options: &Options) {
        self.storm_due_ns = options.storm_at.map_or(u64::MAX, |at| window_from_ns + at.as_nanos() as u64);
    }

    /// Stops all disconnects.
    pub fn stop(&mut self) {
        self.rate = FixedRate::new(u64::MAX, 0.0);
        self.storm_due_ns = u64::MAX;
    }

    /// Returns the next due time.
    pub fn next_ns(&self) -> u64 {
        if self.waiting.is_empty() { self.rate.next_ns().min(self.storm_due_ns) } else { 0 }
    }
}

impl Ids {
    /// Records the id of a client. `highest_before` is the highest id known when the client's connection began.
    /// Clients that connect concurrently learn their ids in any order, so only earlier ids are a lower bound.
    pub fn record(&mut self, id: PlayerId, highest_before: PlayerId) {
        self.repeated += u64::from(!self.seen.insert(id));
        self.not_above += u64::from(id <= highest_before);
        self.highest = self.highest.max(id);
    }
}

impl Storm {
    /// Records an ack received by a client whose connection began at `connected_ns`.
    pub fn answered(&mut self, pending: &Pending, connected_ns: u64, now_ns: u64) {
        if self.window.contains(pending.intended_ns) && connected_ns < self.window.from_ns {
            self.ack_of_stayed.record(now_ns.saturating_sub(pending.intended_ns));
        }
    }

    /// Records that a client rejoined whose connection began at `connected_ns`.
    fn record_return(&mut self, connected_ns: u64, now_ns: u64) {
        if self.back_s.is_none() && connected_ns >= self.window.from_ns {
            self.returned += 1;
            if self.returned == self.killed {
                self.window.until_ns = now_ns;
                self.back_s = Some((now_ns - self.window.from_ns) as f64 / 1e9);
            }
        }
    }
}

impl Load {
    /// Performs due disconnects, and reconnects clients of a storm.
    pub(super) fn churn(&mut self) {
        for _ in 0..RETURNS_PER_ITERATION {
            let Some(index) = self.churn.waiting.pop_front() else { break };
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
        if self.churn.storm_due_ns <= now_ns {
            self.begin_storm(now_ns);
        }
    }

    /// Disconnects a random client that is not a viewer, and reconnects it immediately.
    fn reconnect_random_client(&mut self) {
        let attempts = std::iter::repeat_with(|| self.random.usize(..self.clients.len())).take(ATTEMPTS);
        let may_leave = |client: &Client| client.phase == Phase::Playing && client.viewer.is_none();
        let Some(index) = attempts.into_iter().find(|&index| may_leave(&self.clients[index])) else { return };
        let kind = LeaveKind::ALL[self.random.usize(..5)];
        let now_ns = self.clock.now_ns();
        match kind {
            LeaveKind::Close => self.send_control(index, Opcode::Close, &GOING_AWAY),
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
        if self.random.bool() {
            self.clients[index].connection.reset();
        }
        self.leave(index, LeaveKind::Vanish);
        // It counts towards the rate of disconnects.
        self.churn.rate.take_early();
        self.clients[index].vanishes = false;
        self.begin(index, self.clock.now_ns());
    }

    /// Resets many clients at once. They reconnect as fast as possible.
    fn begin_storm(&mut self, now_ns: u64) {
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
        self.storm = Some(Storm {
            killed: hit.len(),
            reset_s: (self.clock.now_ns() - now_ns) as f64 / 1e9,
            stayed: self.options.clients - hit.len(),
            window: Window { from_ns: now_ns, until_ns: u64::MAX },
            ..Storm::default()
        });
        (self.churn.storm_due_ns, self.churn.waiting) = (u64::MAX, hit);
    }

    fn leave(&mut self, index: usize, kind: LeaveKind) {
        self.moves.abandoned += self.clients[index].pending.len() as u64;
        self.remove(index);
        *self.churn.left_by_kind.entry(kind).or_default() += 1;
        self.tally.left += 1;
    }

    /// Records that a client has reconnected.
    pub(super) fn record_return(&mut self, index: usize, now_ns: u64) {
        let began_ns = self.clients[index].began_ns;
        self.churn.connect.record(now_ns - began_ns);
        if let Some(storm) = &mut self.storm {
            storm.record_return(began_ns, now_ns);
        }
        self.tally.returned += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storm(killed: usize, until_ns: u64) -> Storm {
        Storm { killed, window: Window { from_ns: 100, until_ns }, ..Storm::default() }
    }

    #[test]
    fn a_storm_ends_when_all_clients_have_reconnected() {
        let mut storm = storm(2, u64::MAX);
        storm.record_return(50, 150);
        assert_eq!(storm.returned, 0, "connected before the storm");
        storm.record_return(110, 160);
        assert_eq!(storm.back_s, None);
        storm.record_return(110, 170);
        storm.record_return(180, 190);
        assert_eq!((storm.window.until_ns, storm.returned), (170, 2), "later reconnects have other causes");
    }

    #[test]
    fn only_unaffected_clients_count_and_only_during_the_storm() {
        let mut storm = storm(2, 200);
        for (intended_ns, connected_ns, count) in [(99, 1, 0), (200, 1, 0), (150, 120, 0), (150, 1, 1)] {
            let pending = Pending { sequence: 1, intended_ns, sent_ns: intended_ns, is_backlogged: false };
            storm.answered(&pending, connected_ns, 300);
            assert_eq!(storm.ack_of_stayed.summary().count, count);
        }
    }

    #[test]
    fn counts_ids_that_repeat_or_descend() {
        let mut ids = Ids::default();
        for id in [1_003, 1_001, 1_002] {
            ids.record(id, 0);
        }
        assert_eq!((ids.highest, ids.repeated, ids.not_above), (1_003, 0, 0), "concurrent connections");
        ids.record(1_003, 0);
        ids.record(1_000, 1_003);
        assert_eq!((ids.repeated, ids.not_above), (1, 1));
    }
}
