//! Reconciliation: accepts or refuses the positions that clients claim.
//!
//! The client claims its position with each MOVE. Accepting claims keeps honest players from stuttering; accepting all
//! of them would allow speed hacks. A claim is accepted if it lies near the simulated position and its lead over the
//! simulated path can be paid from a budget that refills slowly. The lead is signed: a client that falls behind pays
//! its earlier lead back, so network jitter averages out.

use super::budget::ReconciliationBudget;
use super::{Position, Tick};
use crate::limits::{CLAIM_DISTANCE_MAX, RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};
use serde::{Deserialize, Serialize};

/// A point in world units. Signed, so that differences cannot underflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Point {
    /// Units from the left edge.
    pub x: i32,
    /// Units from the top edge.
    pub y: i32,
}

impl Point {
    /// Converts a position in the world.
    pub fn of(position: Position) -> Self {
        Self { x: i32::from(position.x), y: i32::from(position.y) }
    }

    /// Returns the Chebyshev distance: a client's diagonal step covers a whole step along each axis.
    fn steps_to(self, other: Self) -> i32 {
        (self.x - other.x).abs().max((self.y - other.y).abs())
    }

    /// Returns whether the Euclidean distance is at most `distance` units.
    pub fn is_within(self, distance: i32, other: Self) -> bool {
        let (dx, dy) = (i64::from(self.x - other.x), i64::from(self.y - other.y));
        dx * dx + dy * dy <= i64::from(distance) * i64::from(distance)
    }
}

/// The reconciliation state of one player.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Position on which client and server last agreed.
    anchor: Point,
    /// Units the server simulated from the anchor to `segment_start`.
    walked: i32,
    /// Position at which the current vector was set.
    segment_start: Point,
    /// Lead that can still be accepted, in units times the tick rate: the refill per tick is then an integer.
    budget_scaled: i32,
    refilled_at: Tick,
}

/// Saturation of `walked`. Beyond it only the distance limit of a claim matters.
const WALKED_MAX: i32 = 1 << 20;

impl Reconciliation {
    /// Starts with a full budget, for a new player at `position`.
    pub fn new(position: Point, now: Tick, tick_rate_hz: u32) -> Self {
        Self::with_budget(position, now, tick_rate_hz, ReconciliationBudget::FULL)
    }

    /// Starts with the budget of a session, for a reconnecting player at `position`.
    pub fn with_budget(position: Point, now: Tick, tick_rate_hz: u32, budget: ReconciliationBudget) -> Self {
        let budget_scaled = budget.scaled(tick_rate_hz);
        Self { anchor: position, walked: 0, segment_start: position, budget_scaled, refilled_at: now }
    }

    /// Returns the budget as of `now`, for the player's session.
    pub fn budget(&self, now: Tick, tick_rate_hz: u32) -> ReconciliationBudget {
        let mut account = self.clone();
        account.refill(now, tick_rate_hz);
        ReconciliationBudget::of_scaled(account.budget_scaled, tick_rate_hz)
    }

    /// Accepts or refuses a claim, given the caller's own checks. Returns true and charges the budget if accepted.
    ///
    /// Call it for every claim inside the world before the vector changes: the path between two calls is a straight line.
    pub fn try_accept(
        &mut self,
        claim: Point,
        simulated: Point,
        is_plausible: bool,
        now: Tick,
        tick_rate_hz: u32,
    ) -> bool {
        self.refill(now, tick_rate_hz);
        self.walked = (self.walked + self.segment_start.steps_to(simulated)).min(WALKED_MAX);
        self.segment_start = simulated;
        if !is_plausible || !claim.is_within(CLAIM_DISTANCE_MAX, simulated) {
            return false;
        }
        let lead_scaled = (self.anchor.steps_to(claim) - self.walked) * tick_rate_hz as i32;
        if lead_scaled > self.budget_scaled {
            return false;
        }
        let full = RECONCILIATION_BUDGET_MAX * tick_rate_hz as i32;
        self.budget_scaled = (self.budget_scaled - lead_scaled).min(full);
        self.agree_on(claim);
        true
    }

    /// Sets the agreed position: an accepted claim, or the simulated position for a MOVE without one.
    pub fn agree_on(&mut self, position: Point) {
        self.anchor = position;
        self.segment_start = position;
        self.walked = 0;
    }

    fn refill(&mut self, now: Tick, tick_rate_hz: u32) {
        let full = RECONCILIATION_BUDGET_MAX * tick_rate_hz as i32;
        let elapsed = (now - self.refilled_at).min(full as Tick) as i32;
        self.budget_scaled = (self.budget_scaled + elapsed * RECONCILIATION_REFILL_PER_S as i32).min(full);
        self.refilled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Pace;
    use proptest::prelude::*;

    const RATE_HZ: u32 = 60;

    /// Walks right `speed` times too fast, with messages delayed by `delay_ms(step)`. Returns the number of refused claims.
    fn refusals(speed: f64, seconds: u32, delay_ms: impl Fn(u32) -> u64) -> usize {
        let pace = Pace::new(RATE_HZ, 4);
        let mut account = Reconciliation::new(Point::default(), 0, RATE_HZ);
        let (mut x, mut refused, mut claimed) = (0, 0, 0.0);
        let mut arrivals: Vec<(u64, f64)> = Vec::new();
        for step in 0..seconds * 24 {
            claimed += 4.0 * speed;
            let sent_ms = u64::from(step) * 1000 / 24;
            let in_order = arrivals.last().map_or(0, |last| last.0);
            arrivals.push(((sent_ms + delay_ms(step)).max(in_order), claimed));
        }
        let (mut now, mut moving) = (0, false);
        for (at_ms, claim) in arrivals {
            let at = pace.ticks(at_ms.max(1) as u32);
            if moving {
                x += pace.distance(now, (at - now) as u32);
            }
            (now, moving) = (at, true);
            let claim = Point { x: claim as i32, y: 0 };
            if account.try_accept(claim, Point { x, y: 0 }, true, now, RATE_HZ) {
                x = claim.x;
            } else {
                refused += 1;
            }
        }
        refused
    }

    #[test]
    fn accepts_a_quarter_too_fast_and_refuses_half_too_fast() {
        assert_eq!(refusals(1.25, 20, |_| 50), 0);
        assert!(refusals(1.5, 20, |_| 50) > 200);
    }

    proptest! {
        #[test]
        fn jitter_causes_no_refusals(seed in any::<u64>(), round_trip_ms in 0u64..200) {
            let jitter = |step: u32| (seed.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(u64::from(step).wrapping_mul(1_442_695_040_888_963_407)) >> 33) % 81;
            prop_assert_eq!(refusals(1.0, 20, |step| round_trip_ms / 2 + jitter(step)), 0);
        }

        #[test]
        fn accepted_lead_never_exceeds_the_allowance(
            claims in proptest::collection::vec((-50i32..=50, -50i32..=50, 0u64..20), 1..300),
        ) {
            // The simulated player never moves, so all accepted lead is paid from the budget.
            let mut account = Reconciliation::new(Point::default(), 0, RATE_HZ);
            let (mut position, mut now, mut gained) = (Point::default(), 0, 0);
            for (dx, dy, wait) in claims {
                now += wait;
                let claim = Point { x: position.x + dx, y: position.y + dy };
                if account.try_accept(claim, position, true, now, RATE_HZ) {
                    gained += position.steps_to(claim);
                    position = claim;
                }
            }
            let allowed = i64::from(RECONCILIATION_BUDGET_MAX) + now as i64 * 24 / i64::from(RATE_HZ) + 1;
            prop_assert!(i64::from(gained) <= allowed, "{gained} units gained, {allowed} allowed");
        }
    }

    #[test]
    fn accepts_a_burst_of_claims_after_a_short_stall() {
        let mut account = Reconciliation::new(Point::default(), 0, RATE_HZ);
        // The server has simulated 300 ms; the client's seven claims of that time arrive together.
        let mut simulated = Point { x: 29, y: 0 };
        for step in 1..=7 {
            let claim = Point { x: 4 * step, y: 0 };
            assert!(account.try_accept(claim, simulated, true, 18, RATE_HZ), "step {step}");
            simulated = claim;
        }
    }

    #[test]
    fn claims_against_the_declared_direction_are_limited() {
        let mut account = Reconciliation::new(Point::default(), 0, RATE_HZ);
        let mut position = Point::default();
        for tick in 1..=60 {
            position.x += 1;
            let claim = Point { x: position.x - 45, y: 0 };
            if account.try_accept(claim, position, true, tick, RATE_HZ) {
                position = claim;
            }
        }
        // One second of honest walking and the whole allowance of that second, in opposite directions.
        assert!(position.x >= -60 - 50 - 24, "{} units", position.x);
    }
}
