//! Players that send what they like within the rate limit, and the law of speed that binds them.

use game_client::{ClientMessage, Facing, Vector};
use pixi_game_server::limits::{CLAIM_DISTANCE_MAX, RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};

use super::arena::TICK_RATE_HZ;
use super::peer::any_vector;
use super::random::Random;

/// A player that does whatever it likes: one thing for a while, then another.
pub struct Hostile {
    pub strategy: u64,
    pause_ticks: u64,
    ticks_left: u64,
    vector: Vector,
    offset: (i32, i32),
    pub sequence: u32,
}

impl Hostile {
    pub fn new() -> Self {
        Self { strategy: 0, pause_ticks: 1, ticks_left: 0, vector: Vector::ZERO, offset: (0, 0), sequence: 0 }
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

    /// What it sends in this tick.
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
            // On and off, and this way and that.
            0 => (if is_even { self.vector } else { Vector::ZERO }, None),
            1 => (if is_even { self.vector } else { any_vector(random) }, None),
            // Says that it walks, and claims that it does not, or elsewhere, or ahead.
            2 => (self.vector, claim_at(back)),
            3 => (self.vector, claim_at(self.offset)),
            4 => (self.vector, claim_at((-back.0, -back.1))),
            // Leaps to and fro.
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

/// From its entrance on, a player comes no farther along an axis than walking and one budget carry it, and what that earned
/// meanwhile. From any other moment on it comes one claim farther at most: one back to where client and server agreed, before
/// the server walked on the other way, is free.
pub struct SpeedLimit {
    ticks: u64,
    /// For each way along an axis, where the player entered.
    entered: Option<[f64; 4]>,
    /// For each way along an axis, the least of where the player was, less how far it could have come by then.
    least: [f64; 4],
}

const WALK_PER_S: f64 = 96.0;

/// The rounding of a tick's way, and a tick more in which the budget refills.
const ROUNDING: f64 = 4.0;

impl SpeedLimit {
    pub fn new() -> Self {
        Self { ticks: 0, entered: None, least: [f64::INFINITY; 4] }
    }

    /// Notes where the player is after another tick.
    ///
    /// # Errors
    /// It came too far.
    pub fn observe(&mut self, (x, y): (u16, u16)) -> Result<(), String> {
        self.ticks += 1;
        let allowed_per_tick = (WALK_PER_S + f64::from(RECONCILIATION_REFILL_PER_S)) / TICK_RATE_HZ as f64;
        let allowed = self.ticks as f64 * allowed_per_tick;
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
                    "{total} units farther than it can walk, {since_lowest} lately, at ({x}, {y})"
                ));
            }
        }
        Ok(())
    }
}
