//! MOVEs to the right that claim one position: the server keeps the player there, while viewers extrapolate its walk. An observer
//! compares its replica with the positions that the server acknowledges.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use game_client::line::Line;
use game_client::{FIRST_SPRITE_LOAD_MS, PlayerId, Replica, ReplicaOptions, ServerMessage, Vector};

use super::{Figure, Site, Ticker};

/// Time between two claims.
const CLAIM_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two comparisons.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Maximum age of an acknowledged position in a comparison.
const TRUTH_AGE_MAX: Duration = Duration::from_millis(150);

/// Minimum time since an attacker entered, in milliseconds. Its sprite may miss the first vector; the server repeats it later.
const SETTLING_MS: u64 = 1_500;

/// Maximum distance, in units: that of a jump, plus a walk until the next snapshot is due (2 s) and sent.
const DISTANCE_MAX: f64 = 16.0 + 96.0 * 2.25;

/// The acknowledged position of each attacker, with its time.
type Truth = Mutex<BTreeMap<PlayerId, (f64, f64, Instant)>>;

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    let truth = Truth::default();
    site.observed(|| observe(site, &truth), || attack(site, &truth))
}

fn attack(site: &Site, truth: &Truth) -> std::io::Result<()> {
    let mut line = Line::open(&site.server, None)?;
    let (id, home, mut beat) = (line.id, line.position, Ticker::every(CLAIM_INTERVAL));
    while !site.is_over() {
        line.step(Vector::RIGHT, Some(home))?;
        line.hear_until(beat.next(), |_, message| {
            if let ServerMessage::MoveAck { x, y, .. } = message {
                let place = (f64::from(*x), f64::from(*y), Instant::now());
                truth.lock().expect("no holder panics").insert(id, place);
            }
        })?;
    }
    Ok(())
}

fn observe(site: &Site, truth: &Truth) -> Vec<Figure> {
    let mut replica = Replica::new(ReplicaOptions { loading_ms: 0, ..ReplicaOptions::default() });
    let started = Instant::now();
    let now_ms = || started.elapsed().as_millis() as u64;
    let mut distances = Distances::default();
    let line = Line::open(&site.server, None);
    if let Ok(mut line) = line {
        while !site.is_over() {
            let until = Instant::now() + POLL_INTERVAL;
            if line.hear_until(until, |_, message| replica.receive(now_ms(), message)).is_err() {
                break;
            }
            replica.advance(now_ms());
            distances.compare(&replica, now_ms(), truth);
        }
    }
    let (mean, largest) = (distances.mean(), distances.largest);
    vec![
        Figure::count("comparisons of replica and server", distances.count),
        Figure::new("maximum distance, units", mean.map(|_| largest)).at_most(DISTANCE_MAX),
        Figure::new("mean distance, units", mean),
    ]
}

#[derive(Debug, Default)]
struct Distances {
    count: u64,
    sum: f64,
    largest: f64,
}

impl Distances {
    fn compare(&mut self, replica: &Replica, now_ms: u64, truth: &Truth) {
        let has_snapshots = replica
            .first_enter_ms()
            .is_some_and(|first_ms| now_ms >= first_ms + FIRST_SPRITE_LOAD_MS + SETTLING_MS);
        if !has_snapshots {
            return;
        }
        let truth = truth.lock().expect("no holder panics");
        let fresh = truth.iter().filter(|(_, (_, _, known))| known.elapsed() <= TRUTH_AGE_MAX);
        for (&id, &(x, y, _)) in fresh {
            let settled = |entered_ms: u64| now_ms.saturating_sub(entered_ms) >= SETTLING_MS;
            if let Some(drawn) = replica.remote(id).filter(|remote| settled(remote.entered_at_ms)) {
                self.add((drawn.x - x).hypot(drawn.y - y));
            }
        }
    }

    fn add(&mut self, distance: f64) {
        self.count += 1;
        self.sum += distance;
        self.largest = self.largest.max(distance);
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use game_client::{Entry, Facing, State};

    #[test]
    fn the_replica_is_compared_with_acknowledged_positions() {
        let entry = |id| {
            let (vector, facing, state) = (Vector::ZERO, Facing::Right, State::Idle);
            Entry { id, x: 500, y: 500, vector, facing, state }
        };
        let mut replica = Replica::new(ReplicaOptions { loading_ms: 0, ..ReplicaOptions::default() });
        replica.receive(1, &ServerMessage::GameState(vec![entry(1001), entry(1002)]));
        replica.receive(1, &ServerMessage::Movement { id: 1001, vector: Vector::RIGHT });
        replica.advance(2_001);
        replica.receive(20_000, &ServerMessage::GameState(vec![entry(1001), entry(1002)]));
        replica.receive(20_000, &ServerMessage::Joined(entry(1003)));
        replica.advance(22_000);
        let truth = Truth::new(BTreeMap::from([
            (1001, (500.0, 500.0, Instant::now())),
            (1003, (900.0, 500.0, Instant::now())),
        ]));
        let mut distances = Distances::default();
        distances.compare(&replica, 16_500, &truth);
        assert_eq!(distances.mean(), None, "no snapshot has come");
        distances.compare(&replica, 21_000, &truth);
        assert_eq!((distances.count, distances.largest), (1, 192.0), "one attacker has just entered");
    }
}
