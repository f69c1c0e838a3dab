//! Attacks: a few peers with a plan, and figures that measure their success.
//!
//! Peers of a [`super::kind`] are thousands and follow a script; an attack reacts to the server's responses. Its figures have the
//! limits that the server promises, so a benchmark can judge them.

mod desync;
mod jump;
mod passing;
mod pipelining;
mod returning;
mod slots;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::ServerMessage;
use game_client::endpoint::Target;
use game_client::line::Line;
use serde::{Deserialize, Serialize};

use super::requester::{Requester, Requests};
use crate::named::named;

/// Time between two checks for the end of a run.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Duration of one read of an observer.
const HEAR_INTERVAL: Duration = Duration::from_millis(100);

/// Groups of requesters, so that few send at once.
const GROUPS: usize = 40;

/// Pause of a refused peer before its next attempt.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

named! {
    /// An attack.
    pub enum Attack {
        /// Occupies all HTTP slots with keep-alive connections.
        Slots = "slots",
        /// Pipelines requests that cost the server more than the attacker.
        Pipelining = "pipelining",
        /// Walks and claims the old position, so that all viewers need a snapshot.
        Jump = "jump",
        /// Joins, attacks and leaves before other players see it.
        JoinAttackLeave = "join-attack-leave",
        /// Walks on the spot, while other players see it walk away.
        Desync = "desync",
        /// Claims the whole budget, and reconnects for another one.
        Return = "return",
    }
}

impl Attack {
    /// Default number of attacking peers.
    pub fn peers(self) -> usize {
        match self {
            Attack::Slots => 576,
            Attack::Pipelining => 100,
            Attack::Jump => 15,
            Attack::JoinAttackLeave | Attack::Desync => 8,
            Attack::Return => 1,
        }
    }

    /// Healthy players beside the attack. There are few if an observer must see every attacker: it sees only the nearest
    /// players.
    pub fn players(self) -> u32 {
        match self {
            Attack::JoinAttackLeave => 50,
            Attack::Desync | Attack::Return => 100,
            _ => 500,
        }
    }

    /// Seconds until the attack has its full effect.
    pub fn lead_seconds(self) -> u64 {
        match self {
            // A silent connection keeps its slot for ten seconds.
            Attack::Slots => 12,
            // An observer gets no snapshot in its first 15 s.
            Attack::Jump | Attack::Desync => 17,
            _ => 1,
        }
    }

    /// Attacks until the run ends, and returns the figures.
    fn run(self, site: &Site) -> Vec<Figure> {
        match self {
            Attack::Slots => slots::run(site),
            Attack::Pipelining => pipelining::run(site),
            Attack::Jump => jump::run(site),
            Attack::JoinAttackLeave => passing::run(site),
            Attack::Desync => desync::run(site),
            Attack::Return => returning::run(site),
        }
    }
}

/// One figure of an attack, with the limit that the server promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name with unit.
    pub name: String,
    /// Value; `None` if it was not measured, which misses every limit.
    pub value: Option<f64>,
    /// Upper limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Lower limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

impl Figure {
    fn new(name: &str, value: impl Into<Option<f64>>) -> Figure {
        let value = value.into().map(|value| (value * 1e3).round() / 1e3);
        Figure { name: name.to_owned(), value, at_most: None, at_least: None }
    }

    fn count(name: &str, count: u64) -> Figure {
        Figure::new(name, count as f64)
    }

    fn at_most(self, most: f64) -> Figure {
        Figure { at_most: Some(most), ..self }
    }

    fn at_least(self, least: f64) -> Figure {
        Figure { at_least: Some(least), ..self }
    }

    /// Whether it is within its limit, if it has one.
    pub fn is_met(&self) -> bool {
        let Some(value) = self.value else { return self.at_most.is_none() && self.at_least.is_none() };
        self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
    }

    /// The limit as text; empty without a limit.
    pub fn limit(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(most), _) => format!("<= {most}"),
            (None, Some(least)) => format!(">= {least}"),
            (None, None) => String::new(),
        }
    }
}

/// The target and the state of an attack.
#[derive(Debug)]
pub struct Site {
    server: Target,
    /// Number of attacking peers.
    peers: usize,
    /// Path of a file that a healthy client downloads slowly, if given.
    download: Option<String>,
    started: Instant,
    is_over: AtomicBool,
}

impl Site {
    /// Creates the state of an attack that has not started.
    pub fn new(server: Target, peers: usize, download: Option<String>) -> Site {
        Site { server, peers, download, started: Instant::now(), is_over: AtomicBool::new(false) }
    }

    /// Attacks for `duration` or until `ends` returns true, and returns the figures.
    ///
    /// # Panics
    /// A thread of the attack panics, which is a defect of this program.
    pub fn attack(&self, attack: Attack, duration: Duration, ends: impl Fn() -> bool) -> Vec<Figure> {
        thread::scope(|scope| {
            let figures = scope.spawn(|| attack.run(self));
            while self.started.elapsed() < duration && !ends() && !figures.is_finished() {
                sleep(POLL_INTERVAL);
            }
            self.is_over.store(true, Ordering::Relaxed);
            figures.join().expect("no attack panics")
        })
    }

    /// Runs attackers beside one observer. A refused or disconnected attacker tries again.
    fn observed(
        &self,
        observe: impl FnOnce() -> Vec<Figure> + Send,
        attack: impl Fn() -> io::Result<()> + Sync,
    ) -> Vec<Figure> {
        thread::scope(|scope| {
            let observer = scope.spawn(observe);
            for _ in 0..self.peers {
                scope.spawn(|| {
                    while !self.is_over() {
                        let _ = attack();
                        sleep(REFUSED_PAUSE);
                    }
                });
            }
            observer.join().expect("an observer does not panic")
        })
    }

    /// Receives on a connection until the end of the run.
    ///
    /// # Errors
    /// The server closed the connection.
    fn watch(&self, line: &mut Line, mut hear: impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
        while !self.is_over() {
            line.hear_until(Instant::now() + HEAR_INTERVAL, &mut hear)?;
        }
        Ok(())
    }

    /// Lets requesters act in groups, one group after the other, each requester once per interval. Returns the sum of
    /// their counts.
    fn request_in_groups(&self, interval: Duration, bytes: impl Fn(usize) -> Vec<u8>) -> Requests {
        let mut peers: Vec<(Requester, Vec<u8>)> =
            (0..self.peers).map(|index| (Requester::new(self.server.address), bytes(index))).collect();
        let (mut requests, mut beat) = (Requests::default(), Ticker::every(interval / GROUPS as u32));
        for group in (0..GROUPS).cycle() {
            if self.is_over() {
                break;
            }
            for (peer, bytes) in peers.iter_mut().skip(group).step_by(GROUPS) {
                peer.act(bytes, &mut requests);
            }
            beat.sleep();
        }
        requests
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Times at equal intervals; missed ones are skipped.
struct Ticker {
    next: Instant,
    interval: Duration,
}

impl Ticker {
    fn every(interval: Duration) -> Ticker {
        Ticker { next: Instant::now(), interval }
    }

    /// Returns the next time.
    fn next(&mut self) -> Instant {
        self.next = (self.next + self.interval).max(Instant::now());
        self.next
    }

    fn sleep(&mut self) {
        sleep(self.next().saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_judged_and_missing_values_miss_every_limit() {
        assert!(Figure::new("x", 9.0).is_met() && Figure::new("x", None).is_met());
        assert!(Figure::new("x", 9.0).at_most(9.0).is_met() && !Figure::new("x", 9.1).at_most(9.0).is_met());
        assert!(
            Figure::new("x", 1.0).at_least(1.0).is_met() && !Figure::new("x", 0.9).at_least(1.0).is_met()
        );
        assert!(!Figure::new("x", None).at_most(1.0).is_met());
        assert_eq!(Figure::count("x", 3).at_least(1.0).limit(), ">= 1");
    }
}
