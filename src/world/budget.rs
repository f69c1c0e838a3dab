//! What a saved session keeps of a player's reconciliation budget.
//!
//! The budget refills by the clock whether its player is in the world or away, so that leaving and returning gains
//! nothing. A session without a known budget returns with an empty one.

use crate::limits::{RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};

/// The most that the budget holds, in thousandths of a unit.
const FULL_MILLI: u16 = {
    assert!(
        RECONCILIATION_BUDGET_MAX > 0 && RECONCILIATION_BUDGET_MAX <= 65,
        "thousandths of it fit 16 bits"
    );
    RECONCILIATION_BUDGET_MAX as u16 * 1000
};

/// A reconciliation budget outside a world: independent of any tick rate, so that any node can take it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconciliationBudget {
    milli: u16,
}

impl ReconciliationBudget {
    /// Bytes of the encoded form.
    pub const BYTES: usize = 2;

    /// Nothing may be claimed before the clock has refilled it.
    pub const EMPTY: Self = Self { milli: 0 };

    /// All that a budget holds: a newcomer's.
    pub const FULL: Self = Self { milli: FULL_MILLI };

    /// The budget after this many milliseconds.
    #[must_use]
    pub fn refilled(self, elapsed_ms: u64) -> Self {
        // Thousandths of a unit per millisecond are units per second.
        let gain = elapsed_ms.min(u64::from(FULL_MILLI)) as u32 * RECONCILIATION_REFILL_PER_S;
        let milli = (u32::from(self.milli) + gain).min(u32::from(FULL_MILLI));
        Self { milli: milli as u16 }
    }

    /// From units times the tick rate, rounded down.
    pub(super) fn of_scaled(budget_scaled: i32, tick_rate_hz: u32) -> Self {
        let milli = i64::from(budget_scaled) * 1000 / i64::from(tick_rate_hz);
        Self { milli: milli.clamp(0, i64::from(FULL_MILLI)) as u16 }
    }

    /// In units times the tick rate, rounded down.
    pub(super) fn scaled(self, tick_rate_hz: u32) -> i32 {
        (i64::from(self.milli) * i64::from(tick_rate_hz) / 1000) as i32
    }

    /// The encoded form.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.milli.to_le_bytes()
    }

    /// The budget of these bytes; `None` when no budget is that large.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let milli = u16::from_le_bytes(bytes);
        (milli <= FULL_MILLI).then_some(Self { milli })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_clock_refills_it_and_no_further_than_full() {
        assert_eq!(ReconciliationBudget::EMPTY.refilled(1_000).scaled(60), 24 * 60);
        assert_eq!(ReconciliationBudget::EMPTY.refilled(2_083), ReconciliationBudget { milli: 49_992 });
        assert_eq!(ReconciliationBudget::EMPTY.refilled(u64::MAX), ReconciliationBudget::FULL);
        assert_eq!(ReconciliationBudget::FULL.refilled(1), ReconciliationBudget::FULL);
    }

    proptest! {
        #[test]
        fn no_detour_adds_to_it(scaled in 0i32..=50 * 240, from_hz in 1u32..=240, to_hz in 1u32..=240) {
            let scaled = scaled.min(RECONCILIATION_BUDGET_MAX * from_hz as i32);
            let budget = ReconciliationBudget::of_scaled(scaled, from_hz);
            prop_assert_eq!(ReconciliationBudget::from_bytes(budget.to_bytes()), Some(budget));
            let there = i64::from(budget.scaled(to_hz)) * i64::from(from_hz);
            prop_assert!(there <= i64::from(scaled) * i64::from(to_hz));
        }
    }

    #[test]
    fn more_than_full_is_no_budget() {
        assert_eq!(
            ReconciliationBudget::from_bytes(ReconciliationBudget::FULL.to_bytes()),
            Some(ReconciliationBudget::FULL)
        );
        assert_eq!(ReconciliationBudget::from_bytes([0xff, 0xff]), None);
    }
}
