//! How much a player may send: a token bucket of messages, and a leaky one of bytes, since not every frame becomes a
//! message. Pure: the caller brings the time.

use crate::limits::MESSAGE_BYTES_MAX;

/// One player's allowance.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    /// Messages in hand, in thousandths.
    tokens_milli: u64,
    /// Messages over the limit, fading at the allowed rate.
    excess_milli: u64,
    refilled_ms: u64,
    /// Bytes received and not faded yet.
    bytes: u64,
    bytes_faded_ms: u64,
}

/// The measures of all players' allowances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Messages a second.
    pub per_s: u32,
    /// Messages at once after a pause.
    pub burst: u32,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the limit.
    Accept,
    /// Over it: count and drop.
    Drop,
    /// Over it again and again: close the connection with 1008.
    Flood,
}

/// How many bursts over the limit make a flooder: one that sends at four times the rate is closed after about
/// `10 * burst / (3 * rate - rate)` seconds, which is five at the defaults; one at twice the rate never.
const FLOOD_BURSTS: u64 = 10;

impl RateLimiter {
    /// A full bucket.
    pub fn new(limit: RateLimit, now_ms: u64) -> Self {
        Self {
            tokens_milli: u64::from(limit.burst) * 1000,
            excess_milli: 0,
            refilled_ms: now_ms,
            bytes: 0,
            bytes_faded_ms: now_ms,
        }
    }

    /// Judges bytes that arrive now, whatever they amount to: a stream of empty fragments is a flood as well. What all
    /// the allowed messages could need at their longest is never too much.
    pub fn judge_bytes(&mut self, limit: RateLimit, now_ms: u64, count: usize) -> Verdict {
        let faded_per_s = u64::from(limit.per_s) * FRAME_BYTES_MAX;
        let elapsed_ms = now_ms.saturating_sub(self.bytes_faded_ms);
        self.bytes_faded_ms = self.bytes_faded_ms.max(now_ms);
        self.bytes = self.bytes.saturating_sub(elapsed_ms.saturating_mul(faded_per_s) / 1000) + count as u64;
        let allowed = (FLOOD_BURSTS + 1) * u64::from(limit.burst) * FRAME_BYTES_MAX;
        if self.bytes > allowed { Verdict::Flood } else { Verdict::Accept }
    }

    /// Judges one message that arrives now.
    pub fn judge(&mut self, limit: RateLimit, now_ms: u64) -> Verdict {
        let full_milli = u64::from(limit.burst) * 1000;
        let refill_milli = now_ms.saturating_sub(self.refilled_ms).saturating_mul(u64::from(limit.per_s));
        self.refilled_ms = self.refilled_ms.max(now_ms);
        self.tokens_milli = self.tokens_milli.saturating_add(refill_milli).min(full_milli);
        self.excess_milli = self.excess_milli.saturating_sub(refill_milli);
        if self.tokens_milli >= 1000 {
            self.tokens_milli -= 1000;
            return Verdict::Accept;
        }
        self.excess_milli += 1000;
        if self.excess_milli > FLOOD_BURSTS * full_milli { Verdict::Flood } else { Verdict::Drop }
    }
}

/// The longest game message in the longest frame: header, mask, payload.
const FRAME_BYTES_MAX: u64 = 14 + MESSAGE_BYTES_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { per_s: 60, burst: 60 };

    fn run(per_s: u64, seconds: u64) -> (usize, Option<u64>) {
        let mut limiter = RateLimiter::new(LIMIT, 0);
        let mut accepted = 0;
        for n in 0..per_s * seconds {
            let now_ms = n * 1000 / per_s;
            match limiter.judge(LIMIT, now_ms) {
                Verdict::Accept => accepted += 1,
                Verdict::Drop => {}
                Verdict::Flood => return (accepted, Some(now_ms / 1000)),
            }
        }
        (accepted, None)
    }

    #[test]
    fn the_allowed_rate_passes_whole() {
        assert_eq!(run(60, 60), (3600, None));
    }

    #[test]
    fn a_burst_after_a_pause_passes_up_to_its_size() {
        let mut limiter = RateLimiter::new(LIMIT, 0);
        let accepted = (0..100).filter(|_| limiter.judge(LIMIT, 5_000) == Verdict::Accept).count();
        assert_eq!(accepted, 60);
    }

    #[test]
    fn twice_the_rate_loses_half_and_stays() {
        let (accepted, flooded) = run(120, 100);
        assert_eq!(flooded, None);
        assert!((6000..=6061).contains(&accepted), "{accepted}");
    }

    #[test]
    fn the_longest_messages_at_the_allowed_rate_are_no_flood_of_bytes() {
        let mut limiter = RateLimiter::new(LIMIT, 0);
        for n in 0..60 * 60 {
            assert_eq!(limiter.judge_bytes(LIMIT, n * 1000 / 60, 78), Verdict::Accept);
        }
    }

    #[test]
    fn bytes_without_messages_are_a_flood() {
        let mut limiter = RateLimiter::new(LIMIT, 0);
        let reads = (0..100).take_while(|_| limiter.judge_bytes(LIMIT, 5, 16 * 1024) == Verdict::Accept);
        assert_eq!(reads.count(), 3);
    }

    #[test]
    fn a_persistent_flooder_is_found() {
        let (_, flooded) = run(240, 60);
        assert_eq!(flooded, Some(5));
    }
}
