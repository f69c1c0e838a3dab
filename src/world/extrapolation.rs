//! Dead reckoning: the position at which viewers draw a player, and its error.
//!
//! A viewer receives vectors and extrapolates the position. It receives corrections (an accepted claim, an update of a
//! ghost) only with its next snapshot. The server therefore models the drawn position of each player: the position of
//! the last jump, moved along every vector since then and clamped as the client clamps it.
//!
//! A viewer also receives each vector late, with its next flush. Three model viewers, flushed at different ticks of the
//! flush interval, accumulate the error that this delay causes.

use super::reconciliation::Point;
use super::{Pace, Position, Rules, Tick, Vector};
use crate::limits::{
    EXTRAPOLATION_DISTANCE_MAX, FLUSH_DELAY_DISTANCE, JUMP_DISTANCE, JUMP_INTERVAL_MS, JUMP_SYNC_PAUSE_MS,
    JUMPS_MAX,
};
use serde::{Deserialize, Serialize};

/// The intervals and distances of the extrapolation; times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cadence {
    /// Time between two flushes of a viewer.
    pub(super) flush: Tick,
    /// Time between two snapshots for a viewer.
    pub(super) sync: Tick,
    /// Time between two jumps of a player that has used up its allowance.
    pub(super) jump: Tick,
    /// Time from a jump until all viewers have received it.
    pub(super) jump_sent: Tick,
    /// Distance covered in a tick, in units times [`PARTS`].
    tick_parts: i32,
    /// [`FLUSH_DELAY_DISTANCE`], or the error of one turn between two flushes if that is larger.
    jump_distance: i32,
    /// [`EXTRAPOLATION_DISTANCE_MAX`], or twice the error of such a turn if that is larger.
    distance_max: i32,
}

/// Parts per unit in which the error of late viewers is counted.
const PARTS: i32 = 16;

impl Cadence {
    pub(super) fn new(pace: Pace, flush: Tick, sync: Tick) -> Self {
        let tick_parts = pace.tick_distance_in(PARTS.unsigned_abs()) as i32;
        let (jump, jump_sent) = (pace.ticks(JUMP_INTERVAL_MS), pace.ticks(JUMP_SYNC_PAUSE_MS));
        // A turn reverses the vector, so the error grows at twice the speed.
        let turn = 2 * pace.distance_max(flush) as i32;
        let (jump_distance, distance_max) =
            (FLUSH_DELAY_DISTANCE.max(turn), EXTRAPOLATION_DISTANCE_MAX.max(2 * turn));
        Self { flush, sync, jump, jump_sent, tick_parts, jump_distance, distance_max }
    }
}

/// The drawn position of one player, its error and its jump allowance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Extrapolation {
    /// Position drawn by a viewer that receives each vector without delay.
    at: Position,
    /// Odometer of the world as of which `at` is current.
    odometer: u32,
    late: [LateViewer; 3],
    /// Tick as of which `late` is current.
    settled: Tick,
    /// Tick of the last reset of the drawn position to the real one.
    reset_at: Tick,
    /// Tick at which the jumps so far are paid off at the allowed rate (the theoretical arrival time of GCRA).
    jumps_until: Tick,
}

/// A model viewer, flushed once per flush interval at its own phase.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct LateViewer {
    received: Vector,
    /// Distance of the position it draws from [`Extrapolation::at`], in units times [`PARTS`].
    x: i16,
    y: i16,
}

impl Extrapolation {
    /// Starts with a standing player, drawn at its position. It may jump once; further jumps must be earned.
    pub(super) fn new(at: Position, odometer: u32, now: Tick, cadence: &Cadence) -> Self {
        let jumps_until = now + (JUMPS_MAX - 1) * cadence.jump;
        let late = [LateViewer::default(); 3];
        Self { at, odometer, late, settled: now, reset_at: now, jumps_until }
    }

    /// Moves the drawn position along the current vector, up to this odometer.
    pub(super) fn advance(&mut self, vector: Vector, odometer: u32, rules: &Rules) {
        // Any distance beyond the width of a world ends at the edge.
        let gone = odometer.wrapping_sub(self.odometer).min(u32::from(u16::MAX)).cast_signed();
        self.odometer = odometer;
        if vector == Vector::ZERO || gone == 0 {
            return;
        }
        let along = |from: u16, direction: i8, most: u16| {
            (i32::from(from) + i32::from(direction) * gone).clamp(0, i32::from(most)) as u16
        };
        self.at.x = along(self.at.x, vector.dx, rules.width);
        self.at.y = along(self.at.y, vector.dy, rules.height);
    }

    /// Returns whether the state is current as of this tick and odometer.
    pub(super) fn is_settled(&self, now: Tick, odometer: u32) -> bool {
        self.settled == now && self.odometer == odometer
    }

    /// Advances the model viewers over the time since the last call, in which the player had this vector.
    pub(super) fn advance_viewers(&mut self, vector: Vector, now: Tick, cadence: &Cadence) {
        let elapsed = now.saturating_sub(self.settled);
        if elapsed == 0 {
            return;
        }
        let (flush, phase) = (cadence.flush, (self.settled + 1) % cadence.flush);
        self.settled = now;
        for (index, late) in (0..).zip(&mut self.late) {
            if late.received == vector {
                continue;
            }
            let wait = 1 + (index * flush / 3 + flush - phase) % flush;
            let distance = wait.min(elapsed) as i32 * cadence.tick_parts;
            late.x = moved(late.x, late.received.dx - vector.dx, distance);
            late.y = moved(late.y, late.received.dy - vector.dy, distance);
            if wait <= elapsed {
                late.received = vector;
            }
        }
    }

    /// Resets a small error once every viewer has received a snapshot.
    pub(super) fn absorb_snapshot(&mut self, position: Position, now: Tick, cadence: &Cadence) {
        if now.saturating_sub(self.reset_at) >= cadence.sync && !self.has_jumped(position, cadence) {
            self.reset(position, now);
        }
    }

    /// Resets the drawn position to the real one.
    pub(super) fn reset(&mut self, position: Position, now: Tick) {
        (self.at, self.reset_at) = (position, now);
        self.late.iter_mut().for_each(|late| (late.x, late.y) = (0, 0));
    }

    /// Returns whether a claim lies close enough to the drawn position.
    pub(super) fn is_plausible(&self, claim: Point) -> bool {
        claim.is_within(EXTRAPOLATION_DISTANCE_MAX, self.point())
    }

    /// Returns whether corrections alone amount to a jump.
    pub(super) fn has_drifted(&self, position: Position) -> bool {
        !Point::of(position).is_within(JUMP_DISTANCE, self.point())
    }

    /// Returns whether the error amounts to a jump.
    pub(super) fn has_jumped(&self, position: Position, cadence: &Cadence) -> bool {
        let actual = Point::of(position);
        self.has_drifted(position)
            || self.late.iter().any(|late| !actual.is_within(cadence.jump_distance, late.point(self.at)))
    }

    /// Returns whether a model viewer draws the player too far off to follow a new vector.
    pub(super) fn has_diverged(&self, position: Position, cadence: &Cadence) -> bool {
        let actual = Point::of(position);
        self.late.iter().any(|late| !actual.is_within(cadence.distance_max, late.point(self.at)))
    }

    /// Returns the first tick for a jump: the allowance covers it, and viewers have received the last one.
    pub(super) fn jump_allowed_at(&self, cadence: &Cadence) -> Tick {
        let earned = self.jumps_until.saturating_sub((JUMPS_MAX - 1) * cadence.jump);
        earned.max(self.reset_at + cadence.jump_sent)
    }

    /// Charges the allowance for a jump and resets the drawn position.
    pub(super) fn jump(&mut self, position: Position, now: Tick, cadence: &Cadence) {
        self.jumps_until = self.jumps_until.max(now) + cadence.jump;
        self.reset(position, now);
    }

    fn point(&self) -> Point {
        Point::of(self.at)
    }
}

impl LateViewer {
    fn point(self, at: Position) -> Point {
        let Point { x, y } = Point::of(at);
        Point { x: x + i32::from(self.x) / PARTS, y: y + i32::from(self.y) / PARTS }
    }
}

fn moved(from: i16, direction: i8, distance: i32) -> i16 {
    let to = i32::from(from) + i32::from(direction) * distance;
    to.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::rules;
    use proptest::prelude::*;

    const RIGHT: Vector = Vector { dx: 1, dy: 0 };

    fn cadence() -> Cadence {
        Cadence::new(Pace::new(60, 4), 3, 300)
    }

    fn at(x: u16) -> Position {
        Position { x, y: 500 }
    }

    #[test]
    fn corrections_add_up_to_a_jump() {
        let (cadence, rules) = (cadence(), rules());
        let mut drawn = Extrapolation::new(at(500), 0, 0, &cadence);
        drawn.advance(RIGHT, 16, &rules);
        assert!(!drawn.has_jumped(at(500), &cadence), "16 units are no jump");
        drawn.advance(RIGHT, 17, &rules);
        assert!(drawn.has_jumped(at(500), &cadence));
    }

    #[test]
    fn a_player_walking_against_the_edge_is_drawn_there() {
        let mut drawn = Extrapolation::new(at(1_990), 0, 0, &cadence());
        drawn.advance(RIGHT, 1_000, &rules());
        assert!(!drawn.has_jumped(at(2_000), &cadence()));
    }

    #[test]
    fn months_along_one_vector_end_at_the_edge() {
        for gone in [(1 << 31) - 1, 1 << 31, u32::MAX] {
            for (vector, edge) in [(RIGHT, 2_000), (Vector { dx: -1, dy: 0 }, 0)] {
                let mut drawn = Extrapolation::new(at(500), 7, 0, &cadence());
                drawn.advance(vector, gone.wrapping_add(7), &rules());
                assert_eq!(drawn.at, at(edge), "{gone} units");
            }
        }
    }

    #[test]
    fn saved_jumps_are_spent_before_the_interval_applies() {
        let cadence = cadence();
        let mut drawn = Extrapolation::new(at(500), 0, 0, &cadence);
        let mut jumps = Vec::new();
        for now in 60_000..60_000 + 60 * 20 {
            if now >= drawn.jump_allowed_at(&cadence) {
                drawn.jump(at(500), now, &cadence);
                jumps.push((now - 60_000) / 60);
            }
        }
        assert_eq!(jumps, [0, 2, 4, 6, 8, 12, 16]);
    }

    proptest! {
        /// Compares a tick-by-tick simulation of three viewers with the accumulated errors.
        #[test]
        fn accumulated_errors_match_a_simulation_of_the_viewers(
            changes in proptest::collection::vec((1u64..12, -1i8..=1, -1i8..=1), 1..30),
        ) {
            let (cadence, mut now, mut vector) = (cadence(), 0, Vector::ZERO);
            let mut drawn = Extrapolation::new(at(500), 0, 0, &cadence);
            // For each viewer the received vector and the error of the drawn position, in parts of a unit.
            let mut viewers = [(Vector::ZERO, 0, 0); 3];
            for (ticks, dx, dy) in changes {
                for _ in 0..ticks {
                    now += 1;
                    for (index, (received, x, y)) in (0..).zip(&mut viewers) {
                        *x += i32::from(received.dx - vector.dx) * cadence.tick_parts;
                        *y += i32::from(received.dy - vector.dy) * cadence.tick_parts;
                        if now % 3 == index {
                            *received = vector;
                        }
                    }
                }
                drawn.advance_viewers(vector, now, &cadence);
                for (late, (_, x, y)) in drawn.late.iter().zip(viewers) {
                    prop_assert_eq!((i32::from(late.x), i32::from(late.y)), (x, y));
                }
                vector = Vector::new(dx, dy);
            }
        }
    }
}
