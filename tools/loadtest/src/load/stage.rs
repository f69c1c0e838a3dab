//! The stages of a run.

use game_client::frame::Opcode;
use mio::Interest;

use super::Load;
use super::act::GOING_AWAY;
use crate::behaviour::SECOND_NS;
use crate::connection::Phase;
use crate::measure::Window;
use crate::named::named;
use crate::schedule::{Entry, Task};

/// Time over which all players stop, in nanoseconds. Spread out, since a burst would distort the measurement.
const STOP_SPREAD_NS: u64 = SECOND_NS;

/// Longest wait for the last acks, in nanoseconds.
const ACK_TIMEOUT_NS: u64 = 5 * SECOND_NS;

/// Time after a snapshot interval by which every replica must be correct, in nanoseconds.
const SYNC_MARGIN_NS: u64 = 2 * SECOND_NS;

/// Longest wait for the server's close frames, in nanoseconds.
const CLOSE_TIMEOUT_NS: u64 = 5 * SECOND_NS;

named! {
    /// Stage of a run.
    pub enum Stage {
        /// Clients connect, and play once they have joined.
        Connecting = "connecting",
        /// All clients play; nothing is measured yet.
        WarmingUp = "warming up",
        /// The measured window.
        Measuring = "measuring",
        /// All players stop.
        Stopping = "stopping",
        /// All players stand still, and the server completes their replicas.
        Settling = "settling",
        /// All clients close their connections.
        Closing = "closing",
        /// The run is over.
        Over = "over",
    }
}

impl Stage {
    /// Whether players perform actions and slow readers are slow.
    pub fn is_active(self) -> bool {
        self <= Stage::Measuring
    }
}

impl Load {
    /// Enters the next stage if this one is complete.
    pub(super) fn advance(&mut self) {
        let now_ns = self.clock.now_ns();
        let is_time = now_ns >= self.stage_until_ns;
        match self.stage {
            Stage::Connecting if self.arrivals.is_over() => self.warm_up(now_ns),
            Stage::WarmingUp if is_time => self.measure(now_ns),
            Stage::Measuring if is_time => self.stop_all(now_ns),
            Stage::Stopping if is_time || self.all_stopped() => self.settle(now_ns),
            Stage::Settling if is_time => {
                self.report = Some(self.judge(true));
                self.close_all(now_ns);
            }
            Stage::Closing
                if is_time || self.clients.iter().all(|client| client.phase == Phase::Disconnected) =>
            {
                self.connections.unclosed +=
                    self.clients.iter().filter(|client| client.phase == Phase::Closing).count();
                self.stage = Stage::Over;
            }
            _ => {}
        }
    }

    /// Enters a stage with its latest end.
    fn enter_stage(&mut self, stage: Stage, until_ns: u64) {
        (self.stage, self.stage_until_ns) = (stage, until_ns);
    }

    fn warm_up(&mut self, now_ns: u64) {
        if self.connections.playing == 0 {
            self.stage = Stage::Over;
            return;
        }
        self.churn.begin(now_ns, self.options.reconnects_per_s);
        self.enter_stage(Stage::WarmingUp, now_ns + self.options.warm_up.as_nanos() as u64);
    }

    fn measure(&mut self, now_ns: u64) {
        let until_ns = now_ns + self.options.duration.as_nanos() as u64;
        self.measures.window = Window { from_ns: now_ns, until_ns };
        self.churn.await_storm(now_ns, &self.options);
        self.observer.mark(&self.tally);
        self.enter_stage(Stage::Measuring, until_ns);
    }

    fn stop_all(&mut self, now_ns: u64) {
        if self.stage == Stage::Measuring {
            self.measures.window.until_ns = self.measures.window.until_ns.min(now_ns);
            self.observer.mark(&self.tally);
        }
        self.arrivals.stop();
        self.churn.stop();
        self.enter_stage(Stage::Stopping, now_ns + STOP_SPREAD_NS + ACK_TIMEOUT_NS);
        self.tasks.remove_all(Task::Read);
        let count = self.clients.len() as u64;
        for index in 0..self.clients.len() {
            let generation = self.clients[index].connection.generation;
            let due_ns = now_ns + STOP_SPREAD_NS * index as u64 / count;
            self.tasks.add(Entry { due_ns, client: index, generation, task: Task::Stop });
            if self.clients[index].is_slow {
                if self.options.read_every.is_some() {
                    self.listen(index, Interest::READABLE | Interest::WRITABLE);
                }
                self.read(index, false);
            }
        }
    }

    fn all_stopped(&self) -> bool {
        let is_done = |phase, has_stopped| has_stopped || phase != Phase::Playing;
        self.moves.missing == 0
            && self.clients.iter().all(|client| is_done(client.phase, client.has_stopped()))
    }

    fn settle(&mut self, now_ns: u64) {
        self.observer.scrape_at_rest();
        let wait_ns = if self.options.viewers == 0 {
            0
        } else {
            self.viewers.snapshots_from_ns().saturating_sub(now_ns)
                + self.options.sync_interval.as_nanos() as u64
                + SYNC_MARGIN_NS
        };
        self.enter_stage(Stage::Settling, now_ns + wait_ns);
    }

    fn close_all(&mut self, now_ns: u64) {
        self.enter_stage(Stage::Closing, now_ns + CLOSE_TIMEOUT_NS);
        for index in 0..self.clients.len() {
            if self.clients[index].phase == Phase::Playing {
                self.send_control(index, Opcode::Close, &GOING_AWAY);
                self.connections.playing -= usize::from(self.clients[index].phase == Phase::Playing);
                self.clients[index].phase = Phase::Closing;
            } else if self.clients[index].phase.is_arriving() {
                self.remove(index);
            }
        }
    }

    /// Handles Ctrl-C: the first one ends the run early but completely, the second one immediately.
    pub(super) fn end_early(&mut self) {
        self.interrupted = true;
        if self.stage.is_active() {
            self.stop_all(self.clock.now_ns());
        } else {
            self.stage = Stage::Over;
        }
    }

    /// Samples the last second when it is complete.
    pub(super) fn observe(&mut self) {
        let now_ns = self.clock.now_ns();
        if now_ns < self.observer.next_ns() {
            return;
        }
        self.time_out_arrivals(now_ns);
        self.observer.second(
            now_ns,
            self.stage.name(),
            self.connections.playing,
            &self.tally,
            &mut self.measures,
        );
    }
}
