//! When something changed last.

use super::Tick;

/// The tick whose closing makes a change visible to others, as its lower 32 bits, so that what is read about everybody
/// in view stays small. Comparisons wrap: after 2^30 ticks, half a year at 60 a second, what is old may look new, and is
/// told once too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    /// The stamp of what becomes visible when this tick closes.
    pub(crate) fn of(tick: Tick) -> Self {
        Self(tick as u32)
    }

    /// The stamp of what has not changed since the player came, in this tick.
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
pub(crate) struct Stamps {
    pub(crate) vector: Stamp,
    pub(crate) facing: Stamp,
    pub(crate) attack: Stamp,
    pub(crate) jump: Stamp,
}

impl Stamps {
    /// Nothing is news after this tick.
    pub(crate) fn all(stamp: Stamp) -> Self {
        Self { vector: stamp, facing: stamp, attack: stamp, jump: stamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_news_to_whoever_was_served_before_it() {
        let stamp = Stamp::of(100);
        assert!(stamp.is_after(99) && !stamp.is_after(100) && !stamp.is_after(101));
        assert_eq!((stamp.age(130), stamp.age(99)), (30, 0));
    }

    #[test]
    fn nothing_changes_where_32_bits_wrap() {
        let tick = (1 << 32) + 5;
        let stamp = Stamp::of(tick);
        assert!(stamp.is_after(tick - 10) && !stamp.is_after(tick));
        assert_eq!(stamp.age(tick + 7), 7);
    }
}
