//! The CPU time budget of HTTP: a quarter of the time that the game leaves idle, and at least a sixteenth of all
//! time. Each loop iteration gets a slice of it, which bounds the delay of an ack.
//!
//! Pure: time is passed in, in nanoseconds.

use crate::limits::{HTTP_ALLOWANCE_NS_MAX, HTTP_SLICE_NS, HTTP_SLICE_VISITS};
use serde::{Deserialize, Serialize};

/// HTTP gets the idle time divided by this. More would slow down the game: the sources of a flood, and other
/// clients on the same machine, need the CPU as well.
const IDLE_TIME_DIVISOR: i64 = 4;

/// HTTP gets at least the elapsed time divided by this.
const ELAPSED_TIME_DIVISOR: i64 = 16;

/// The CPU time that HTTP may use. A visit that exceeds it leaves a debt.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "units are part of names")]
pub(super) struct HttpBudget {
    allowance_ns: i64,
    refilled_ns: u64,
    /// Busy time of the loop at `refilled_ns`, including HTTP.
    busy_ns: u64,
    /// Time used by HTTP since `refilled_ns`.
    used_ns: u64,
}

/// The HTTP work allowed in one loop iteration.
#[derive(Debug)]
pub(super) struct HttpSlice {
    until_ns: u64,
    visits: usize,
}

impl HttpBudget {
    pub fn new(now_ns: u64) -> Self {
        Self { allowance_ns: HTTP_ALLOWANCE_NS_MAX, refilled_ns: now_ns, busy_ns: 0, used_ns: 0 }
    }

    /// Refills the budget. `busy_ns` is the busy time of the loop since its start, including HTTP.
    pub fn refill(&mut self, now_ns: u64, busy_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.refilled_ns) as i64;
        let game_ns = busy_ns.saturating_sub(self.busy_ns).saturating_sub(self.used_ns) as i64;
        let refill_ns = ((elapsed_ns - game_ns) / IDLE_TIME_DIVISOR).max(elapsed_ns / ELAPSED_TIME_DIVISOR);
        self.allowance_ns = (self.allowance_ns + refill_ns).min(HTTP_ALLOWANCE_NS_MAX);
        (self.refilled_ns, self.busy_ns, self.used_ns) = (now_ns, busy_ns, 0);
    }

    /// Whether the budget is used up.
    pub fn is_exhausted(&self) -> bool {
        self.allowance_ns <= 0
    }

    /// Returns the slice of an iteration that starts its HTTP work now.
    pub fn slice(&self, now_ns: u64) -> HttpSlice {
        let slice_ns = self.allowance_ns.clamp(0, HTTP_SLICE_NS) as u64;
        HttpSlice { until_ns: now_ns + slice_ns, visits: HTTP_SLICE_VISITS }
    }

    /// Charges an iteration's HTTP time. The debt is bounded: the time may include a pause of the process.
    pub fn spend(&mut self, spent_ns: u64) {
        self.allowance_ns = (self.allowance_ns - spent_ns as i64).max(-HTTP_ALLOWANCE_NS_MAX);
        self.used_ns += spent_ns;
    }
}

impl HttpSlice {
    /// Takes one visit from the slice. Returns `false` if the slice is used up.
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

    /// Returns HTTP's milliseconds of a second, if the game works `game_ms` of each 10 and HTTP always.
    fn used_ms(game_ms: u64) -> u64 {
        let (mut budget, mut now_ns, mut busy_ns, mut used_ns) = (HttpBudget::new(0), 0, 0, 0);
        let mut owed_ns = 0;
        while now_ns < 1_000 * MS {
            // An iteration: the game's share of the elapsed time, then HTTP's slice in visits of 50 us.
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
    fn http_gets_a_quarter_of_the_idle_time() {
        assert!((230..=260).contains(&used_ms(0)), "{}", used_ms(0));
        assert!((60..=200).contains(&used_ms(5)), "{}", used_ms(5));
    }

    #[test]
    fn http_gets_its_minimum_beside_a_busy_game() {
        let mut budget = HttpBudget::new(0);
        budget.spend(HTTP_ALLOWANCE_NS_MAX as u64);
        assert!(budget.is_exhausted());
        budget.refill(16 * MS, 16 * MS + HTTP_ALLOWANCE_NS_MAX as u64);
        assert_eq!(budget.allowance_ns, MS as i64);
    }

    #[test]
    fn slices_are_bounded_and_idle_time_does_not_accumulate() {
        let mut budget = HttpBudget::new(0);
        budget.refill(1_000_000 * MS, 0);
        assert_eq!(budget.allowance_ns, HTTP_ALLOWANCE_NS_MAX);
        let mut slice = budget.slice(5);
        assert_eq!((0..1_000).filter(|_| slice.take(5)).count(), HTTP_SLICE_VISITS);
        let mut slice = budget.slice(5);
        assert!(slice.take(5) && !slice.take(5 + HTTP_SLICE_NS as u64));
        budget.spend(HTTP_ALLOWANCE_NS_MAX as u64 + 7);
        assert!(!budget.slice(5).take(5), "a debt is paid before new work");
        budget.spend(10_000 * MS);
        assert_eq!(budget.allowance_ns, -HTTP_ALLOWANCE_NS_MAX, "the debt of a pause is bounded");
    }
}
