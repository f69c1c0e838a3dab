//! Walking right and claiming the place where the walk began: each claim is a jump, and all viewers are due a snapshot. An observer
//! counts what reaches it.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use game_client::{ServerMessage, Vector};

use super::{Beat, Figure, REFUSED_PAUSE, Site};
use crate::line::Line;

/// Time between two claims, in which the server walks the player on by more than a jump's distance.
const CLAIM_INTERVAL: Duration = Duration::from_millis(190);

/// How long the observer is shown others before it counts: no snapshot comes in its first three seconds.
const SETTLING: Duration = Duration::from_secs(3);

/// How long the observer hears at a time.
const HEAR_INTERVAL: Duration = Duration::from_millis(100);

/// Snapshots a second that a viewer may get: one every 2 s by jumps, and one every 5 s in any case.
const SNAPSHOTS_PER_S_MAX: f64 = 0.7;

/// Attacks until the site is over.
pub fn run(site: &Site) -> Vec<Figure> {
    thread::scope(|scope| {
        let observer = scope.spawn(|| observe(site));
        for _ in 0..site.peers {
            scope.spawn(|| {
                while !site.is_over() {
                    // Refused, or thrown out: it comes again.
                    let _ = attack(site);
                    sleep(REFUSED_PAUSE);
                }
            });
        }
        observer.join().expect("an observer does not panic")
    })
}

fn attack(site: &Site) -> std::io::Result<()> {
    let mut line = Line::open(&site.server, None, |_, _| ())?;
    let (home, mut beat) = (line.position, Beat::every(CLAIM_INTERVAL));
    while !site.is_over() {
        line.step(Vector::RIGHT, Some(home))?;
        line.hear_until(beat.next(), |_, _| ())?;
    }
    Ok(())
}

fn observe(site: &Site) -> Vec<Figure> {
    let (mut bytes, mut snapshots, mut snapshot_bytes) = (0, 0_u64, 0);
    let settled = Line::open(&site.server, None, |_, _| ()).and_then(|mut line| {
        line.hear_until(Instant::now() + SETTLING, |_, _| ())?;
        Ok(line)
    });
    let Ok(mut line) = settled else {
        return vec![Figure::new("snapshots a viewer got a second", None).at_most(SNAPSHOTS_PER_S_MAX)];
    };
    let since = Instant::now();
    while !site.is_over() {
        let heard = line.hear_until(Instant::now() + HEAR_INTERVAL, |payload, message| {
            bytes += payload.len();
            if matches!(message, ServerMessage::GameState(_)) {
                snapshots += 1;
                snapshot_bytes += payload.len();
            }
        });
        if heard.is_err() {
            break;
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    // One of each kind may fall into the beginning.
    let most = SNAPSHOTS_PER_S_MAX + 2.0 / seconds;
    let a_second = |count: f64| count / seconds;
    vec![
        Figure::new("snapshots a viewer got a second", a_second(snapshots as f64))
            .at_most((most * 1e2).ceil() / 1e2),
        Figure::new("bytes of snapshots a viewer got a second", a_second(snapshot_bytes as f64)),
        Figure::new("bytes a viewer got a second", a_second(bytes as f64)),
    ]
}
