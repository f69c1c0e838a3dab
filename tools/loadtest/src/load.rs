//! The event loop that drives all clients: wait, read, connect, send.
//!
//! One thread and one poll. An iteration handles at most [`EVENTS_PER_ITERATION`] reads and then
//! [`TASKS_PER_ITERATION`] sends, so neither delays the other by more than about a millisecond. Every ack is timed
//! when its bytes are read, and every send has a due time.
//!
//! * [`arrive`]: connecting and handshakes. [`churn`]: disconnecting and reconnecting. [`receive`]: reads, frames,
//!   messages. [`act`]: actions of players.
//! * [`stage`]: connecting, warming up, measuring, stopping, settling, closing. [`judge`]: the report.

mod act;
mod arrive;
pub mod churn;
mod judge;
mod receive;
mod stage;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use fastrand::Rng;
use game_client::text::printable;
use game_client::{Interrupt, PlayerId};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::client::Client;
use crate::connection::Phase;
use crate::measure::{Measures, Tally};
use crate::observe::Observer;
use crate::options::Options;
use crate::os::{Clock, Timer};
use crate::report::{Connections, Moves, Report};
use crate::schedule::{Task, TaskQueue};
use crate::viewers::Viewers;
use arrive::Arrivals;
use churn::{Churn, Storm};
use stage::Stage;

/// Most poll events per iteration.
const EVENTS_PER_ITERATION: usize = 256;

/// Most tasks per iteration.
const TASKS_PER_ITERATION: usize = 64;

/// Size of the read buffer shared by all sockets, in bytes.
const SCRATCH_BYTES: usize = 64 * 1024;

const TIMER: Token = Token(usize::MAX - 1);

/// A run.
pub struct Load {
    options: Options,
    clock: Clock,
    poll: Poll,
    timer: Timer,
    interrupt: Interrupt,
    clients: Vec<Client>,
    /// Index of the client by its wire id.
    players: HashMap<PlayerId, usize>,
    arrivals: Arrivals,
    tasks: TaskQueue<Task>,
    stage: Stage,
    /// Latest end of the stage, in nanoseconds of the run's clock.
    stage_until_ns: u64,
    random: Rng,
    viewers: Viewers,
    observer: Observer,
    measures: Measures,
    tally: Tally,
    connections: Connections,
    churn: Churn,
    /// The storm, once it has begun.
    storm: Option<Storm>,
    moves: Moves,
    /// Actions postponed because this program was too late.
    postponed: u64,
    report: Option<Report>,
    interrupted: bool,
    woke_ns: u64,
    scratch: Vec<u8>,
}

impl Load {
    /// Prepares a run. Nothing is connected yet.
    ///
    /// # Errors
    /// The kernel refuses a poll instance or a descriptor.
    pub fn new(options: Options) -> io::Result<Load> {
        let clock = Clock::start();
        let (poll, timer) = (Poll::new()?, Timer::new()?);
        poll.registry().register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        let mut random = Rng::with_seed(options.seed);
        let clients = clients(&options, &mut random);
        Ok(Load {
            arrivals: Arrivals::new(&options, clock.now_ns()),
            observer: Observer::new(&options, clock),
            viewers: Viewers::new(&options),
            clock,
            poll,
            timer,
            interrupt: Interrupt::watch()?,
            clients,
            players: HashMap::new(),
            tasks: TaskQueue::default(),
            stage: Stage::Connecting,
            stage_until_ns: u64::MAX,
            random,
            measures: Measures::default(),
            tally: Tally::default(),
            connections: Connections::default(),
            churn: Churn::default(),
            storm: None,
            moves: Moves::default(),
            postponed: 0,
            report: None,
            interrupted: false,
            woke_ns: clock.now_ns(),
            scratch: vec![0; SCRATCH_BYTES],
            options,
        })
    }

    /// Runs to the end and returns the report.
    ///
    /// # Errors
    /// Polling fails. No behavior of the server ends a run early.
    pub fn run(mut self) -> io::Result<Report> {
        let mut events = Events::with_capacity(EVENTS_PER_ITERATION);
        while self.stage != Stage::Over {
            self.wait(&mut events)?;
            if self.interrupt.take() {
                self.end_early();
            }
            for event in &events {
                self.dispatch(event);
            }
            self.arrive();
            self.churn();
            self.act();
            self.observe();
            self.advance();
        }
        self.observer.progress_done();
        let unclosed = self.connections.unclosed;
        let mut report = self.report.take().unwrap_or_else(|| self.judge(false));
        report.connections.unclosed = unclosed;
        report.server.descriptors_after = self.observer.descriptors_after();
        report.conclude();
        Ok(report)
    }

    /// Waits for events until the next due time.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let next_ns = self.next_moment_ns();
        let now_ns = self.clock.now_ns();
        let iteration_ns = now_ns - self.woke_ns;
        self.tally.busy_ns += iteration_ns;
        if self.measures.window.contains(now_ns) {
            self.measures.iterations.record(iteration_ns);
        }
        let timeout = if next_ns <= now_ns {
            Some(Duration::ZERO)
        } else {
            self.timer.arm(self.clock, next_ns)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        self.woke_ns = self.clock.now_ns();
        Ok(())
    }

    fn next_moment_ns(&self) -> u64 {
        let planned_ns = self.tasks.earliest_ns().unwrap_or(u64::MAX);
        planned_ns
            .min(self.arrivals.next_ns())
            .min(self.churn.next_ns())
            .min(self.observer.next_ns())
            .min(self.stage_until_ns)
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            TIMER => self.timer.fired(),
            Token(index) => {
                if event.is_writable() {
                    self.writable(index);
                }
                let ended = event.is_read_closed() || event.is_error();
                if event.is_readable() || ended {
                    self.readable(index, ended);
                }
            }
        }
    }

    /// Disconnects a client in any phase. The caller counts its unacknowledged MOVEs.
    fn remove(&mut self, index: usize) {
        let client = &mut self.clients[index];
        self.moves.missing -= client.pending.len() as u64;
        if client.phase.is_arriving() {
            self.arrivals.handshaking -= 1;
        }
        if client.phase == Phase::Playing {
            self.connections.playing -= 1;
            self.players.remove(&client.id);
        }
        client.leave();
    }

    /// Handles an unexpected end of a connection.
    fn lose(&mut self, index: usize, reason: &str) {
        let client = &self.clients[index];
        if client.phase.is_arriving() {
            return self.fail(index, reason);
        }
        if client.phase == Phase::Playing {
            *self.connections.disconnects.entry(printable(reason).into_owned()).or_default() += 1;
            self.moves.lost += client.pending.len() as u64;
        }
        self.remove(index);
    }
}

/// Returns all clients of a run. Viewers are spread evenly; slow readers are random others.
fn clients(options: &Options, random: &mut Rng) -> Vec<Client> {
    let viewer_at = |index: usize| {
        let before = index * options.viewers / options.clients;
        let is_viewer = (index + 1) * options.viewers / options.clients > before;
        is_viewer.then_some(before)
    };
    (0..options.clients)
        .map(|index| {
            let viewer = viewer_at(index);
            let mut is_chosen = || random.f64() < options.slow_readers || options.read_every.is_some();
            let is_slow = viewer.is_none() && is_chosen();
            Client::new(random.fork(), is_slow, viewer)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::run;

    #[test]
    fn viewers_are_numbered_once_and_never_slow_readers() {
        for (clients_wanted, viewers) in [(10, 3), (7, 7), (1_000, 50), (5, 0)] {
            let options = run(&["--slow-readers=1"]);
            let options = Options { clients: clients_wanted, viewers, ..options };
            let all = clients(&options, &mut Rng::with_seed(1));
            let numbers: Vec<usize> = all.iter().filter_map(|client| client.viewer).collect();
            assert_eq!(numbers, (0..viewers).collect::<Vec<_>>());
            assert!(all.iter().all(|client| client.is_slow != client.viewer.is_some()));
        }
    }
}
