//! How much of the loop's time HTTP may have: a quarter of what the game leaves, and a sixteenth of all in any case. One turn
//! gets a slice of it, so that an ack waits for no more than that.
//!
//! Pure: time is passed in, in nanoseconds.

use crate::limits::{HTTP_ALLOWANCE_NS_MAX, HTTP_SLICE_NS, HTTP_SLICE_VISITS};

/// HTTP has one in this many parts of the time that the game leaves. More would show: the peers of a flood, and clients beside
/// them, need the processor as well.
const IDLE_TIME_DIVISOR: i64 = 4;

/// HTTP has at least one in this many parts of all the time.
const ELAPSED_TIME_DIVISOR: i64 = 16;

/// Time that HTTP may use. A visit that takes longer than the rest leaves a debt.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "a unit is part of a name")]
pub(super) struct HttpBudget {
    allowance_ns: i64,
    refilled_ns: u64,
    /// What the loop had worked by then, HTTP included.
    busy_ns: u64,
    /// What HTTP has used since.
    used_ns: u64,
}

/// What one turn of the loop may do for HTTP.
#[derive(Debug)]
pub(super) struct HttpSlice {
    until_ns: u64,
    visits: usize,
}

impl HttpBudget {
    pub fn new(now_ns: u64) -> Self {
        Self { allowance_ns: HTTP_ALLOWANCE_NS_MAX, refilled_ns: now_ns, busy_ns: 0, used_ns: 0 }
    }

    /// Time passes: the loop has worked for `busy_ns` since its start, HTTP included.
    pub fn refill(&mut self, now_ns: u64, busy_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.refilled_ns) as i64;
        let game_ns = busy_ns.saturating_sub(self.busy_ns).saturating_sub(self.used_ns) as i64;
        let refill_ns = ((elapsed_ns - game_ns) / IDLE_TIME_DIVISOR).max(elapsed_ns / ELAPSED_TIME_DIVISOR);
        self.allowance_ns = (self.allowance_ns + refill_ns).min(HTTP_ALLOWANCE_NS_MAX);
        (self.refilled_ns, self.busy_ns, self.used_ns) = (now_ns, busy_ns, 0);
    }

    /// Whether there is nothing to give at present.
    pub fn is_exhausted(&self) -> bool {
        self.allowance_ns <= 0
    }

    /// What the turn that begins its HTTP work now may do.
    pub fn slice(&self, now_ns: u64) -> HttpSlice {
        let slice_ns = self.allowance_ns.clamp(0, HTTP_SLICE_NS) as u64;
        HttpSlice { until_ns: now_ns + slice_ns, visits: HTTP_SLICE_VISITS }
    }

    /// The turn's HTTP work took so long. The debt is bounded, since a pause of the process may be part of it.
    pub fn spend(&mut self, spent_ns: u64) {
        self.allowance_ns = (self.allowance_ns - spent_ns as i64).max(-HTTP_ALLOWANCE_NS_MAX);
        self.used_ns += spent_ns;
    }
}

impl HttpSlice {
    /// Takes one visit of a connection, if there is one left.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let is_left = self.visits > 0 && now_ns < self.until_ns;
        self.visits -= usize::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// What HTTP gets of a second in which the game works for this many of each ten milliseconds and HTTP always has work.
    fn used_ms(game_ms: u64) -> u64 {
        let (mut budget, mut now_ns, mut busy_ns, mut used_ns) = (HttpBudget::new(0), 0, 0, 0);
        let mut owed_ns = 0;
        while now_ns < 1_000 * MS {
            // A turn: the game's part of what passed, then HTTP's slice, a visit of 50 us at a time.
            owed_ns += now_ns.saturating_sub(budget.refilled_ns) * game_ms / 10;
            now_ns += owed_ns;
            busy_ns += owed_ns;
            owed_ns = 0;
            budget.refill(now_ns, busy_ns);
            let (mut slice, start_ns) = (budget.slice(now_ns), now_ns);
            while slice.take(now_ns) {
                now_ns += 50_000;
            }
            budget.spend(now_ns - start_ns);
            busy_ns += now_ns - start_ns;
            used_ns += now_ns - start_ns;
            now_ns += 20_000;
        }
        used_ns / MS
    }

    #[test]
    fn http_has_a_quarter_of_what_the_game_leaves() {
        assert!((230..=260).contains(&used_ms(0)), "{}", used_ms(0));
        assert!((60..=200).contains(&used_ms(5)), "{}", used_ms(5));
    }

    #[test]
    fn a_busy_game_leaves_http_its_least_part() {
        let mut budget = HttpBudget::new(0);
        budget.spend(HTTP_ALLOWANCE_NS_MAX as u64);
        assert!(budget.is_exhausted());
        budget.refill(16 * MS, 16 * MS + HTTP_ALLOWANCE_NS_MAX as u64);
        assert_eq!(budget.allowance_ns, MS as i64);
    }

    #[test]
    fn a_turn_has_a_slice_and_time_off_is_not_saved_up() {
        let mut budget = HttpBudget::new(0);
        budget.refill(1_000_000 * MS, 0);
        assert_eq!(budget.allowance_ns, HTTP_ALLOWANCE_NS_MAX);
        let mut slice = budget.slice(5);
        assert_eq!((0..1_000).filter(|_| slice.take(5)).count(), HTTP_SLICE_VISITS);
        let mut slice = budget.slice(5);
        assert!(slice.take(5) && !slice.take(5 + HTTP_SLICE_NS as u64));
        budget.spend(HTTP_ALLOWANCE_NS_MAX as u64 + 7);
        assert!(!budget.slice(5).take(5), "a debt is paid first");
        budget.spend(10_000 * MS);
        assert_eq!(budget.allowance_ns, -HTTP_ALLOWANCE_NS_MAX, "a pause is no debt");
    }
}
