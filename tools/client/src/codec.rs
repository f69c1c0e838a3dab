//! The messages of both directions, as the browser client encodes and decodes them.
//!
//! All integers are little-endian, and one binary WebSocket message carries exactly one game message. This module
//! holds the parts both directions share; [`ClientMessage`] and [`ServerMessage`] have a file each.

mod client_message;
mod server_message;

use std::fmt;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// An empty payload.
    Empty,
    /// A first byte that is not a message type, or is a type that must never be sent (9, 10, 0x20).
    UnknownType(u8),
    /// A payload longer or shorter than its type requires.
    WrongLength {
        /// The message type.
        kind: u8,
        /// The payload's length, in bytes.
        length: usize,
    },
    /// A `GAME_STATE` whose count disagrees with the number of entries.
    WrongCount {
        /// The count field.
        count: u32,
        /// The payload's length, in bytes.
        length: usize,
    },
    /// A vector component other than -1, 0 and 1.
    BadVector(i8),
    /// A MOVE's packed byte with a field of 3 or bits 4-7 set.
    BadPacked(u8),
    /// An entry's flags with a state other than idle, moving and attacking.
    BadState(u8),
    /// An invalid direction byte.
    BadFacing(u8),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Empty => write!(formatter, "empty message"),
            DecodeError::UnknownType(kind) => write!(formatter, "unknown message type {kind}"),
            DecodeError::WrongLength { kind, length } => {
                write!(formatter, "message of type {kind} has an invalid length of {length} bytes")
            }
            DecodeError::WrongCount { count, length } => {
                write!(formatter, "GAME_STATE has a count of {count} entries in {length} bytes")
            }
            DecodeError::BadVector(part) => write!(formatter, "invalid vector component {part}"),
            DecodeError::BadPacked(packed) => write!(formatter, "invalid packed vector {packed:#04x}"),
            DecodeError::BadState(state) => write!(formatter, "invalid player state {state}"),
            DecodeError::BadFacing(byte) => write!(formatter, "invalid direction byte {byte}"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_rejects_components_other_than_minus_one_zero_and_one() {
        assert_eq!(Vector::new(1, -1).map(|vector| (vector.dx(), vector.dy())), Some((1, -1)));
        assert_eq!(Vector::new(2, 0), None);
        assert_eq!(Vector::new(0, -2), None);
    }

    #[test]
    fn errors_describe_the_problem() {
        let error = DecodeError::WrongLength { kind: 255, length: 8 };
        assert_eq!(error.to_string(), "message of type 255 has an invalid length of 8 bytes");
    }
}
