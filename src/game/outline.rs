//! What is read about a player again and again, as small as it can be.

use super::adoption::Point;
use super::stamp::Stamp;
use super::{Position, State, Tick, Vector};

/// No player's id.
pub(super) const VACANT: u32 = 0;

/// What others see of a player, in 16 bytes: a viewer's turn reads it for everybody in view, a million times a second,
/// and each read is a cache line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    /// The player's id, or [`VACANT`].
    pub(super) id: u32,
    /// The last change other than steady movement.
    pub(super) changed: Stamp,
    pub(crate) position: Position,
    pub(crate) vector: Vector,
    pub(crate) facing_right: bool,
    pub(super) attacking: bool,
}

const _: () = assert!(size_of::<Outline>() == 16);

impl Outline {
    /// The player's id; of no meaning when the slot is vacant.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn is(&self, id: u32) -> bool {
        self.id == id
    }

    pub(crate) fn moves(&self) -> bool {
        // One comparison: whether one axis is zero can't be predicted, whether both are mostly can.
        (self.vector.dx() | self.vector.dy()) != 0
    }

    /// Whether anything changed later than in tick `since`.
    pub(crate) fn has_changed_since(&self, since: Tick) -> bool {
        self.changed.is_after(since)
    }

    pub(crate) fn state(&self) -> State {
        if self.attacking {
            State::Attacking
        } else if self.moves() {
            State::Moving
        } else {
            State::Idle
        }
    }

    pub(super) fn point(&self) -> Point {
        Point { x: i32::from(self.position.x), y: i32::from(self.position.y) }
    }
}
