//! Messages from the client to the server.

use arrayvec::ArrayVec;

use super::{DecodeError, Facing, Vector, bytes, u16_at, u32_at};

/// Longest message of a client, in bytes: a MOVE with a claim.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 14;

const JOIN: u8 = 1;
const LEAVE: u8 = 2;
const MOVE: u8 = 3;
const DIRECTION: u8 = 4;
const ATTACK: u8 = 5;
const ATTACK_END: u8 = 6;
const VIEWPORT: u8 = 13;

/// A message from the client to the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientMessage {
    /// A message without effect: a player joins when its connection is upgraded.
    Join,
    /// The player leaves; the server closes with 1000.
    Leave,
    /// One step of a walk, or the end of the walk.
    Move {
        /// Direction of the step; zero when the key is released.
        vector: Vector,
        /// The client's sequence number of this input.
        sequence: u32,
        /// Position the client claims after the step, in world units. Load tools omit it.
        claim: Option<(u32, u32)>,
    },
    /// The player turned.
    Direction(Facing),
    /// An attack began.
    Attack {
        /// Aim in *screen* coordinates. Some clients omit it.
        aim: Option<(f32, f32)>,
    },
    /// The attack animation ended.
    AttackEnd,
    /// The rectangle of the world that the client shows around its player, in world units.
    Viewport {
        /// Extent along x.
        width: u16,
        /// Extent along y.
        height: u16,
    },
}

impl ClientMessage {
    /// Returns the message as the payload of one binary WebSocket message.
    pub fn to_bytes(&self) -> ArrayVec<u8, CLIENT_MESSAGE_BYTES_MAX> {
        let mut out = ArrayVec::new();
        match *self {
            ClientMessage::Join => out.push(JOIN),
            ClientMessage::Leave => out.push(LEAVE),
            ClientMessage::Move { vector, sequence, claim } => {
                out.extend([MOVE, vector.packed()]);
                out.extend(sequence.to_le_bytes());
                if let Some((x, y)) = claim {
                    out.extend(x.to_le_bytes());
                    out.extend(y.to_le_bytes());
                }
            }
            ClientMessage::Direction(facing) => {
                let side: i8 = if facing == Facing::Right { 1 } else { -1 };
                out.extend([DIRECTION, side as u8]);
            }
            ClientMessage::Attack { aim } => {
                out.push(ATTACK);
                if let Some((x, y)) = aim {
                    out.extend(x.to_le_bytes());
                    out.extend(y.to_le_bytes());
                }
            }
            ClientMessage::AttackEnd => out.push(ATTACK_END),
            ClientMessage::Viewport { width, height } => {
                out.push(VIEWPORT);
                out.extend(width.to_le_bytes());
                out.extend(height.to_le_bytes());
            }
        }
        out
    }

    /// Decodes a client's message, for example from a recording.
    ///
    /// # Errors
    ///
    /// The payload is not a valid client message.
    pub fn decode(payload: &[u8]) -> Result<ClientMessage, DecodeError> {
        let &kind = payload.first().ok_or(DecodeError::Empty)?;
        match (kind, payload.len()) {
            (JOIN, 1) => Ok(ClientMessage::Join),
            (LEAVE, 1) => Ok(ClientMessage::Leave),
            (MOVE, 6 | 14) => decode_move(payload),
            (DIRECTION, 2) => match payload[1] as i8 {
                1 => Ok(ClientMessage::Direction(Facing::Right)),
                -1 => Ok(ClientMessage::Direction(Facing::Left)),
                _ => Err(DecodeError::BadFacing(payload[1])),
            },
            (ATTACK, 1) => Ok(ClientMessage::Attack { aim: None }),
            (ATTACK, 9) => Ok(ClientMessage::Attack { aim: Some((f32_at(payload, 1), f32_at(payload, 5))) }),
            (ATTACK_END, 1) => Ok(ClientMessage::AttackEnd),
            (VIEWPORT, 5) => {
                Ok(ClientMessage::Viewport { width: u16_at(payload, 1), height: u16_at(payload, 3) })
            }
            (JOIN | LEAVE | MOVE | DIRECTION | ATTACK | ATTACK_END | VIEWPORT, length) => {
                Err(DecodeError::WrongLength { kind, length })
            }
            _ => Err(DecodeError::UnknownType(kind)),
        }
    }
}

fn decode_move(payload: &[u8]) -> Result<ClientMessage, DecodeError> {
    let packed = payload[1];
    let (dx, dy) = ((packed & 3) as i8 - 1, (packed >> 2 & 3) as i8 - 1);
    let vector = Vector::new(dx, dy).filter(|_| packed >> 4 == 0).ok_or(DecodeError::BadPacked(packed))?;
    let claim = (payload.len() == 14).then(|| (u32_at(payload, 6), u32_at(payload, 10)));
    Ok(ClientMessage::Move { vector, sequence: u32_at(payload, 2), claim })
}

fn f32_at(payload: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes(payload, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_invalid_messages_with_the_reason() {
        let wrong_length = |kind, length| Err(DecodeError::WrongLength { kind, length });
        assert_eq!(ClientMessage::decode(&[]), Err(DecodeError::Empty));
        assert_eq!(ClientMessage::decode(&[7]), Err(DecodeError::UnknownType(7)));
        assert_eq!(ClientMessage::decode(&[3, 5, 0, 0, 0, 0, 0]), wrong_length(3, 7));
        assert_eq!(ClientMessage::decode(&[13, 1, 0, 1]), wrong_length(13, 4));
        assert_eq!(ClientMessage::decode(&[4, 0]), Err(DecodeError::BadFacing(0)));
        for packed in [3, 12, 7, 0x15] {
            let payload = [3, packed, 0, 0, 0, 0];
            assert_eq!(ClientMessage::decode(&payload), Err(DecodeError::BadPacked(packed)));
        }
    }
}
