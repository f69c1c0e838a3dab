//! Attacks: each a few peers with a plan of their own, and figures that say whether it worked.
//!
//! What the kinds of [`crate::kind`] do is done by thousands; an attack needs to know what the server answers. Its figures come with
//! the limits that the server promises, so that a benchmark can judge them.

mod desync;
mod jump;
mod passing;
mod pipelining;
mod returning;
mod slots;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use loadtest::values::Server;
use serde::{Deserialize, Serialize};

/// Time between two looks at whether a run is over.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Pause of a peer that was refused, before it tries again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Keeps HTTP connections alive with a request now and then, until no place is left for others.
    Slots,
    /// Pipelines requests that take the server more time than their bytes take the attacker.
    Pipelining,
    /// Walks and claims the place where it was, so that all viewers need a snapshot.
    Jump,
    /// Joins, attacks and leaves before others see it.
    JoinAttackLeave,
    /// Walks on the spot, while others see it walk away.
    Desync,
    /// Claims more than it may, and comes back for a fresh allowance.
    Return,
}

impl Attack {
    /// All of them.
    pub const ALL: [Attack; 6] = [
        Attack::Slots,
        Attack::Pipelining,
        Attack::Jump,
        Attack::JoinAttackLeave,
        Attack::Desync,
        Attack::Return,
    ];

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Attack::Slots => "slots",
            Attack::Pipelining => "pipelining",
            Attack::Jump => "jump",
            Attack::JoinAttackLeave => "join-attack-leave",
            Attack::Desync => "desync",
            Attack::Return => "return",
        }
    }

    /// The attack of this name.
    pub fn named(name: &str) -> Option<Attack> {
        Attack::ALL.into_iter().find(|attack| attack.name() == name)
    }

    /// Peers that do it, where nothing else is asked for.
    pub fn peers(self) -> usize {
        match self {
            Attack::Slots => 576,
            Attack::Pipelining => 100,
            Attack::Jump => 15,
            Attack::JoinAttackLeave | Attack::Desync => 8,
            Attack::Return => 1,
        }
    }

    /// Healthy players that fit beside it. An observer is shown the nearest alone: where it must see every attacker, there
    /// are few others.
    pub fn players(self) -> u32 {
        match self {
            Attack::JoinAttackLeave => 50,
            Attack::Desync | Attack::Return => 100,
            _ => 500,
        }
    }

    /// Seconds after which it does its worst.
    pub fn lead_seconds(self) -> u64 {
        match self {
            // A silent connection has its place for ten seconds.
            Attack::Slots => 12,
            // An observer gets no snapshot in its first seconds.
            Attack::Jump => 4,
            _ => 1,
        }
    }

    /// Attacks until the site says that it is over, and returns the figures.
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

/// One number that an attack came to, and the limit that the server promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured, with its unit.
    pub name: String,
    /// The number; none where nothing was measured, which is never good.
    pub value: Option<f64>,
    /// The most it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The least it must be.
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

    /// Whether it keeps to its limit, if it has one.
    pub fn is_met(&self) -> bool {
        let Some(value) = self.value else { return self.at_most.is_none() && self.at_least.is_none() };
        self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
    }

    /// The limit, for people; empty where there is none.
    pub fn limit(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(most), _) => format!("<= {most}"),
            (None, Some(least)) => format!(">= {least}"),
            (None, None) => String::new(),
        }
    }
}

/// Where an attack takes place.
#[derive(Debug)]
pub struct Site {
    server: Server,
    /// Peers that attack.
    peers: usize,
    /// A file that a healthy client downloads slowly, if the server has one.
    download: Option<String>,
    started: Instant,
    is_over: AtomicBool,
}

impl Site {
    /// A site on which nothing has begun.
    pub fn new(server: Server, peers: usize, download: Option<String>) -> Site {
        Site { server, peers, download, started: Instant::now(), is_over: AtomicBool::new(false) }
    }

    /// Attacks until `ends` says so, or for as long as asked for, and returns the figures.
    ///
    /// # Panics
    /// Never: a thread of an attack that panics is a mistake here.
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

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Moments at equal distances; none is made up for that was missed.
struct Beat {
    next: Instant,
    interval: Duration,
}

impl Beat {
    fn every(interval: Duration) -> Beat {
        Beat { next: Instant::now(), interval }
    }

    /// The next moment.
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
    fn every_attack_is_known_by_its_name_alone() {
        assert!(Attack::ALL.into_iter().all(|attack| Attack::named(attack.name()) == Some(attack)));
        assert_eq!(Attack::named("polite"), None);
    }

    #[test]
    fn figures_keep_their_limits_and_what_was_not_measured_keeps_none() {
        assert!(Figure::new("x", 9.0).is_met() && Figure::new("x", None).is_met());
        assert!(Figure::new("x", 9.0).at_most(9.0).is_met() && !Figure::new("x", 9.1).at_most(9.0).is_met());
        assert!(
            Figure::new("x", 1.0).at_least(1.0).is_met() && !Figure::new("x", 0.9).at_least(1.0).is_met()
        );
        assert!(!Figure::new("x", None).at_most(1.0).is_met());
        assert_eq!(Figure::count("x", 3).at_least(1.0).limit(), ">= 1");
    }
}
