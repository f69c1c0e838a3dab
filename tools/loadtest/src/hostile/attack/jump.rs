//! Walks right and claims the start of the walk again: each claim is a jump, after which all viewers need a snapshot. An observer
//! counts the snapshots that it receives.

use std::time::{Duration, Instant};

use game_client::line::Line;
use game_client::{FIRST_SPRITE_LOAD_MS, ServerMessage, Vector};

use super::{Figure, Site, Ticker};

/// Time between two claims. The player walks farther than the distance of a jump in this time.
const CLAIM_INTERVAL: Duration = Duration::from_millis(190);

/// Time before the observer counts; until then it gets no snapshot.
const SETTLING: Duration = Duration::from_millis(FIRST_SPRITE_LOAD_MS);

/// Maximum snapshots per viewer and second: one in 2 s for jumps, plus a regular one in 5 s.
const SNAPSHOTS_PER_S_MAX: f64 = 0.7;

/// Attacks until the run ends, and returns the figures.
pub fn run(site: &Site) -> Vec<Figure> {
    site.observed(|| observe(site), || attack(site))
}

fn attack(site: &Site) -> std::io::Result<()> {
    let mut line = Line::open(&site.server, None)?;
    let (home, mut beat) = (line.position, Ticker::every(CLAIM_INTERVAL));
    while !site.is_over() {
        line.step(Vector::RIGHT, Some(home))?;
        line.hear_until(beat.next(), |_, _| ())?;
    }
    Ok(())
}

fn observe(site: &Site) -> Vec<Figure> {
    let (mut bytes, mut snapshots, mut snapshot_bytes) = (0, 0_u64, 0);
    let settled = Line::open(&site.server, None).and_then(|mut line| {
        line.hear_until(Instant::now() + SETTLING, |_, _| ())?;
        Ok(line)
    });
    let Ok(mut line) = settled else {
        return vec![Figure::new("snapshots per viewer and second", None).at_most(SNAPSHOTS_PER_S_MAX)];
    };
    let since = Instant::now();
    // A connection that the server closed was observed until then.
    let _ = site.watch(&mut line, |payload, message| {
        bytes += payload.len();
        if matches!(message, ServerMessage::GameState(_)) {
            snapshots += 1;
            snapshot_bytes += payload.len();
        }
    });
    let seconds = since.elapsed().as_secs_f64();
    // One snapshot of each kind may be due to events before the measured time.
    let most = SNAPSHOTS_PER_S_MAX + 2.0 / seconds;
    let a_second = |count: f64| count / seconds;
    vec![
        Figure::new("snapshots per viewer and second", a_second(snapshots as f64))
            .at_most((most * 1e2).ceil() / 1e2),
        Figure::new("bytes of snapshots per viewer and second", a_second(snapshot_bytes as f64)),
        Figure::new("bytes per viewer and second", a_second(bytes as f64)),
    ]
}
