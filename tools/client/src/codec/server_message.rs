//! Messages from the server to the client, decoded strictly: the browser ignores surplus bytes, this decoder rejects
//! them.

use super::{DecodeError, Entry, Facing, PlayerId, State, Vector, u16_at, u32_at};

const GAME_STATE: u8 = 7;
const MOVEMENT_ACK: u8 = 8;
const PLAYER_JOINED: u8 = 11;
const PLAYER_LEFT: u8 = 12;
const PLAYER_ATTACK: u8 = 253;
const PLAYER_DIRECTION: u8 = 254;
const PLAYER_MOVEMENT: u8 = 255;

/// Length of the type and the count, in bytes.
const GAME_STATE_HEAD_BYTES: usize = 5;
const ENTRY_BYTES: usize = 11;

/// Flag of an entry: the player faces right.
const FLAG_RIGHT: u8 = 0x80;

/// A message from the server to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// All players that the client shows. The first `GAME_STATE` includes the client's own player, with the highest id.
    GameState(Vec<Entry>),
    /// The ack of one MOVE.
    MoveAck {
        /// The client's own id.
        id: PlayerId,
        /// Position on the server after that input, in world units.
        x: u16,
        /// Position on the server after that input, in world units.
        y: u16,
        /// Sequence number of the input.
        sequence: u32,
    },
    /// A player entered the interest set.
    Joined(Entry),
    /// A player left the interest set.
    Left(PlayerId),
    /// A player began an attack.
    Attack {
        /// The attacker.
        id: PlayerId,
        /// The attacker's position, in world units.
        x: u16,
        /// The attacker's position, in world units.
        y: u16,
    },
    /// A player turned.
    Direction {
        /// The player.
        id: PlayerId,
        /// The side it faces now.
        facing: Facing,
    },
    /// A player's direction of movement changed.
    Movement {
        /// The player.
        id: PlayerId,
        /// The new direction; zero if it stopped.
        vector: Vector,
    },
}

impl ServerMessage {
    /// Decodes the payload of one binary WebSocket message.
    ///
    /// # Errors
    ///
    /// The payload is not a valid server message.
    pub fn decode(payload: &[u8]) -> Result<ServerMessage, DecodeError> {
        let &kind = payload.first().ok_or(DecodeError::Empty)?;
        if let Some(expected) = fixed_length(kind)
            && payload.len() != expected
        {
            return Err(DecodeError::WrongLength { kind, length: payload.len() });
        }
        match kind {
            GAME_STATE => decode_game_state(payload),
            MOVEMENT_ACK => Ok(ServerMessage::MoveAck {
                id: u32_at(payload, 1),
                x: u16_at(payload, 5),
                y: u16_at(payload, 7),
                sequence: u32_at(payload, 9),
            }),
            PLAYER_JOINED => decode_entry(&payload[1..]).map(ServerMessage::Joined),
            PLAYER_LEFT => Ok(ServerMessage::Left(u32_at(payload, 1))),
            PLAYER_ATTACK => Ok(ServerMessage::Attack {
                id: u32_at(payload, 1),
                x: u16_at(payload, 5),
                y: u16_at(payload, 7),
            }),
            PLAYER_DIRECTION => {
                let facing = match payload[5] {
                    0 => Facing::Left,
                    1 => Facing::Right,
                    other => return Err(DecodeError::BadFacing(other)),
                };
                Ok(ServerMessage::Direction { id: u32_at(payload, 1), facing })
            }
            PLAYER_MOVEMENT => {
                let vector = decode_vector(payload[5], payload[6])?;
                Ok(ServerMessage::Movement { id: u32_at(payload, 1), vector })
            }
            _ => Err(DecodeError::UnknownType(kind)),
        }
    }
}

/// Returns the length of a message type, in bytes, or `None` for a type of variable length.
fn fixed_length(kind: u8) -> Option<usize> {
    match kind {
        MOVEMENT_ACK => Some(13),
        PLAYER_JOINED => Some(1 + ENTRY_BYTES),
        PLAYER_LEFT => Some(5),
        PLAYER_ATTACK => Some(9),
        PLAYER_DIRECTION => Some(6),
        PLAYER_MOVEMENT => Some(7),
        _ => None,
    }
}

fn decode_game_state(payload: &[u8]) -> Result<ServerMessage, DecodeError> {
    let length = payload.len();
    if length < GAME_STATE_HEAD_BYTES {
        return Err(DecodeError::WrongLength { kind: GAME_STATE, length });
    }
    let count = u32_at(payload, 1);
    let entries = &payload[GAME_STATE_HEAD_BYTES..];
    if entries.len() as u64 != u64::from(count) * ENTRY_BYTES as u64 {
        return Err(DecodeError::WrongCount { count, length });
    }
    let entries = entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect::<Result<_, _>>()?;
    Ok(ServerMessage::GameState(entries))
}

fn decode_entry(entry: &[u8]) -> Result<Entry, DecodeError> {
    let flags = entry[10];
    let state = match flags & !FLAG_RIGHT {
        0 => State::Idle,
        1 => State::Moving,
        2 => State::Attacking,
        other => return Err(DecodeError::BadState(other)),
    };
    Ok(Entry {
        id: u32_at(entry, 0),
        x: u16_at(entry, 4),
        y: u16_at(entry, 6),
        vector: decode_vector(entry[8], entry[9])?,
        facing: if flags & FLAG_RIGHT == 0 { Facing::Left } else { Facing::Right },
        state,
    })
}

fn decode_vector(dx: u8, dy: u8) -> Result<Vector, DecodeError> {
    let (dx, dy) = (dx as i8, dy as i8);
    let outside = if (-1..=1).contains(&dx) { dy } else { dx };
    Vector::new(dx, dy).ok_or(DecodeError::BadVector(outside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_one_byte_too_long_or_short_is_an_error() {
        let lengths = [(7, 5), (8, 13), (11, 12), (12, 5), (253, 9), (254, 6), (255, 7)];
        for (kind, length) in lengths {
            let mut payload = vec![0; length];
            payload[0] = kind;
            assert!(ServerMessage::decode(&payload).is_ok(), "type {kind}");
            payload.push(0);
            assert!(ServerMessage::decode(&payload).is_err(), "type {kind}, one byte more");
            payload.truncate(length - 1);
            let error = Err(DecodeError::WrongLength { kind, length: length - 1 });
            assert_eq!(ServerMessage::decode(&payload), error, "type {kind}, one byte less");
        }
    }
}
