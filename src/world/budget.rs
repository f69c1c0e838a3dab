//! The reconciliation budget as a saved session stores it.
//!
//! The budget refills with time, whether its player is connected or not, so reconnecting gains nothing. A session
//! without a stored budget starts with an empty one.

use crate::limits::{RECONCILIATION_BUDGET_MAX, RECONCILIATION_REFILL_PER_S};
use serde::{Deserialize, Serialize};

/// Capacity of the budget, in thousandths of a unit.
const FULL_MILLI: u16 = {
    assert!(
        RECONCILIATION_BUDGET_MAX > 0 && RECONCILIATION_BUDGET_MAX <= 65,
        "the capacity in thousandths must fit into 16 bits"
    );
    RECONCILIATION_BUDGET_MAX as u16 * 1000
};

/// A reconciliation budget outside a world. It does not depend on the tick rate, so every node can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationBudget {
    milli: u16,
}

impl ReconciliationBudget {
    /// Length of the encoded form, in bytes.
    pub const BYTES: usize = 2;

    /// An empty budget: no lead is accepted until it has refilled.
    pub const EMPTY: Self = Self { milli: 0 };

    /// A full budget, with which new players start.
    pub const FULL: Self = Self { milli: FULL_MILLI };

    /// Returns the budget after `elapsed_ms` milliseconds of refill.
    #[must_use]
    pub fn refilled(self, elapsed_ms: u64) -> Self {
        // Thousandths of a unit per millisecond are units per second.
        let gain = elapsed_ms.min(u64::from(FULL_MILLI)) as u32 * RECONCILIATION_REFILL_PER_S;
        let milli = (u32::from(self.milli) + gain).min(u32::from(FULL_MILLI));
        Self { milli: milli as u16 }
    }

    /// Converts from units times the tick rate, rounded down.
    pub(super) fn of_scaled(budget_scaled: i32, tick_rate_hz: u32) -> Self {
        let milli = i64::from(budget_scaled) * 1000 / i64::from(tick_rate_hz);
        Self { milli: milli.clamp(0, i64::from(FULL_MILLI)) as u16 }
    }

    /// Converts to units times the tick rate, rounded down.
    pub(super) fn scaled(self, tick_rate_hz: u32) -> i32 {
        (i64::from(self.milli) * i64::from(tick_rate_hz) / 1000) as i32
    }

    /// Encodes the budget.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.milli.to_le_bytes()
    }

    /// Decodes a budget; `None` if it exceeds the capacity.
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
    fn time_refills_the_budget_up_to_its_capacity() {
        assert_eq!(ReconciliationBudget::EMPTY.refilled(1_000).scaled(60), 24 * 60);
        assert_eq!(ReconciliationBudget::EMPTY.refilled(2_083), ReconciliationBudget { milli: 49_992 });
        assert_eq!(ReconciliationBudget::EMPTY.refilled(u64::MAX), ReconciliationBudget::FULL);
        assert_eq!(ReconciliationBudget::FULL.refilled(1), ReconciliationBudget::FULL);
    }

    proptest! {
        #[test]
        fn conversion_never_increases_the_budget(scaled in 0i32..=50 * 240, from_hz in 1u32..=240, to_hz in 1u32..=240) {
            let scaled = scaled.min(RECONCILIATION_BUDGET_MAX * from_hz as i32);
            let budget = ReconciliationBudget::of_scaled(scaled, from_hz);
            prop_assert_eq!(ReconciliationBudget::from_bytes(budget.to_bytes()), Some(budget));
            let there = i64::from(budget.scaled(to_hz)) * i64::from(from_hz);
            prop_assert!(there <= i64::from(scaled) * i64::from(to_hz));
        }
    }

    #[test]
    fn rejects_more_than_the_capacity() {
        assert_eq!(
            ReconciliationBudget::from_bytes(ReconciliationBudget::FULL.to_bytes()),
            Some(ReconciliationBudget::FULL)
        );
        assert_eq!(ReconciliationBudget::from_bytes([0xff, 0xff]), None);
    }
}
