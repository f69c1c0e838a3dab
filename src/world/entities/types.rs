//! What the world is spoken of with.

use super::super::{Pace, Tick};

/// What does not change while the world exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Right edge, in units; the edge itself belongs to the world.
    pub width: u16,
    /// Bottom edge, in units; the edge itself belongs to the world.
    pub height: u16,
    /// Where newcomers appear.
    pub spawn: Spawn,
    /// Tick rate and speed.
    pub pace: Pace,
    /// How long an attack lasts that its client never ends, in ticks.
    pub attack_ticks: Tick,
    /// Decides who spawns where.
    pub seed: u64,
}

/// The spawn area: `min` inclusive, `max` exclusive, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawn {
    /// Left edge.
    pub min_x: u16,
    /// Right edge, exclusive.
    pub max_x: u16,
    /// Top edge.
    pub min_y: u16,
    /// Bottom edge, exclusive.
    pub max_y: u16,
}

/// A direction of movement; each axis is -1, 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vector {
    pub(in crate::world) dx: i8,
    pub(in crate::world) dy: i8,
}

impl Vector {
    /// No movement.
    pub const ZERO: Self = Self { dx: 0, dy: 0 };

    /// The direction of `(dx, dy)`; only the signs count.
    pub fn new(dx: i8, dy: i8) -> Self {
        Self { dx: dx.signum(), dy: dy.signum() }
    }

    /// Horizontal component.
    pub fn dx(self) -> i8 {
        self.dx
    }

    /// Vertical component.
    pub fn dy(self) -> i8 {
        self.dy
    }
}

/// What a player does, already validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Moves along a vector from now on, perhaps claiming to stand somewhere.
    Move {
        /// The new vector.
        vector: Vector,
        /// Claimed coordinates, any numbers.
        claim: Option<(u32, u32)>,
    },
    /// Looks right (true) or left.
    Face {
        /// Whether it looks right.
        right: bool,
    },
    /// Starts an attack.
    Attack,
    /// Ends an attack; nothing when there is none.
    AttackEnd,
}

/// A position inside the world, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Units from the left edge.
    pub x: u16,
    /// Units from the top edge.
    pub y: u16,
}

/// Where the server believes a player to be after its MOVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The player's id.
    pub id: u32,
    /// Its position now.
    pub position: Position,
}

/// What a player is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Stands still.
    Idle,
    /// Has a vector.
    Moving,
    /// Attacks, standing still.
    Attacking,
}
