//! When something changed last.

use super::Tick;

/// The tick whose closing makes a change visible to others, as its lower 32 bits, so that what is read about everybody
/// in view stays small. Comparisons wrap: after 2^30 ticks, half a year at 60 a second, what is old may look new, and is
/// told once too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeTick(u32);

impl ChangeTick {
    /// The change_tick of what becomes visible when this tick closes.
    pub(crate) fn of(tick: Tick) -> Self {
        Self(tick as u32)
    }

    /// The change_tick of what has not changed since the player came, in this tick.
    pub(crate) fn long_before(tick: Tick) -> Self {
        Self((tick as u32).wrapping_sub(1 << 30))
    }

    /// Whether the change is news to somebody who knows everything up to tick `since`.
    pub(crate) fn is_after(self, since: Tick) -> bool {
        self.0.wrapping_sub(since as u32) as i32 > 0
    }

    /// The tick's lower 32 bits.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// Ticks from the change until `now`; none when it is yet to come.
    pub(crate) fn age(self, now: Tick) -> Tick {
        Tick::from((now as u32).wrapping_sub(self.0).cast_signed().max(0).cast_unsigned())
    }
}

/// When each aspect of a player changed last. Hardly ever read: an [`EntityState`] says whether it must be.
///
/// [`EntityState`]: super::entity_state::EntityState
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeTicks {
    pub(crate) vector: ChangeTick,
    pub(crate) facing: ChangeTick,
    pub(crate) attack: ChangeTick,
    pub(crate) jump: ChangeTick,
}

impl ChangeTicks {
    /// Nothing is news after this tick.
    pub(crate) fn all(change_tick: ChangeTick) -> Self {
        Self { vector: change_tick, facing: change_tick, attack: change_tick, jump: change_tick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_news_to_whoever_was_served_before_it() {
        let change_tick = ChangeTick::of(100);
        assert!(change_tick.is_after(99) && !change_tick.is_after(100) && !change_tick.is_after(101));
        assert_eq!((change_tick.age(130), change_tick.age(99)), (30, 0));
    }

    #[test]
    fn nothing_changes_where_32_bits_wrap() {
        let tick = (1 << 32) + 5;
        let change_tick = ChangeTick::of(tick);
        assert!(change_tick.is_after(tick - 10) && !change_tick.is_after(tick));
        assert_eq!(change_tick.age(tick + 7), 7);
    }
}
