//! The messages of both directions, as the browser client encodes and decodes them.
//!
//! All integers are little-endian, and one binary WebSocket message carries exactly one game message. This module
//! holds the parts both directions share; [`ClientMessage`] and [`ServerMessage`] have a file each.

mod client_message;
mod server_message;

use std::fmt;

use displaydoc::Display;

pub use client_message::{CLIENT_MESSAGE_BYTES_MAX, ClientMessage};
pub use server_message::ServerMessage;

/// A player's wire id. Ids only grow, and the first is 1001.
pub type PlayerId = u32;

/// A direction of movement: each component is -1, 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vector {
    dx: i8,
    dy: i8,
}

impl Vector {
    /// No movement.
    pub const ZERO: Vector = Vector { dx: 0, dy: 0 };
    /// Walking towards greater x.
    pub const RIGHT: Vector = Vector { dx: 1, dy: 0 };
    /// Walking towards smaller x.
    pub const LEFT: Vector = Vector { dx: -1, dy: 0 };
    /// Walking towards greater y.
    pub const DOWN: Vector = Vector { dx: 0, dy: 1 };
    /// Walking towards smaller y.
    pub const UP: Vector = Vector { dx: 0, dy: -1 };

    /// Returns the vector with these components, or `None` if one of them is not -1, 0 or 1.
    pub fn new(dx: i8, dy: i8) -> Option<Vector> {
        let unit = -1..=1;
        (unit.contains(&dx) && unit.contains(&dy)).then_some(Vector { dx, dy })
    }

    /// The component along x.
    pub fn dx(self) -> i8 {
        self.dx
    }

    /// The component along y.
    pub fn dy(self) -> i8 {
        self.dy
    }

    /// MOVE's packed byte: bits 0-1 are dx+1, bits 2-3 are dy+1.
    fn packed(self) -> u8 {
        (self.dx + 1) as u8 | ((self.dy + 1) as u8) << 2
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({}, {})", self.dx, self.dy)
    }
}

/// The side that a player faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// Towards smaller x.
    Left,
    /// Towards greater x.
    Right,
}

/// A player's state, as encoded in an entry's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Standing still.
    Idle,
    /// Walking.
    Moving,
    /// Standing still with the attack animation running.
    Attacking,
}

/// One player as `GAME_STATE` and `PLAYER_JOINED` list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The player.
    pub id: PlayerId,
    /// Position, in world units.
    pub x: u16,
    /// Position, in world units.
    pub y: u16,
    /// Direction of movement. The browser client ignores it.
    pub vector: Vector,
    /// The side it faces.
    pub facing: Facing,
    /// Its state.
    pub state: State,
}

/// The reason why a payload is not a valid message of its direction. A server must never send such a payload.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq)]
#[allow(clippy::doc_markdown, reason = "the documentation is the error's text")]
pub enum DecodeError {
    /// empty message
    Empty,
    /// unknown message type {0}
    UnknownType(u8),
    /// message of type {kind} has an invalid length of {length} bytes
    WrongLength {
        /// The message type.
        kind: u8,
        /// The payload's length, in bytes.
        length: usize,
    },
    /// GAME_STATE has a count of {count} entries in {length} bytes
    WrongCount {
        /// The count field.
        count: u32,
        /// The payload's length, in bytes.
        length: usize,
    },
    /// invalid vector component {0}
    BadVector(i8),
    /// invalid packed vector {0:#04x}
    BadPacked(u8),
    /// invalid player state {0}
    BadState(u8),
    /// invalid direction byte {0}
    BadFacing(u8),
}

impl std::error::Error for DecodeError {}

/// Returns the `N` bytes at `at`. The caller has checked the payload's length.
fn bytes<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    payload[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn u16_at(payload: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(payload, at))
}

fn u32_at(payload: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(payload, at))
}
