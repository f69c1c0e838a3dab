//! The game protocol: decoding of client messages, and encoding of server messages.
//!
//! All integers are little-endian. One binary WebSocket frame carries exactly one message. Decoded values are
//! always valid; encoders append whole frames, header included.

use super::websocket::{begin_binary_frame, short_binary_header};
use serde::{Deserialize, Serialize};

/// A validated client message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Accepted and ignored: the upgrade has already added the player.
    Join,
    /// The player leaves; the connection is closed with code 1000.
    Leave,
    /// A step of movement, or its end.
    Move(Move),
    /// The player turns.
    Direction(Facing),
    /// The player starts an attack. The server ignores the screen coordinates that the client adds.
    Attack,
    /// The attack animation ended. After the first attack, the client repeats it about once a second forever.
    AttackEnd,
    /// The rectangle that the client shows, in world units, centered on its player.
    Viewport {
        /// Full width in units, unchecked.
        width: u16,
        /// Full height in units, unchecked.
        height: u16,
    },
}

/// The player's new movement vector, and the position claimed by its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Direction of movement.
    pub vector: Vector,
    /// The client's sequence number of this input, echoed in the ack.
    pub sequence: u32,
    /// The client's own position after this step; absent in the short form of the load tools.
    pub claim: Option<Claim>,
}

/// A position claimed by a client: any 32-bit numbers, inside the world or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Units from the left edge.
    pub x: u32,
    /// Units from the top edge.
    pub y: u32,
}

/// A movement vector: each axis is -1, 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vector {
    dx: i8,
    dy: i8,
}

impl Vector {
    /// Decodes the packed form: bits 0-1 are dx+1, bits 2-3 dy+1. A field of 3 or a higher bit is invalid.
    pub fn from_packed(packed: u8) -> Option<Self> {
        let (dx, dy) = (packed & 0b11, (packed >> 2) & 0b11);
        (packed >> 4 == 0 && dx != 3 && dy != 3).then_some(Self { dx: dx as i8 - 1, dy: dy as i8 - 1 })
    }

    /// Returns the horizontal component: -1, 0 or 1.
    pub fn dx(self) -> i8 {
        self.dx
    }

    /// Returns the vertical component: -1, 0 or 1.
    pub fn dy(self) -> i8 {
        self.dy
    }
}

/// The direction a player faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Facing {
    /// Towards smaller x.
    Left,
    /// Towards larger x.
    Right,
}

/// Why a message was refused. The message is counted and ignored; the connection stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The length does not match the type, or the message is empty.
    Length,
    /// The type is not one of a client message.
    UnknownType,
    /// A field holds a value outside its range.
    Value,
}

mod kind {
    pub const JOIN: u8 = 1;
    pub const LEAVE: u8 = 2;
    pub const MOVE: u8 = 3;
    pub const DIRECTION: u8 = 4;
    pub const ATTACK: u8 = 5;
    pub const ATTACK_END: u8 = 6;
    pub const GAME_STATE: u8 = 7;
    pub const MOVEMENT_ACK: u8 = 8;
    pub const PLAYER_JOINED: u8 = 11;
    pub const PLAYER_LEFT: u8 = 12;
    pub const VIEWPORT: u8 = 13;
    pub const PLAYER_ATTACK: u8 = 253;
    pub const PLAYER_DIRECTION: u8 = 254;
    pub const PLAYER_MOVEMENT: u8 = 255;
}

/// Decodes one client message.
///
/// # Errors
/// [`DecodeError`] names the violated rule.
pub fn decode(message: &[u8]) -> Result<ClientMessage, DecodeError> {
    let (&kind, body) = message.split_first().ok_or(DecodeError::Length)?;
    match kind {
        kind::JOIN => expect_empty(body, ClientMessage::Join),
        kind::LEAVE => expect_empty(body, ClientMessage::Leave),
        kind::MOVE => decode_move(body),
        kind::DIRECTION => match body {
            [1] => Ok(ClientMessage::Direction(Facing::Right)),
            [0xff] => Ok(ClientMessage::Direction(Facing::Left)),
            [_] => Err(DecodeError::Value),
            _ => Err(DecodeError::Length),
        },
        kind::ATTACK if body.is_empty() || body.len() == 8 => Ok(ClientMessage::Attack),
        kind::ATTACK => Err(DecodeError::Length),
        kind::ATTACK_END => expect_empty(body, ClientMessage::AttackEnd),
        kind::VIEWPORT => match *body {
            [w0, w1, h0, h1] => Ok(ClientMessage::Viewport {
                width: u16::from_le_bytes([w0, w1]),
                height: u16::from_le_bytes([h0, h1]),
            }),
            _ => Err(DecodeError::Length),
        },
        _ => Err(DecodeError::UnknownType),
    }
}

fn expect_empty(body: &[u8], message: ClientMessage) -> Result<ClientMessage, DecodeError> {
    if body.is_empty() { Ok(message) } else { Err(DecodeError::Length) }
}

fn decode_move(body: &[u8]) -> Result<ClientMessage, DecodeError> {
    let (packed, sequence, claim) = match *body {
        [packed, s0, s1, s2, s3] => (packed, [s0, s1, s2, s3], None),
        [packed, s0, s1, s2, s3, x0, x1, x2, x3, y0, y1, y2, y3] => {
            let x = u32::from_le_bytes([x0, x1, x2, x3]);
            let y = u32::from_le_bytes([y0, y1, y2, y3]);
            (packed, [s0, s1, s2, s3], Some(Claim { x, y }))
        }
        _ => return Err(DecodeError::Length),
    };
    let vector = Vector::from_packed(packed).ok_or(DecodeError::Value)?;
    Ok(ClientMessage::Move(Move { vector, sequence: u32::from_le_bytes(sequence), claim }))
}

/// A player's state: bits 0-6 of an entry's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not moving.
    Idle = 0,
    /// Moving along a vector.
    Moving = 1,
    /// Not moving, attack animation running.
    Attacking = 2,
}

/// A player in a `GAME_STATE` or `PLAYER_JOINED`: 11 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The player's id.
    pub id: u32,
    /// Units from the left edge.
    pub x: u16,
    /// Units from the top edge.
    pub y: u16,
    /// Horizontal component of the vector (the existing client ignores it here).
    pub dx: i8,
    /// Vertical component of the vector (the existing client ignores it here).
    pub dy: i8,
    /// State of the player.
    pub state: State,
    /// Direction the player faces.
    pub facing: Facing,
}

/// Bytes of an [`Entry`] on the wire.
pub const ENTRY_BYTES: usize = 11;

const FACING_RIGHT_FLAG: u8 = 0x80;

impl Entry {
    fn append(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..4].copy_from_slice(&self.id.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.x.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.y.to_le_bytes());
        bytes[8] = self.dx as u8;
        bytes[9] = self.dy as u8;
        bytes[10] = self.state as u8 | if self.facing == Facing::Right { FACING_RIGHT_FLAG } else { 0 };
        out.extend_from_slice(&bytes);
    }
}

/// Appends a `GAME_STATE` frame: all players that the client sees. The client removes the others.
pub fn game_state(out: &mut Vec<u8>, entries: impl ExactSizeIterator<Item = Entry>) {
    let count = entries.len();
    begin_binary_frame(out, 5 + ENTRY_BYTES * count);
    out.push(kind::GAME_STATE);
    out.extend_from_slice(&(count as u32).to_le_bytes());
    for entry in entries {
        entry.append(out);
    }
}

/// Appends a `MOVEMENT_ACK` frame: the reply to an accepted MOVE.
pub fn ack(out: &mut Vec<u8>, id: u32, x: u16, y: u16, sequence: u32) {
    let [[i0, i1, i2, i3], [s0, s1, s2, s3]] = [id, sequence].map(u32::to_le_bytes);
    let [[x0, x1], [y0, y1]] = [x, y].map(u16::to_le_bytes);
    let [h0, h1] = short_binary_header(13);
    out.extend_from_slice(&[h0, h1, kind::MOVEMENT_ACK, i0, i1, i2, i3, x0, x1, y0, y1, s0, s1, s2, s3]);
}

/// Appends a `PLAYER_JOINED` frame: a player entered the interest set.
pub fn joined(out: &mut Vec<u8>, entry: &Entry) {
    let [h0, h1] = short_binary_header(1 + ENTRY_BYTES);
    out.extend_from_slice(&[h0, h1, kind::PLAYER_JOINED]);
    entry.append(out);
}

/// Appends a `PLAYER_LEFT` frame: a player left the interest set or the world.
pub fn left(out: &mut Vec<u8>, id: u32) {
    let [h0, h1] = short_binary_header(5);
    let [i0, i1, i2, i3] = id.to_le_bytes();
    out.extend_from_slice(&[h0, h1, kind::PLAYER_LEFT, i0, i1, i2, i3]);
}

/// Appends a `PLAYER_ATTACK` frame: a visible player starts an attack at this position.
pub fn attack(out: &mut Vec<u8>, id: u32, x: u16, y: u16) {
    let [h0, h1] = short_binary_header(9);
    let [i0, i1, i2, i3] = id.to_le_bytes();
    let [[x0, x1], [y0, y1]] = [x, y].map(u16::to_le_bytes);
    out.extend_from_slice(&[h0, h1, kind::PLAYER_ATTACK, i0, i1, i2, i3, x0, x1, y0, y1]);
}

/// Appends a `PLAYER_DIRECTION` frame: a visible player turned.
pub fn direction(out: &mut Vec<u8>, id: u32, facing: Facing) {
    let [h0, h1] = short_binary_header(6);
    let [i0, i1, i2, i3] = id.to_le_bytes();
    let right = u8::from(facing == Facing::Right);
    out.extend_from_slice(&[h0, h1, kind::PLAYER_DIRECTION, i0, i1, i2, i3, right]);
}

/// A `PLAYER_MOVEMENT` frame.
pub type MovementFrame = [u8; 9];

/// Encodes a `PLAYER_MOVEMENT` frame: the vector along which the client moves that player from now on.
pub fn movement(id: u32, dx: i8, dy: i8) -> MovementFrame {
    let [h0, h1] = short_binary_header(7);
    let [i0, i1, i2, i3] = id.to_le_bytes();
    [h0, h1, kind::PLAYER_MOVEMENT, i0, i1, i2, i3, dx as u8, dy as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_lengths_of_move_decode() {
        let short = decode(&[3, 0b0110, 7, 0, 0, 0]);
        let vector = Vector { dx: 1, dy: 0 };
        assert_eq!(short, Ok(ClientMessage::Move(Move { vector, sequence: 7, claim: None })));
        let long = decode(&[3, 0b0110, 1, 0, 0, 0, 0x34, 1, 0, 0, 0xd8, 2, 0, 0]);
        let claim = Some(Claim { x: 308, y: 728 });
        assert_eq!(long, Ok(ClientMessage::Move(Move { vector, sequence: 1, claim })));
    }

    #[test]
    fn every_packed_byte_decodes_or_is_refused() {
        for packed in 0..=255u8 {
            let valid = packed < 16 && packed & 3 != 3 && packed >> 2 != 3;
            assert_eq!(Vector::from_packed(packed).is_some(), valid, "{packed:#b}");
        }
        assert_eq!(Vector::from_packed(0b1000), Some(Vector { dx: -1, dy: 1 }));
    }

    #[test]
    fn wrong_lengths_types_and_values_give_distinct_errors() {
        assert_eq!(decode(&[]), Err(DecodeError::Length));
        assert_eq!(decode(&[1, 0]), Err(DecodeError::Length));
        assert_eq!(decode(&[3; 7]), Err(DecodeError::Length));
        assert_eq!(decode(&[5, 0]), Err(DecodeError::Length));
        assert_eq!(decode(&[4, 0]), Err(DecodeError::Value));
        assert_eq!(decode(&[3, 3, 0, 0, 0, 0]), Err(DecodeError::Value));
        for kind in [0, 7, 8, 9, 10, 11, 12, 14, 0x20, 253, 255] {
            assert_eq!(decode(&[kind]), Err(DecodeError::UnknownType), "type {kind}");
        }
    }

    #[test]
    fn attacks_decode_with_and_without_coordinates() {
        assert_eq!(decode(&[5]), Ok(ClientMessage::Attack));
        assert_eq!(decode(&[5, 0, 0, 0x5c, 0x43, 0x66, 0x66, 0x5a, 0x43]), Ok(ClientMessage::Attack));
    }

    #[test]
    fn frames_carry_the_documented_bytes() {
        let mut out = Vec::new();
        ack(&mut out, 1004, 308, 728, 1);
        assert_eq!(out, [0x82, 13, 8, 0xec, 3, 0, 0, 0x34, 1, 0xd8, 2, 1, 0, 0, 0]);
        out.clear();
        out.extend_from_slice(&movement(1004, -1, 1));
        assert_eq!(out, [0x82, 7, 255, 0xec, 3, 0, 0, 0xff, 1]);
        out.clear();
        let entry =
            Entry { id: 1001, x: 5, y: 6, dx: 0, dy: -1, state: State::Moving, facing: Facing::Right };
        joined(&mut out, &entry);
        assert_eq!(out, [0x82, 12, 11, 0xe9, 3, 0, 0, 5, 0, 6, 0, 0, 0xff, 0x81]);
    }

    #[test]
    fn a_long_game_state_uses_the_extended_length() {
        let entry = Entry { id: 1, x: 0, y: 0, dx: 0, dy: 0, state: State::Idle, facing: Facing::Left };
        let mut out = Vec::new();
        game_state(&mut out, vec![entry; 20].into_iter());
        assert_eq!(out[..4], [0x82, 126, 0, 225]);
        assert_eq!(out.len(), 4 + 225);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }
}
