//! Change ticks: the tick in which a field changed last.

use super::Tick;
use serde::{Deserialize, Serialize};

/// The tick whose end makes a change visible to viewers, truncated to 32 bits to keep the entity state small.
/// Comparisons wrap: after 2^30 ticks, half a year at 60 Hz, an old change can appear new and is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeTick(u32);

impl ChangeTick {
    /// Returns the change tick of a change that becomes visible when this tick closes.
    pub(super) fn of(tick: Tick) -> Self {
        Self(tick as u32)
    }

    /// Returns the change tick of a field that has never changed, for an entity added in this tick.
    pub(super) fn long_before(tick: Tick) -> Self {
        Self((tick as u32).wrapping_sub(1 << 30))
    }

    /// Returns whether the change is missing from a state sent as of tick `since`.
    pub(super) fn is_after(self, since: Tick) -> bool {
        self.0.wrapping_sub(since as u32) as i32 > 0
    }

    /// Returns the tick's lower 32 bits.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// Returns the number of ticks from the change to `now`; 0 if the change is in the future.
    pub(super) fn age(self, now: Tick) -> Tick {
        Tick::from((now as u32).wrapping_sub(self.0).cast_signed().max(0).cast_unsigned())
    }
}

/// The change ticks of an entity's fields, read only if the [`EntityState`] shows a need.
///
/// [`EntityState`]: super::entity_state::EntityState
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeTicks {
    pub(super) vector: ChangeTick,
    pub(super) facing: ChangeTick,
    pub(super) attack: ChangeTick,
    pub(super) jump: ChangeTick,
}

impl ChangeTicks {
    /// Sets all fields to the same change tick.
    pub(super) fn all(change_tick: ChangeTick) -> Self {
        Self { vector: change_tick, facing: change_tick, attack: change_tick, jump: change_tick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tick_is_after_every_earlier_tick() {
        let change_tick = ChangeTick::of(100);
        assert!(change_tick.is_after(99) && !change_tick.is_after(100) && !change_tick.is_after(101));
        assert_eq!((change_tick.age(130), change_tick.age(99)), (30, 0));
    }

    #[test]
    fn comparisons_hold_across_the_32_bit_wrap() {
        let tick = (1 << 32) + 5;
        let change_tick = ChangeTick::of(tick);
        assert!(change_tick.is_after(tick - 10) && !change_tick.is_after(tick));
        assert_eq!(change_tick.age(tick + 7), 7);
    }
}
