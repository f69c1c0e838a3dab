//! Parses a server's bytes after the upgrade, and checks that its frames are complete, valid and in order.

use game_client::ServerMessage;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The contents of a stream, without world states.
#[derive(Debug, Default)]
pub struct Received {
    /// Sequence numbers of the acknowledged MOVEs.
    pub acks: Vec<u32>,
    /// Whether the last frame is a Close.
    pub is_closed: bool,
}

pub fn read(mut bytes: &[u8]) -> Received {
    let (mut received, mut own_id) = (Received::default(), None);
    while let [first, ..] = *bytes {
        assert!(!received.is_closed, "frame {first:02x} after a Close");
        let payload = take_payload(&mut bytes);
        assert!(own_id.is_some() || first == BINARY, "frame {first:02x} before the first GAME_STATE");
        match first {
            BINARY => match (ServerMessage::decode(payload).expect("a message of the protocol"), own_id) {
                (ServerMessage::GameState(entries), None) => {
                    own_id = entries.iter().map(|entry| entry.id).max();
                    assert!(own_id.is_some(), "the first GAME_STATE is empty");
                }
                (message, None) => panic!("{message:?} before the first GAME_STATE"),
                (ServerMessage::MoveAck { id, sequence, .. }, Some(own_id)) => {
                    assert_eq!(id, own_id, "an ack for another player");
                    received.acks.push(sequence);
                }
                (ServerMessage::Joined(entry), Some(own_id)) => {
                    assert_ne!(entry.id, own_id, "a JOINED for the client's own player");
                }
                _ => {}
            },
            CLOSE => {
                assert!(payload.len() != 1 && payload.len() <= 125);
                assert!(payload.get(2..).is_none_or(|reason| std::str::from_utf8(reason).is_ok()));
                received.is_closed = true;
            }
            PING | PONG => assert!(payload.len() <= 125),
            other => panic!("the server never sends {other:02x}"),
        }
    }
    received
}

fn take_payload<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (length, head) = match bytes[1] {
        126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        length => (usize::from(length), 2),
    };
    assert!(length <= 125 || head == 4, "masked, or a 64-bit length");
    assert!(head == 2 || length >= 126, "the length is not in its shortest form");
    let (payload, rest) = bytes[head..].split_at_checked(length).expect("the frame is complete");
    *bytes = rest;
    payload
}
