//! Where viewers draw a player, and how far that is from where it is.
//!
//! A viewer gets vectors and extrapolates. What the server corrects meanwhile, an adopted claim or the word of another
//! process, no viewer sees before its next full state. So each player carries the place at which it is drawn: that of the
//! last jump, moved along every vector since and clamped as the client clamps. A viewer learns a vector with its next
//! flush and not at once; three model viewers, flushed in turns, keep how far each is off for that reason.

use super::reconciliation::Point;
use super::{Pace, Position, Rules, Tick, Vector};
use crate::limits::{
    EXTRAPOLATION_DISTANCE_MAX, FLUSH_DELAY_DISTANCE, JUMP_DISTANCE, JUMP_INTERVAL_MS, JUMP_SYNC_PAUSE_MS,
    JUMPS_MAX,
};

/// How often viewers get changes, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cadence {
    /// Between two flushes of a viewer.
    pub(super) flush: Tick,
    /// Between two full states of a viewer.
    pub(super) sync: Tick,
    /// Between two jumps of a player that has used up its allowance.
    pub(super) jump: Tick,
    /// From a jump until all viewers have been told of it.
    pub(super) told: Tick,
    /// Way of a tick, in units times [`PARTS`].
    way_parts: i32,
    /// [`FLUSH_DELAY_DISTANCE`], or more where a turn between two flushes alone comes to that.
    off: i32,
    /// [`EXTRAPOLATION_DISTANCE_MAX`], likewise.
    lost: i32,
}

/// Parts of a unit in which the delay of a flush counts.
const PARTS: i32 = 16;

impl Cadence {
    pub(super) fn new(pace: Pace, flush: Tick, sync: Tick) -> Self {
        let way_parts = PARTS * pace.speed_per_s as i32 / pace.tick_rate_hz as i32;
        let (jump, told) = (pace.ticks(JUMP_INTERVAL_MS), pace.ticks(JUMP_SYNC_PAUSE_MS));
        // A turn reverses the vector.
        let turn = 2 * (flush * u64::from(pace.speed_per_s)).div_ceil(u64::from(pace.tick_rate_hz)) as i32;
        let (off, lost) = (FLUSH_DELAY_DISTANCE.max(turn), EXTRAPOLATION_DISTANCE_MAX.max(2 * turn));
        Self { flush, sync, jump, told, way_parts, off, lost }
    }
}

/// One player, as viewers draw it.
#[derive(Debug, Clone)]
pub(super) struct Extrapolation {
    /// Where a viewer draws it that learns each vector at once.
    at: Position,
    /// The world's odometer when that was right.
    odometer: u32,
    late: [Late; 3],
    /// Up to this tick `late` is right.
    settled: Tick,
    /// When it was last drawn right in all views.
    healed: Tick,
    /// When the jumps so far are worked off at the allowed rate.
    jumps_until: Tick,
}

/// A model viewer: it is flushed once in each flush interval, at a tick of its own.
#[derive(Debug, Clone, Copy, Default)]
struct Late {
    knows: Vector,
    /// How far it draws the player from [`Extrapolation::at`], in units times [`PARTS`].
    x: i16,
    y: i16,
}

impl Extrapolation {
    /// A player that stands here and is drawn here. It may jump once, and has to earn more.
    pub(super) fn new(at: Position, odometer: u32, now: Tick, cadence: &Cadence) -> Self {
        let jumps_until = now + (JUMPS_MAX - 1) * cadence.jump;
        let late = [Late::default(); 3];
        Self { at, odometer, late, settled: now, healed: now, jumps_until }
    }

    /// Moves what is drawn along the vector in force up to now.
    pub(super) fn advance(&mut self, vector: Vector, odometer: u32, rules: &Rules) {
        // More than a world is wide ends at its edge.
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

    /// Whether everything is as of this moment.
    pub(super) fn is_settled(&self, now: Tick, odometer: u32) -> bool {
        self.settled == now && self.odometer == odometer
    }

    /// Takes the model viewers' delay into account, for the time in which this vector was in force.
    pub(super) fn settle(&mut self, vector: Vector, now: Tick, cadence: &Cadence) {
        let elapsed = now.saturating_sub(self.settled);
        if elapsed == 0 {
            return;
        }
        let (flush, phase) = (cadence.flush, (self.settled + 1) % cadence.flush);
        self.settled = now;
        for (index, late) in (0..).zip(&mut self.late) {
            if late.knows == vector {
                continue;
            }
            let wait = 1 + (index * flush / 3 + flush - phase) % flush;
            let way = wait.min(elapsed) as i32 * cadence.way_parts;
            late.x = moved(late.x, late.knows.dx - vector.dx, way);
            late.y = moved(late.y, late.knows.dy - vector.dy, way);
            if wait <= elapsed {
                late.knows = vector;
            }
        }
    }

    /// Forgets small differences when all views have had a full state since.
    pub(super) fn heal(&mut self, position: Position, now: Tick, cadence: &Cadence) {
        if now.saturating_sub(self.healed) >= cadence.sync && !self.is_off(position, cadence) {
            self.redraw(position, now);
        }
    }

    /// It is drawn where it is from now on.
    pub(super) fn redraw(&mut self, position: Position, now: Tick) {
        (self.at, self.healed) = (position, now);
        self.late.iter_mut().for_each(|late| (late.x, late.y) = (0, 0));
    }

    /// Whether a claim lies near enough to where the player is drawn.
    pub(super) fn is_plausible(&self, claim: Point) -> bool {
        claim.is_within(EXTRAPOLATION_DISTANCE_MAX, self.point())
    }

    /// Whether corrections alone make it one that has jumped.
    pub(super) fn has_drifted(&self, position: Position) -> bool {
        !Point::of(position).is_within(JUMP_DISTANCE, self.point())
    }

    /// Whether it is drawn so far from where it is that it has jumped.
    pub(super) fn is_off(&self, position: Position, cadence: &Cadence) -> bool {
        let place = Point::of(position);
        self.has_drifted(position)
            || self.late.iter().any(|late| !place.is_within(cadence.off, late.point(self.at)))
    }

    /// Whether some viewer draws it farther off than any claim may lie.
    pub(super) fn is_lost(&self, position: Position, cadence: &Cadence) -> bool {
        let place = Point::of(position);
        self.late.iter().any(|late| !place.is_within(cadence.lost, late.point(self.at)))
    }

    /// When it may jump next: when its allowance has a jump, and viewers have been told of the one before.
    pub(super) fn jump_allowed_at(&self, cadence: &Cadence) -> Tick {
        let earned = self.jumps_until.saturating_sub((JUMPS_MAX - 1) * cadence.jump);
        earned.max(self.healed + cadence.told)
    }

    /// Counts a jump.
    pub(super) fn jump(&mut self, position: Position, now: Tick, cadence: &Cadence) {
        self.jumps_until = self.jumps_until.max(now) + cadence.jump;
        self.redraw(position, now);
    }

    fn point(&self) -> Point {
        Point::of(self.at)
    }
}

impl Late {
    fn point(self, at: Position) -> Point {
        let Point { x, y } = Point::of(at);
        Point { x: x + i32::from(self.x) / PARTS, y: y + i32::from(self.y) / PARTS }
    }
}

fn moved(from: i16, direction: i8, way: i32) -> i16 {
    let to = i32::from(from) + i32::from(direction) * way;
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
        assert!(!drawn.is_off(at(500), &cadence), "16 units are no jump");
        drawn.advance(RIGHT, 17, &rules);
        assert!(drawn.is_off(at(500), &cadence));
    }

    #[test]
    fn who_walks_against_the_edge_is_drawn_there() {
        let mut drawn = Extrapolation::new(at(1_990), 0, 0, &cadence());
        drawn.advance(RIGHT, 1_000, &rules());
        assert!(!drawn.is_off(at(2_000), &cadence()));
    }

    #[test]
    fn after_months_along_one_vector_it_is_drawn_at_the_edge() {
        for gone in [(1 << 31) - 1, 1 << 31, u32::MAX] {
            for (vector, edge) in [(RIGHT, 2_000), (Vector { dx: -1, dy: 0 }, 0)] {
                let mut drawn = Extrapolation::new(at(500), 7, 0, &cadence());
                drawn.advance(vector, gone.wrapping_add(7), &rules());
                assert_eq!(drawn.at, at(edge), "{gone} units");
            }
        }
    }

    #[test]
    fn a_player_that_rests_may_jump_three_times_and_then_once_in_four_seconds() {
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
        /// Viewers that are flushed every three ticks, step by step, against the sum that is kept for them.
        #[test]
        fn late_viewers_draw_the_player_where_the_sum_says(
            changes in proptest::collection::vec((1u64..12, -1i8..=1, -1i8..=1), 1..30),
        ) {
            let (cadence, mut now, mut vector) = (cadence(), 0, Vector::ZERO);
            let mut drawn = Extrapolation::new(at(500), 0, 0, &cadence);
            // For each viewer what it knows, and how far it draws the player from where it is, in parts of a unit.
            let mut viewers = [(Vector::ZERO, 0, 0); 3];
            for (ticks, dx, dy) in changes {
                for _ in 0..ticks {
                    now += 1;
                    for (index, (knows, x, y)) in (0..).zip(&mut viewers) {
                        *x += i32::from(knows.dx - vector.dx) * cadence.way_parts;
                        *y += i32::from(knows.dy - vector.dy) * cadence.way_parts;
                        if now % 3 == index {
                            *knows = vector;
                        }
                    }
                }
                drawn.settle(vector, now, &cadence);
                for (late, (_, x, y)) in drawn.late.iter().zip(viewers) {
                    prop_assert_eq!((i32::from(late.x), i32::from(late.y)), (x, y));
                }
                vector = Vector::new(dx, dy);
            }
        }
    }
}
