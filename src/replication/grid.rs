//! A uniform grid over the world, rebuilt by counting sort whenever an entity has moved.
//!
//! The entities of a cell, and the cells of a row, are contiguous in one array. Searching a rectangle
//! therefore reads one contiguous run per row of cells.

use crate::limits::GRID_CELLS_PER_SIDE;
use crate::world::{GridAxis, Position, World};
use serde::{Deserialize, Serialize};

/// An entity in the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridEntry {
    /// The entity's slot.
    pub slot: u32,
    /// The entity's id.
    pub id: u32,
    /// The entity's position at the last rebuild.
    pub position: Position,
}

/// A rectangle in world units, all four edges included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Smallest x.
    pub left: i32,
    /// Smallest y.
    pub top: i32,
    /// Largest x.
    pub right: i32,
    /// Largest y.
    pub bottom: i32,
}

impl Rect {
    /// Returns the square with this half side around a point.
    pub fn around(x: i32, y: i32, half_side: i32) -> Self {
        Self { left: x - half_side, top: y - half_side, right: x + half_side, bottom: y + half_side }
    }

    /// Returns whether the point is inside the rectangle or on an edge.
    pub fn contains(&self, x: i32, y: i32) -> bool {
        // Branch-free: in a crowd, the result of each of the four comparisons is unpredictable.
        (x >= self.left) & (x <= self.right) & (y >= self.top) & (y <= self.bottom)
    }

    /// Returns the intersection of both rectangles.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Returns whether this rectangle contains the other one.
    pub fn covers(&self, other: &Self) -> bool {
        self.contains(other.left, other.top) && self.contains(other.right, other.bottom)
    }
}

/// Population up to which the grid has half as many cells per side. A search then reads fewer and longer runs.
const COARSE_POPULATION_MAX: usize = 2_500;

/// The entities by cell, as of the last rebuild.
#[derive(Debug, Serialize, Deserialize)]
pub struct Grid {
    columns: GridAxis,
    rows: GridAxis,
    cell_side: i32,
    /// Cells per side, which depends on the population.
    side: usize,
    /// `starts[cell]..starts[cell + 1]` are the entries of a cell.
    starts: Vec<u32>,
    entries: Vec<GridEntry>,
    /// The cell of each slot; used during a rebuild.
    cells: Vec<u16>,
}

impl Grid {
    /// Returns an empty grid over a world of this size, in units.
    pub fn new(width: u16, height: u16) -> Self {
        let (entries, cells) = (Vec::new(), Vec::new());
        let [columns, rows] = [width, height].map(|side| GridAxis::new(side, 1));
        let mut grid = Self { columns, rows, cell_side: 0, side: 1, starts: Vec::new(), entries, cells };
        grid.divide(width, height, GRID_CELLS_PER_SIDE / 2);
        grid
    }

    fn divide(&mut self, width: u16, height: u16, side: usize) {
        [self.columns, self.rows] = [width, height].map(|length| GridAxis::new(length, side as u32));
        self.cell_side = self.columns.cell_width().max(self.rows.cell_width()) as i32;
        self.side = side;
        self.starts = vec![0; side * side + 1];
    }

    /// Sorts all entities into cells, with two passes over the slots and one over the cells.
    pub fn rebuild(&mut self, world: &World) {
        let is_coarse = world.population() <= COARSE_POPULATION_MAX;
        let side = if is_coarse { GRID_CELLS_PER_SIDE / 2 } else { GRID_CELLS_PER_SIDE };
        if side != self.side {
            self.divide(world.rules().width, world.rules().height, side);
        }
        self.starts.fill(0);
        self.cells.clear();
        for slot in 0..world.slots() as u32 {
            let position = world.position(slot);
            let cell = self.row(i32::from(position.y)) * side + self.column(i32::from(position.x));
            self.cells.push(cell as u16);
            self.starts[cell + 1] += u32::from(world.id(slot).is_some());
        }
        for cell in 0..side * side {
            self.starts[cell + 1] += self.starts[cell];
        }
        let vacant = GridEntry { slot: 0, id: 0, position: Position { x: 0, y: 0 } };
        self.entries.resize(world.population(), vacant);
        // Filling a cell advances its start to the next cell's start; the starts are shifted back below.
        for (slot, &cell) in self.cells.iter().enumerate() {
            let slot = slot as u32;
            if let Some(id) = world.id(slot) {
                let next = &mut self.starts[usize::from(cell)];
                self.entries[*next as usize] = GridEntry { slot, id, position: world.position(slot) };
                *next += 1;
            }
        }
        self.starts.copy_within(0..side * side, 1);
        self.starts[0] = 0;
    }

    /// Returns all entries, in cell order.
    pub fn entries(&self) -> &[GridEntry] {
        &self.entries
    }

    /// Returns the entries of all cells that the rectangle touches, as one run per row of cells.
    pub fn runs(&self, rect: Rect) -> impl Iterator<Item = &[GridEntry]> {
        let (first, last) = (self.column(rect.left), self.column(rect.right));
        let is_empty = rect.top > rect.bottom || rect.left > rect.right;
        let rows = self.row(rect.top)..if is_empty { 0 } else { self.row(rect.bottom) + 1 };
        rows.map(move |row| {
            let start = self.starts[row * self.side + first] as usize;
            let end = self.starts[row * self.side + last + 1] as usize;
            &self.entries[start..end]
        })
    }

    /// Returns the longer side of a cell, in units.
    pub fn cell_side(&self) -> i32 {
        self.cell_side
    }

    fn column(&self, x: i32) -> usize {
        self.columns.cell(x) as usize
    }

    fn row(&self, y: i32) -> usize {
        self.rows.cell(y) as usize
    }
}

const _: () = assert!(GRID_CELLS_PER_SIDE.pow(2) <= 1 << 16, "a cell index must fit in 16 bits");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::world_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_rectangle_yields_each_entity_inside_once(
            places in proptest::collection::vec((0u16..=2000, 0u16..=2000), 0..200),
            center in (0i32..=2000, 0i32..=2000), half in 0i32..1200,
        ) {
            let world = world_of(&places);
            let mut grid = Grid::new(2000, 2000);
            grid.rebuild(&world);
            let rect = Rect::around(center.0, center.1, half);
            let inside = |o: &&GridEntry| rect.contains(i32::from(o.position.x), i32::from(o.position.y));
            let mut found: Vec<u32> = grid.runs(rect).flatten().filter(inside).map(|o| o.slot).collect();
            found.sort_unstable();
            let is_inside = |slot: &u32| {
                let p = world.position(*slot);
                rect.contains(i32::from(p.x), i32::from(p.y))
            };
            let expected: Vec<u32> = (0..places.len() as u32).filter(is_inside).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(grid.entries().len(), places.len());
        }
    }

    #[test]
    fn every_entity_is_found_at_either_resolution() {
        let mut grid = Grid::new(2000, 2000);
        for population in [COARSE_POPULATION_MAX, COARSE_POPULATION_MAX + 1, 10] {
            let place = |at: usize| ((at * 37 % 2001) as u16, (at * 101 % 2001) as u16);
            let world = world_of(&(0..population).map(place).collect::<Vec<_>>());
            grid.rebuild(&world);
            let rect = Rect::around(600, 700, 250);
            let inside =
                |entry: &&GridEntry| rect.contains(i32::from(entry.position.x), i32::from(entry.position.y));
            let found = grid.runs(rect).flatten().filter(inside).count();
            assert_eq!(found, grid.entries().iter().filter(inside).count(), "{population}");
            assert_eq!(grid.entries().len(), population);
        }
    }

    #[test]
    fn a_rebuild_removes_entities_that_left() {
        let mut world = world_of(&[(0, 0), (2000, 2000), (5, 5)]);
        let mut grid = Grid::new(2000, 2000);
        world.remove(0);
        grid.rebuild(&world);
        let slots: Vec<u32> = grid.entries().iter().map(|entry| entry.slot).collect();
        assert_eq!(slots, [2, 1]);
    }
}
