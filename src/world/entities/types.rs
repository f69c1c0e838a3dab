//! The vocabulary of the world: rules, inputs, positions and states.

use super::super::{Pace, Tick};
use serde::{Deserialize, Serialize};

/// The constant parameters of a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Right edge, in units; the edge itself belongs to the world.
    pub width: u16,
    /// Bottom edge, in units; the edge itself belongs to the world.
    pub height: u16,
    /// Area in which new players appear.
    pub spawn: Spawn,
    /// Tick rate and speed.
    pub pace: Pace,
    /// Duration of an attack that its client does not end, in ticks.
    pub attack_ticks: Tick,
    /// Seed of the spawn positions.
    pub seed: u64,
}

/// The spawn area: `min` inclusive, `max` exclusive, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vector {
    pub(in crate::world) dx: i8,
    pub(in crate::world) dy: i8,
}

impl Vector {
    /// No movement.
    pub const ZERO: Self = Self { dx: 0, dy: 0 };

    /// Creates the vector with the signs of `(dx, dy)`.
    pub fn new(dx: i8, dy: i8) -> Self {
        Self { dx: dx.signum(), dy: dy.signum() }
    }

    /// Returns the horizontal component.
    pub fn dx(self) -> i8 {
        self.dx
    }

    /// Returns the vertical component.
    pub fn dy(self) -> i8 {
        self.dy
    }
}

/// An input of a player, already validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Moves along a vector from now on, optionally with a claimed position.
    Move {
        /// The new vector.
        vector: Vector,
        /// Claimed coordinates; not validated, may lie outside the world.
        claim: Option<(u32, u32)>,
    },
    /// Turns to face right or left.
    Face {
        /// Right if true, left if false.
        right: bool,
    },
    /// Starts an attack.
    Attack,
    /// Ends the attack; ignored if there is none.
    AttackEnd,
}

/// A position inside the world, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Units from the left edge.
    pub x: u16,
    /// Units from the top edge.
    pub y: u16,
}

/// The authoritative position of a player after its MOVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The player's id.
    pub id: u32,
    /// Its position after the MOVE.
    pub position: Position,
}

/// Activity of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Standing still.
    Idle,
    /// Moving along a vector.
    Moving,
    /// Attacking, standing still.
    Attacking,
}
