//! One side of the world, cut into strips of equal width.

/// Tells in which of the strips a coordinate lies. By multiplication, since a division for everybody who moves would be
/// most of what a tick costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridAxis {
    /// GridAxis a unit, in 2^-32.
    per_unit: u64,
    last: u32,
}

impl GridAxis {
    /// Cuts the coordinates from 0 up to and including `side` into `count` strips.
    ///
    /// # Panics
    /// When there are no strips.
    pub fn new(side: u16, count: u32) -> Self {
        assert!(count > 0, "a side has at least one strip");
        Self { per_unit: (u64::from(count) << 32) / (u64::from(side) + 1), last: count - 1 }
    }

    /// The strip of a coordinate, 0 to `count - 1`; what lies outside belongs to the first or the last.
    pub fn cell(&self, coordinate: i32) -> u32 {
        let strip = (u64::from(coordinate.max(0) as u32) * self.per_unit) >> 32;
        (strip as u32).min(self.last)
    }

    /// The strip of a coordinate that is known to lie inside: one multiplication.
    pub fn cell_inside(&self, coordinate: u16) -> u32 {
        let strip = (u64::from(coordinate) * self.per_unit) >> 32;
        debug_assert!(strip <= u64::from(self.last), "{coordinate} lies outside");
        strip as u32
    }

    /// Units from one end of a strip to the other, rounded up.
    pub fn cell_width(&self) -> u32 {
        (1u64 << 32).div_ceil(self.per_unit.max(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strips_are_in_order_and_as_wide_as_each_other(side in 100u16.., count in 1u32..200) {
            let strips = GridAxis::new(side, count);
            prop_assert_eq!(strips.cell(0), 0);
            prop_assert_eq!(strips.cell(-5), 0);
            prop_assert_eq!(strips.cell(i32::MAX), count - 1);
            for coordinate in 0..i32::from(side) {
                let (here, next) = (strips.cell(coordinate), strips.cell(coordinate + 1));
                prop_assert!(here <= next);
                prop_assert_eq!(strips.cell_inside(coordinate as u16), here);
                let exact = f64::from(coordinate) * f64::from(count) / (f64::from(side) + 1.0);
                prop_assert!((f64::from(here) - exact.floor()).abs() <= 1.0 && f64::from(here) <= exact);
            }
        }
    }
}
