//! One axis of a uniform grid over the world.

use serde::{Deserialize, Serialize};

/// Maps a coordinate to a cell along one axis, by the reciprocal: a division per moving entity would dominate a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridAxis {
    /// Cells per unit, as a fixed-point number with 32 fractional bits.
    per_unit: u64,
    last: u32,
}

impl GridAxis {
    /// Divides the coordinates from 0 to `side`, inclusive, into `count` cells of equal width.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn new(side: u16, count: u32) -> Self {
        assert!(count > 0, "an axis has at least one cell");
        Self { per_unit: (u64::from(count) << 32) / (u64::from(side) + 1), last: count - 1 }
    }

    /// Returns the cell of a coordinate, 0 to `count - 1`. Coordinates outside the world are clamped to the first or last.
    pub fn cell(&self, coordinate: i32) -> u32 {
        let cell = (u64::from(coordinate.max(0) as u32) * self.per_unit) >> 32;
        (cell as u32).min(self.last)
    }

    /// Returns the cell of a coordinate that is known to lie inside the world, with one multiplication.
    pub fn cell_inside(&self, coordinate: u16) -> u32 {
        let cell = (u64::from(coordinate) * self.per_unit) >> 32;
        debug_assert!(cell <= u64::from(self.last), "{coordinate} lies outside");
        cell as u32
    }

    /// Returns the width of a cell in units, rounded up.
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
        fn cells_are_ordered_and_equally_wide(side in 100u16.., count in 1u32..200) {
            let axis = GridAxis::new(side, count);
            prop_assert_eq!(axis.cell(0), 0);
            prop_assert_eq!(axis.cell(-5), 0);
            prop_assert_eq!(axis.cell(i32::MAX), count - 1);
            for coordinate in 0..i32::from(side) {
                let (here, next) = (axis.cell(coordinate), axis.cell(coordinate + 1));
                prop_assert!(here <= next);
                prop_assert_eq!(axis.cell_inside(coordinate as u16), here);
                let exact = f64::from(coordinate) * f64::from(count) / (f64::from(side) + 1.0);
                prop_assert!((f64::from(here) - exact.floor()).abs() <= 1.0 && f64::from(here) <= exact);
            }
        }
    }
}
