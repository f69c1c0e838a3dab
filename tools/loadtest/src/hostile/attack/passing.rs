//! Join, attack and leave within a few milliseconds, repeated with the session cookie. An observer counts the attackers and attacks that it
//! receives.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::line::Line;
use game_client::{ClientMessage, PlayerId, ServerMessage};

use super::{Figure, REFUSED_PAUSE, Site, Ticker};

/// Time between join and leave.
const STAY: Duration = Duration::from_millis(20);

/// Time between two joins; long enough that the observer can see all attackers.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(400);

/// Maximum time until an attack reaches the observer.
const DELIVERY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Players and attacks that the observer received.
#[derive(Default)]
struct Shown {
    players: BTreeSet<PlayerId>,
    attacks: BTreeSet<PlayerId>,
}

impl Shown {
    fn hear(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::GameState(entries) => self.players.extend(entries.iter().map(|entry| entry.id)),
            ServerMessage::Joined(entry) => drop(self.players.insert(entry.id)),
            ServerMessage::Attack { id, .. } if self.players.contains(id) => drop(self.attacks.insert(*id)),
            _ => {}
        }
    }
}

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    let attackers = Mutex::new(BTreeSet::new());
    let shown = thread::scope(|scope| {
        let Ok(observer) = Line::open(&site.server, None) else { return None };
        let observed = scope.spawn(|| observe(site, observer));
        for _ in 0..site.peers {
            scope.spawn(|| pass(site, &attackers));
        }
        observed.join().expect("an observer does not panic")
    });
    figures(&attackers.into_inner().unwrap_or_default(), shown.as_ref())
}

fn figures(attackers: &BTreeSet<PlayerId>, shown: Option<&Shown>) -> Vec<Figure> {
    let part = |seen: &BTreeSet<PlayerId>| {
        let count = seen.intersection(attackers).count() as f64;
        (!attackers.is_empty()).then(|| 100.0 * count / attackers.len() as f64)
    };
    vec![
        Figure::count("attackers", attackers.len() as u64),
        Figure::new("attackers that an observer received, %", shown.and_then(|shown| part(&shown.players)))
            .at_least(100.0),
        Figure::new("attacks that an observer received, %", shown.and_then(|shown| part(&shown.attacks)))
            .at_least(100.0),
    ]
}

/// Runs one attacker after the other, each with the cookie of the previous one.
fn pass(site: &Site, attackers: &Mutex<BTreeSet<PlayerId>>) {
    let (mut cookie, mut beat) = (None, Ticker::every(ARRIVAL_INTERVAL));
    while !site.is_over() {
        match attack(site, cookie.as_deref()) {
            Ok(line) => {
                attackers.lock().expect("no holder panics").insert(line.id);
                cookie.clone_from(&line.cookie);
                line.leave();
                beat.sleep();
            }
            Err(_) => sleep(REFUSED_PAUSE),
        }
    }
}

fn attack(site: &Site, cookie: Option<&str>) -> std::io::Result<Line> {
    let mut line = Line::open(&site.server, cookie)?;
    line.send(&ClientMessage::Attack { aim: Some((0.0, 0.0)) })?;
    line.hear_until(Instant::now() + STAY, |_, _| ())?;
    Ok(line)
}

/// Reads until every attack must have arrived. Returns `None` if the observer is disconnected.
fn observe(site: &Site, mut line: Line) -> Option<Shown> {
    let mut shown = Shown::default();
    site.watch(&mut line, |_, message| shown.hear(message)).ok()?;
    line.hear_until(Instant::now() + DELIVERY_TIMEOUT, |_, message| shown.hear(message)).ok()?;
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_counts_only_after_the_enter_of_the_attacker() {
        let mut shown = Shown::default();
        shown.hear(&ServerMessage::Attack { id: 1002, x: 0, y: 0 });
        shown.players.insert(1003);
        shown.hear(&ServerMessage::Attack { id: 1003, x: 0, y: 0 });
        let attackers = BTreeSet::from([1002, 1003]);
        let values: Vec<_> =
            figures(&attackers, Some(&shown)).into_iter().map(|figure| figure.value).collect();
        assert_eq!(values, [Some(2.0), Some(50.0), Some(50.0)]);
        assert!(
            !figures(&attackers, None)[1].is_met() && !figures(&BTreeSet::new(), Some(&shown))[1].is_met()
        );
    }
}
