//! Claims the whole reconciliation budget and reconnects with the session cookie, again and again, to test that a
//! reconnect does not refill the budget.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::line::Line;
use game_client::{ServerMessage, Vector};

use super::{Figure, REFUSED_PAUSE, Site, Ticker};

/// Distance of a claim, in units; the server refuses larger ones.
const CLAIM_UNITS: i32 = 48;

/// Timeout of an ack.
const ACK_PATIENCE: Duration = Duration::from_millis(500);

/// Time between two joins.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(20);

/// Maximum distance between the last ack and the start of the next session of the same player, in units.
const SAME_PLACE_UNITS: f64 = 12.0;

/// Speed of a player, in units per second.
const UNITS_PER_S: f64 = 96.0;

/// Maximum distance beyond a walk at full speed, in units: one budget of 50, a step, and rounding.
const BEYOND_MAX: f64 = 60.0;

/// Coordinate at which the walk reverses.
const FAR_SIDE: i32 = 1_900;

/// The path of one player over consecutive sessions in which the server restores its position.
#[derive(Clone, Copy, Debug)]
struct Way {
    since: Instant,
    at: f64,
    /// Coordinate on the other axis, which no claim changes.
    row: u16,
    units: f64,
}

/// The result of an attacker.
#[derive(Clone, Copy, Debug, Default)]
struct Travel {
    sessions: u64,
    units: f64,
    seconds: f64,
    /// Maximum distance of a path beyond a walk at full speed, in units.
    beyond: f64,
}

impl Travel {
    fn add(&mut self, way: Way) {
        let seconds = way.since.elapsed().as_secs_f64();
        self.units += way.units;
        self.seconds += seconds;
        self.beyond = self.beyond.max(way.units - UNITS_PER_S * seconds);
    }
}

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    let travels: Vec<Travel> = thread::scope(|scope| {
        // Without any foreign player on the server, the load test would report an attacker that has just left as a
        // phantom. This one stays for the whole run.
        scope.spawn(|| Line::open(&site.server, None).and_then(|mut line| site.watch(&mut line, |_, _| ())));
        let attackers: Vec<_> = (0..site.peers).map(|_| scope.spawn(|| travel(site))).collect();
        attackers.into_iter().map(|attacker| attacker.join().expect("an attacker does not panic")).collect()
    });
    let sessions = travels.iter().map(|travel| travel.sessions).sum();
    let (units, seconds) =
        travels.iter().fold((0.0, 0.0), |sum, travel| (sum.0 + travel.units, sum.1 + travel.seconds));
    let is_measured = sessions > 0 && seconds > 0.0;
    let beyond = travels.iter().map(|travel| travel.beyond).fold(0.0, f64::max);
    vec![
        Figure::count("sessions", sessions),
        Figure::new("units per second of one player", is_measured.then(|| units / seconds)),
        Figure::new("units beyond 96 per second, maximum", is_measured.then_some(beyond)).at_most(BEYOND_MAX),
    ]
}

fn travel(site: &Site) -> Travel {
    let (mut travel, mut way, mut cookie): (_, Option<Way>, _) = (Travel::default(), None, None);
    let (mut step, mut beat) = (CLAIM_UNITS, Ticker::every(ARRIVAL_INTERVAL));
    while !site.is_over() {
        let Ok(mut line) = Line::open(&site.server, cookie.as_deref()) else {
            sleep(REFUSED_PAUSE);
            continue;
        };
        travel.sessions += 1;
        let (at, row) = (f64::from(line.position.0), line.position.1);
        let same = way.take_if(|way| way.row == row && (way.at - at).abs() <= SAME_PLACE_UNITS);
        if let Some(other) = way.take() {
            travel.add(other);
        }
        let mut now = same.unwrap_or(Way { since: Instant::now(), at, row, units: 0.0 });
        now.go_to(at);
        if claim(&mut line, &mut step).is_ok() {
            now.go_to(f64::from(line.position.0));
        }
        way = Some(now);
        cookie.clone_from(&line.cookie);
        line.leave();
        beat.sleep();
    }
    if let Some(way) = way {
        travel.add(way);
    }
    travel
}

impl Way {
    fn go_to(&mut self, place: f64) {
        self.units += (place - self.at).abs();
        self.at = place;
    }
}

/// Claims the farthest allowed position, and waits for the ack.
fn claim(line: &mut Line, step: &mut i32) -> std::io::Result<()> {
    let (x, y) = (i32::from(line.position.0), line.position.1);
    if x > FAR_SIDE {
        *step = -CLAIM_UNITS;
    } else if x < CLAIM_UNITS {
        *step = CLAIM_UNITS;
    }
    let vector = if *step > 0 { Vector::RIGHT } else { Vector::LEFT };
    line.step(vector, Some(((x + *step) as u16, y)))?;
    let deadline = Instant::now() + ACK_PATIENCE;
    let mut is_acked = false;
    while !is_acked && Instant::now() < deadline {
        line.hear_until(Instant::now() + Duration::from_millis(2), |_, message| {
            is_acked |= matches!(message, ServerMessage::MoveAck { .. });
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_the_maximum_over_all_paths() {
        let since = Instant::now();
        let mut way = Way { since, at: 100.0, row: 7, units: 0.0 };
        way.go_to(600.0);
        way.go_to(500.0);
        let mut travel = Travel::default();
        travel.add(way);
        travel.add(Way { since, at: 0.0, row: 7, units: 10.0 });
        assert_eq!((travel.units, way.at), (610.0, 500.0));
        assert!(travel.beyond > 0.0 && travel.beyond <= 600.0, "{travel:?}");
    }
}
