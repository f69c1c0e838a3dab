//! Rate limits of a player: a leaky bucket of messages and one of bytes, for frames without a message. Pure.
//!
//! Bytes read now may have arrived earlier: the process was suspended, or the socket was not read because the
//! player's replies had reached their cap. Each message is therefore checked as of the earliest time at which
//! it can have arrived, so that a backlog which the server caused does not count against the client. A bucket
//! is stored as the time at which the allowed rate has drained it.

use crate::limits::{MESSAGE_BYTES_MAX, UNREAD_CREDIT_MS_MAX};
use serde::{Deserialize, Serialize};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// The buckets of one player. Times are nanoseconds of the caller's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RateLimiter {
    /// Time at which the bucket of accepted messages is empty.
    accepted_until_ns: u64,
    /// Time at which the bucket of excess messages is empty.
    dropped_until_ns: u64,
    /// Time at which the bucket of bytes is empty.
    bytes_until_ns: u64,
    /// Time since which the socket may hold unread bytes, in milliseconds; [`ALL_READ`] if it holds none.
    unread_since_ms: u64,
}

const ALL_READ: u64 = u64::MAX;

/// The time span in which a message arrived, from `since_ms` to `now_ms`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    since_ms: u64,
    now_ms: u64,
}

impl Arrival {
    /// An arrival at exactly this time.
    pub fn at(now_ms: u64) -> Self {
        Self { since_ms: now_ms, now_ms }
    }

    fn since_ns(self) -> u64 {
        self.since_ms * NS_PER_MS
    }

    fn now_ns(self) -> u64 {
        self.now_ms * NS_PER_MS
    }
}

/// The message rate that each player is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Messages per second.
    pub per_s: u32,
    /// Messages in a burst after a pause.
    pub burst: u32,
}

impl RateLimit {
    /// Returns the time in which one message drains, rounded down, so that the allowed rate always passes.
    fn message_ns(self) -> u64 {
        NS_PER_S / u64::from(self.per_s)
    }
}

/// The decision about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the limit.
    Accept,
    /// Over the limit: count and drop it.
    Drop,
    /// Persistently over the limit: close the connection with 1008.
    Flood,
}

/// Number of bursts over the limit that make a flood. A client at four times the rate is disconnected after about `10 *
/// burst / (3 * rate - rate)` seconds, which is 5 s at the defaults; a client at twice the rate never is.
const FLOOD_BURSTS: u64 = 10;

impl RateLimiter {
    /// Creates empty buckets.
    pub fn new(now_ms: u64) -> Self {
        let now_ns = now_ms * NS_PER_MS;
        Self {
            accepted_until_ns: now_ns,
            dropped_until_ns: now_ns,
            bytes_until_ns: now_ns,
            unread_since_ms: ALL_READ,
        }
    }

    /// Returns the arrival of bytes read now. They arrived after `quiet_ms`, when the socket was empty, or
    /// after it was left unread, if that was earlier. The span is capped at [`UNREAD_CREDIT_MS_MAX`], since the
    /// socket's receive buffer bounds the backlog.
    pub fn arrival(&self, quiet_ms: u64, now_ms: u64) -> Arrival {
        let since_ms = quiet_ms.min(self.unread_since_ms).max(now_ms.saturating_sub(UNREAD_CREDIT_MS_MAX));
        Arrival { since_ms: since_ms.min(now_ms), now_ms }
    }

    /// Records that the socket was left unread: it may hold bytes that arrived since this time.
    pub fn leave_unread(&mut self, since_ms: u64) {
        self.unread_since_ms = self.unread_since_ms.min(since_ms);
    }

    /// Records whether the read that returned this arrival emptied the socket.
    pub fn note_read(&mut self, arrival: Arrival, is_drained: bool) {
        self.unread_since_ms = if is_drained { ALL_READ } else { arrival.since_ms };
    }

    /// Checks bytes, whether or not they form messages: a stream of empty fragments is a flood as well. The
    /// allowed rate of messages never exceeds this limit, even at their maximum length.
    pub fn check_bytes(&mut self, limit: RateLimit, arrival: Arrival, count: usize) -> Verdict {
        let byte_ns = limit.message_ns() / FRAME_BYTES_MAX;
        let allowed_ns = (FLOOD_BURSTS + 1) * u64::from(limit.burst) * limit.message_ns();
        self.bytes_until_ns = self.bytes_until_ns.max(arrival.since_ns()) + count as u64 * byte_ns;
        let is_flood = self.bytes_until_ns > arrival.now_ns() + allowed_ns;
        if is_flood { Verdict::Flood } else { Verdict::Accept }
    }

    /// Checks one message.
    pub fn check(&mut self, limit: RateLimit, arrival: Arrival) -> Verdict {
        if self.accept(limit, arrival) {
            return Verdict::Accept;
        }
        let message_ns = limit.message_ns();
        let burst_ns = u64::from(limit.burst) * message_ns;
        self.dropped_until_ns = self.dropped_until_ns.max(arrival.since_ns()) + message_ns;
        let is_flood = self.dropped_until_ns > arrival.now_ns() + FLOOD_BURSTS * burst_ns;
        if is_flood { Verdict::Flood } else { Verdict::Drop }
    }

    /// Accepts a deferred message, for which [`RateLimiter::check`] returned [`Verdict::Drop`], once the
    /// bucket has room. The message no longer counts as excess, so that deferring brings no client closer to
    /// [`Verdict::Flood`].
    pub fn accept_late(&mut self, limit: RateLimit, arrival: Arrival) -> bool {
        // Later bytes in the socket keep their own arrival credit.
        let is_accepted = self.accept(limit, self.arrival(arrival.since_ms, arrival.now_ms));
        if is_accepted {
            self.dropped_until_ns = self.dropped_until_ns.saturating_sub(limit.message_ns());
        }
        is_accepted
    }

    /// Adds one message to the bucket, if it fits.
    fn accept(&mut self, limit: RateLimit, arrival: Arrival) -> bool {
        let message_ns = limit.message_ns();
        let accepted_until_ns = self.accepted_until_ns.max(arrival.since_ns()) + message_ns;
        let has_room = accepted_until_ns <= arrival.now_ns() + u64::from(limit.burst) * message_ns;
        if has_room {
            self.accepted_until_ns = accepted_until_ns;
        }
        has_room
    }
}

/// The longest game message in the longest frame: header, mask, payload.
const FRAME_BYTES_MAX: u64 = 14 + MESSAGE_BYTES_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: RateLimit = RateLimit { per_s: 60, burst: 60 };

    fn run(per_s: u64, seconds: u64) -> (usize, Option<u64>) {
        let mut limiter = RateLimiter::new(0);
        let mut accepted = 0;
        for n in 0..per_s * seconds {
            let now_ms = n * 1000 / per_s;
            match limiter.check(LIMIT, Arrival::at(now_ms)) {
                Verdict::Accept => accepted += 1,
                Verdict::Drop => {}
                Verdict::Flood => return (accepted, Some(now_ms / 1000)),
            }
        }
        (accepted, None)
    }

    #[test]
    fn a_burst_after_a_pause_passes_up_to_its_size() {
        let mut limiter = RateLimiter::new(0);
        let accepted =
            (0..100).filter(|_| limiter.check(LIMIT, Arrival::at(5_000)) == Verdict::Accept).count();
        assert_eq!(accepted, 60);
    }

    #[test]
    fn the_rate_decides_how_many_messages_pass_and_when_a_flood_is_detected() {
        for (per_s, seconds, passing, flooded_s) in [
            (60, 60, 3_600..=3_600, None),
            (120, 100, 6_000..=6_061, None),
            (240, 60, 0..=usize::MAX, Some(5)),
        ] {
            let (accepted, flooded) = run(per_s, seconds);
            assert!(
                passing.contains(&accepted) && flooded == flooded_s,
                "{per_s}/s: {accepted}, {flooded:?}"
            );
        }
    }

    #[test]
    fn the_longest_messages_at_the_allowed_rate_are_no_byte_flood() {
        let mut limiter = RateLimiter::new(0);
        for n in 0..60 * 60 {
            assert_eq!(limiter.check_bytes(LIMIT, Arrival::at(n * 1000 / 60), 78), Verdict::Accept);
        }
    }

    #[test]
    fn bytes_without_messages_are_a_flood() {
        let mut limiter = RateLimiter::new(0);
        let reads =
            (0..100).take_while(|_| limiter.check_bytes(LIMIT, Arrival::at(5), 16 * 1024) == Verdict::Accept);
        assert_eq!(reads.count(), 3);
    }

    /// Simulates reads of a socket to which messages were sent at these times. `reads` are pairs of a pause and the maximum
    /// number of messages read after it, repeated until all are read. Returns the time and the verdict of each check.
    fn read_late(sent_ms: &[u64], reads: &[(u64, usize)]) -> Vec<(u64, Verdict)> {
        let (mut limiter, mut checked, mut quiet_ms, mut now_ms) = (RateLimiter::new(0), Vec::new(), 0, 0);
        for (pause_ms, most) in reads.iter().cycle() {
            now_ms += pause_ms;
            let arrived = sent_ms.partition_point(|sent_ms| *sent_ms <= now_ms);
            let taken = most.min(&(arrived - checked.len())).to_owned();
            let arrival = limiter.arrival(quiet_ms, now_ms);
            assert_eq!(limiter.check_bytes(LIMIT, arrival, taken * 20), Verdict::Accept);
            checked.extend((0..taken).map(|_| (now_ms, limiter.check(LIMIT, arrival))));
            limiter.note_read(arrival, checked.len() == arrived);
            // Every read stands for a poll of the event loop. The limiter itself remembers unread bytes.
            quiet_ms = now_ms;
            if checked.len() == sent_ms.len() {
                return checked;
            }
        }
        unreachable!("there are reads")
    }

    #[test]
    fn a_backlog_from_a_suspension_passes_and_a_larger_one_does_not() {
        let steady: Vec<u64> = (0..600).map(|n| n * 1000 / 60).collect();
        assert!(
            read_late(&steady, &[(10_000, 100_000)]).iter().all(|(_, verdict)| *verdict == Verdict::Accept)
        );
        let surplus = vec![9_999; 1_000];
        let accepted = read_late(&surplus, &[(10_000, 100_000)]).into_iter();
        assert_eq!(accepted.filter(|(_, verdict)| *verdict == Verdict::Accept).count(), 660);
    }

    #[test]
    fn the_credit_for_unread_time_is_bounded() {
        let hour_ms = 3_600_000;
        let mut limiter = RateLimiter::new(0);
        limiter.leave_unread(0);
        let arrival = limiter.arrival(hour_ms, hour_ms);
        let accepted = (0..100_000).filter(|_| limiter.check(LIMIT, arrival) == Verdict::Accept).count();
        assert_eq!(accepted as u64, 60 + UNREAD_CREDIT_MS_MAX / 1000 * 60);
    }

    #[test]
    fn a_deferred_message_takes_no_credit_from_unread_ones() {
        // The socket was left unread for 10 s, in which the player kept to the rate.
        let mut limiter = RateLimiter::new(0);
        limiter.leave_unread(0);
        assert!(limiter.accept_late(LIMIT, Arrival::at(10_000)));
        let arrival = limiter.arrival(10_000, 10_000);
        let accepted = (0..600).filter(|_| limiter.check(LIMIT, arrival) == Verdict::Accept).count();
        assert_eq!(accepted, 600);
    }

    proptest! {
        #[test]
        fn a_client_within_the_rate_loses_no_message_to_late_reads(
            pauses in proptest::collection::vec(17u64..400, 1..600),
            reads in proptest::collection::vec((1u64..8_000, 1usize..500), 1..50),
        ) {
            let sent_ms: Vec<u64> = pauses.iter().scan(0, |at, pause| { *at += pause; Some(*at) }).collect();
            // The backlog must fit the credit: reads of one or two messages each would let it grow without bound.
            let span = sent_ms.last().copied().unwrap_or(0) + 8_000 * 2;
            prop_assume!(span < UNREAD_CREDIT_MS_MAX);
            let reads: Vec<_> = reads.into_iter().map(|(pause, most)| (pause, most + 500)).collect();
            for (at_ms, verdict) in read_late(&sent_ms, &reads) {
                prop_assert_eq!(verdict, Verdict::Accept, "at {} ms", at_ms);
            }
        }

        #[test]
        fn a_client_over_the_rate_gets_no_more_over_any_window(
            pauses in proptest::collection::vec(0u64..20, 200..2_000),
            reads in proptest::collection::vec((1u64..2_000, 1usize..300), 1..50),
        ) {
            let sent_ms: Vec<u64> = pauses.iter().scan(0, |at, pause| { *at += pause; Some(*at) }).collect();
            let checked = read_late(&sent_ms, &reads);
            let accepted: Vec<u64> =
                checked.iter().filter(|(_, verdict)| *verdict == Verdict::Accept).map(|(at, _)| *at).collect();
            // From the start to any time: the burst plus the rate.
            for (count, at_ms) in accepted.iter().enumerate() {
                prop_assert!(count as u64 <= 60 + at_ms * 60 / 1000, "{} by {} ms", count + 1, at_ms);
            }
        }
    }
}
