//! Decoding a message and encoding it again gives the same bytes, and invalid bytes are refused for the first rule they break.

use pixi_game_server::wire::message::{ClientMessage, DecodeError, Facing, Move, decode};

const MOVE: u8 = 3;
const ATTACK: u8 = 5;

/// Lengths of the messages of each type, including the type byte, from the protocol description.
const LENGTHS: [(u8, &[usize]); 7] =
    [(1, &[1]), (2, &[1]), (MOVE, &[6, 14]), (4, &[2]), (ATTACK, &[1, 9]), (6, &[1]), (13, &[5])];

pub fn check(bytes: &[u8]) {
    let decoded = decode(bytes);
    assert_eq!(decoded.err(), expected_error(bytes), "{bytes:02x?}");
    let Ok(message) = decoded else { return };
    let encoded = encode(message);
    assert_eq!(decode(&encoded), Ok(message), "{encoded:02x?}");
    // The coordinates of an attack are not decoded.
    let expected = if bytes[0] == ATTACK { &bytes[..1] } else { bytes };
    assert_eq!(encoded, expected);
}

fn expected_error(bytes: &[u8]) -> Option<DecodeError> {
    let Some(&kind) = bytes.first() else { return Some(DecodeError::Length) };
    let Some((_, lengths)) = LENGTHS.iter().find(|entry| entry.0 == kind) else {
        return Some(DecodeError::UnknownType);
    };
    if !lengths.contains(&bytes.len()) {
        return Some(DecodeError::Length);
    }
    let is_valid = match kind {
        MOVE => matches!(bytes[1], 0..=2 | 4..=6 | 8..=10),
        4 => matches!(bytes[1], 1 | 0xff),
        _ => true,
    };
    (!is_valid).then_some(DecodeError::Value)
}

fn encode(message: ClientMessage) -> Vec<u8> {
    match message {
        ClientMessage::Join => vec![1],
        ClientMessage::Leave => vec![2],
        ClientMessage::Move(step) => encode_move(step),
        ClientMessage::Direction(Facing::Right) => vec![4, 1],
        ClientMessage::Direction(Facing::Left) => vec![4, 0xff],
        ClientMessage::Attack => vec![ATTACK],
        ClientMessage::AttackEnd => vec![6],
        ClientMessage::Viewport { width, height } => {
            [&[13][..], &width.to_le_bytes(), &height.to_le_bytes()].concat()
        }
    }
}

fn encode_move(step: Move) -> Vec<u8> {
    let packed = (step.vector.dx() + 1) | ((step.vector.dy() + 1) << 2);
    let mut bytes = vec![MOVE, packed as u8];
    bytes.extend_from_slice(&step.sequence.to_le_bytes());
    if let Some(claim) = step.claim {
        bytes.extend_from_slice(&claim.x.to_le_bytes());
        bytes.extend_from_slice(&claim.y.to_le_bytes());
    }
    bytes
}
