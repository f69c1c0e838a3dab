//! Hostile players that send arbitrary messages within the rate limit, and the speed limit they are held to.

use game_client::{ClientMessage, Facing, Vector};
use pixi_game_server::limits::{CLAIM_DISTANCE_MAX, RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};

use super::TICK_RATE_HZ;
use super::machine::random::Random;
use super::peer::any_vector;

/// A hostile player. It follows one random strategy for a while, then another.
pub struct Hostile {
    pub strategy: u64,
    pause_ticks: u64,
    ticks_left: u64,
    vector: Vector,
    offset: (i32, i32),
    pub sequence: u32,
    /// Its id before a reconnect whose outcome is open, and the number of reconnects that succeeded until then.
    pub before: Option<(u32, u64)>,
}

impl Hostile {
    pub fn new(before: Option<(u32, u64)>) -> Self {
        let (vector, offset) = (Vector::ZERO, (0, 0));
        Self { strategy: 0, pause_ticks: 1, ticks_left: 0, vector, offset, sequence: 0, before }
    }

    fn pick_strategy(&mut self, random: &mut Random) {
        let axis = |random: &mut Random, most: u64| random.below(2 * most + 1) as i32 - most as i32;
        self.strategy = random.below(9);
        let pause_max = [4, 4, 20][random.below(3) as usize];
        self.pause_ticks = 1 + random.below(pause_max);
        self.ticks_left = 20 + random.below(900);
        let (dx, dy) = (axis(random, 1), axis(random, 1));
        self.vector = Vector::new(dx as i8, dy as i8).expect("each axis is -1, 0 or 1");
        let most = [4, 16, 50][random.below(3) as usize];
        self.offset = (axis(random, most), axis(random, most));
    }

    /// The message to send in this tick, if any.
    pub fn next(&mut self, (x, y): (u16, u16), random: &mut Random) -> Option<ClientMessage> {
        if self.ticks_left == 0 {
            self.pick_strategy(random);
        }
        self.ticks_left -= 1;
        if !self.ticks_left.is_multiple_of(self.pause_ticks) {
            return None;
        }
        self.sequence += 1;
        let is_even = self.sequence.is_multiple_of(2);
        let moved = |by: i32, from: u16| (i32::from(from) + by).clamp(0, 2_000) as u32;
        let claim_at = |offset: (i32, i32)| Some((moved(offset.0, x), moved(offset.1, y)));
        let back = (-4 * i32::from(self.vector.dx()), -4 * i32::from(self.vector.dy()));
        let (vector, claim) = match self.strategy {
            // Starts and stops, or changes direction.
            0 => (if is_even { self.vector } else { Vector::ZERO }, None),
            1 => (if is_even { self.vector } else { any_vector(random) }, None),
            // Sends a walking vector, but claims a position behind, elsewhere or ahead.
            2 => (self.vector, claim_at(back)),
            3 => (self.vector, claim_at(self.offset)),
            4 => (self.vector, claim_at((-back.0, -back.1))),
            // Leaps back and forth.
            5 => {
                (self.vector, claim_at(if is_even { self.offset } else { (-self.offset.0, -self.offset.1) }))
            }
            6 => {
                let side = if is_even { 100 } else { 2_000 };
                return Some(ClientMessage::Viewport { width: side, height: side });
            }
            7 => {
                let facing = if is_even { Facing::Left } else { Facing::Right };
                return Some(ClientMessage::Direction(facing));
            }
            _ if is_even => return Some(ClientMessage::Attack { aim: None }),
            _ => (self.vector, claim_at((0, 0))),
        };
        Some(ClientMessage::Move { vector, sequence: self.sequence, claim })
    }
}

/// The speed limit of a player, along each axis.
///
/// The distance since the player entered is at most that of walking, plus one reconciliation budget with its refill.
/// The distance since any later moment is at most one claim more: a claim back to the last agreed position, from which
/// the server walked away, is free.
pub struct SpeedLimit {
    /// Ticks in the world, and ticks away between two of its connections.
    ticks: u64,
    ticks_away: u64,
    /// Coordinate at which the player entered, for each direction along an axis.
    entered: Option<[f64; 4]>,
    /// Minimum over time of the player's coordinate minus the distance allowed by then, for each direction.
    least: [f64; 4],
}

const WALK_PER_S: f64 = 96.0;

/// The rounding of a tick's distance, plus one tick of budget refill.
const ROUNDING: f64 = 4.0;

impl SpeedLimit {
    pub fn new() -> Self {
        Self { ticks: 0, ticks_away: 0, entered: None, least: [f64::INFINITY; 4] }
    }

    /// Continues the limit of an earlier connection; `ticks` have passed since the start of that one. Leaving must not restore the
    /// budget.
    pub fn continues(&mut self, earlier: &Self, ticks: u64) {
        let here = self.ticks;
        *self = Self {
            ticks: earlier.ticks + here,
            ticks_away: ticks.saturating_sub(earlier.ticks + here),
            ..*earlier
        };
    }

    /// Records the player's position after another tick.
    ///
    /// # Errors
    /// If the player exceeds the limit.
    pub fn observe(&mut self, (x, y): (u16, u16)) -> Result<(), String> {
        self.ticks += 1;
        let allowed_per_tick = (WALK_PER_S + f64::from(RECONCILIATION_REFILL_PER_S)) / TICK_RATE_HZ as f64;
        let refilled_per_tick = f64::from(RECONCILIATION_REFILL_PER_S) / TICK_RATE_HZ as f64;
        let allowed = self.ticks as f64 * allowed_per_tick + self.ticks_away as f64 * refilled_per_tick;
        let (x, y) = (f64::from(x), f64::from(y));
        let ways = [x, -x, y, -y];
        let entered = *self.entered.get_or_insert(ways);
        for ((least, along), entered) in self.least.iter_mut().zip(ways).zip(entered) {
            let over = along - allowed;
            *least = least.min(over);
            let (total, since_lowest) = (over - entered, over - *least);
            let budget = f64::from(RECONCILIATION_BUDGET_MAX) + ROUNDING;
            if total > budget || since_lowest > budget + f64::from(CLAIM_DISTANCE_MAX) {
                return Err(format!(
                    "{total} units beyond the limit since it entered, {since_lowest} since the lowest point, at ({x}, {y})"
                ));
            }
        }
        Ok(())
    }
}
