//! What a server's bytes after the upgrade say, and that they are whole and in order, whatever the client did.

use game_client::ServerMessage;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What there was in it beside pictures.
#[derive(Debug, Default)]
pub struct Heard {
    /// The numbers of the MOVEs acknowledged.
    pub acks: Vec<u32>,
    /// A Close, the last frame.
    pub is_closed: bool,
}

/// Reads a stream to its end.
pub fn read(mut bytes: &[u8]) -> Heard {
    let (mut heard, mut own_id) = (Heard::default(), None);
    while let [first, ..] = *bytes {
        assert!(!heard.is_closed, "frame {first:02x} behind a Close");
        let payload = take_payload(&mut bytes);
        assert!(own_id.is_some() || first == BINARY, "frame {first:02x} before the first picture");
        match first {
            BINARY => match (ServerMessage::decode(payload).expect("a message of the protocol"), own_id) {
                (ServerMessage::GameState(entries), None) => {
                    own_id = entries.iter().map(|entry| entry.id).max();
                    assert!(own_id.is_some(), "the first picture is empty");
                }
                (message, None) => panic!("{message:?} before the first picture"),
                (ServerMessage::MoveAck { id, sequence, .. }, Some(own_id)) => {
                    assert_eq!(id, own_id, "somebody else's ack");
                    heard.acks.push(sequence);
                }
                (ServerMessage::Joined(entry), Some(own_id)) => assert_ne!(entry.id, own_id, "its own ghost"),
                _ => {}
            },
            CLOSE => {
                assert!(payload.len() != 1 && payload.len() <= 125);
                assert!(payload.get(2..).is_none_or(|reason| std::str::from_utf8(reason).is_ok()));
                heard.is_closed = true;
            }
            PING | PONG => assert!(payload.len() <= 125),
            other => panic!("the server never sends {other:02x}"),
        }
    }
    heard
}

fn take_payload<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (length, head) = match bytes[1] {
        126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        length => (usize::from(length), 2),
    };
    assert!(length <= 125 || head == 4, "masked, or longer than the server ever says");
    assert!(head == 2 || length >= 126, "not the shortest form");
    let (payload, rest) = bytes[head..].split_at_checked(length).expect("a whole frame");
    *bytes = rest;
    payload
}
