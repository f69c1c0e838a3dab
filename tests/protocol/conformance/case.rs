//! One row of the tables, how to write it down, and how to try it.

use game_client::{ClientMessage, ServerMessage, Vector};

use crate::support::Server;
use crate::support::raw::{BINARY, CLOSE, FIN, Frame, PING, PONG, Raw, masked};

/// What a row's connection is asked last, if it shall stay.
const STILL_THERE: &[u8] = b"still there?";

/// Of a row's bytes so many are cut; the rest comes in one piece.
const CUT_BYTES_MAX: usize = 6_000;

/// One row.
pub struct Case {
    name: String,
    bytes: Vec<u8>,
    replies: Vec<Reply>,
    /// How the connection ends.
    pub end: End,
    /// Messages in it that are counted as malformed, and ignored.
    pub malformed: u64,
}

/// A frame that must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// The ack of the MOVE with this number.
    Ack(u32),
}

/// How the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It does not.
    Stays,
    /// The peer's Close is answered with one of the same payload.
    Echoed(Vec<u8>),
    /// The server closes with this code.
    Refused(u16),
}

/// How a row's bytes are cut into writes.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Whole,
    EachByte,
    Sevens,
}

impl Case {
    /// A connection that stays.
    pub fn stays(name: impl Into<String>, bytes: impl Into<Vec<u8>>, replies: &[Reply]) -> Case {
        let (replies, end) = (replies.to_vec(), End::Stays);
        Case { name: name.into(), bytes: bytes.into(), replies, end, malformed: 0 }
    }

    /// A connection that the peer closes, with this payload.
    pub fn echoed(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        replies: &[Reply],
        payload: &[u8],
    ) -> Case {
        Case { end: End::Echoed(payload.to_vec()), ..Case::stays(name, bytes, replies) }
    }

    /// A connection that the server closes, with this code.
    pub fn refused(name: impl Into<String>, bytes: impl Into<Vec<u8>>, replies: &[Reply], code: u16) -> Case {
        Case { end: End::Refused(code), ..Case::stays(name, bytes, replies) }
    }

    /// So many of its messages are none of the game.
    pub fn malformed(self, malformed: u64) -> Case {
        Case { malformed, ..self }
    }

    /// Tries it on a connection of its own.
    pub fn run(&self, server: &Server, cut: Cut) {
        let what = format!("{} ({cut:?})", self.name);
        let mut raw = Raw::upgraded(server.address());
        let (cut_bytes, rest) = self.bytes.split_at(self.bytes.len().min(CUT_BYTES_MAX));
        let piece = match cut {
            Cut::Whole => CUT_BYTES_MAX,
            Cut::EachByte => 1,
            Cut::Sevens => 7,
        };
        for piece in cut_bytes.chunks(piece).chain([rest]) {
            // Refused already: what has come back says why.
            if !raw.send(piece) {
                break;
            }
        }
        if self.end == End::Stays {
            raw.send_frame(FIN | PING, STILL_THERE);
        }
        let mut replies = Vec::new();
        let end = read(&mut raw, &mut replies, &what);
        assert_eq!(replies, self.replies, "{what}");
        match (&self.end, end) {
            (End::Stays, None) => {}
            (End::Echoed(expected), Some(payload)) => assert_eq!(&payload, expected, "{what}"),
            (End::Refused(expected), Some(payload)) => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert_eq!(code, Some(*expected), "{what}");
                assert!(std::str::from_utf8(&payload[2..]).is_ok(), "{what}");
            }
            (expected, end) => panic!("{what}: expected {expected:?}, the Close was {end:02x?}"),
        }
    }
}

/// Reads to the pong of the last question, or to a Close and the end behind it; gives the Close's payload.
fn read(raw: &mut Raw, replies: &mut Vec<Reply>, what: &str) -> Option<Vec<u8>> {
    loop {
        let Frame { first, payload } = raw.frame().unwrap_or_else(|| panic!("{what}: ended without a Close"));
        assert_eq!(first & 0xf0, FIN, "{what}: the server neither fragments nor extends");
        match first & 0xf {
            CLOSE => {
                assert_eq!(raw.frame(), None, "{what}: something follows the Close");
                return Some(payload);
            }
            PONG if payload == STILL_THERE => return None,
            PONG => replies.push(Reply::Pong(payload)),
            BINARY => {
                let message = ServerMessage::decode(&payload).expect("a message of the protocol");
                if let ServerMessage::MoveAck { sequence, .. } = message {
                    replies.push(Reply::Ack(sequence));
                }
            }
            opcode => panic!("{what}: opcode {opcode:#x}"),
        }
    }
}

/// The payload of a MOVE.
pub fn step(sequence: u32) -> Vec<u8> {
    ClientMessage::Move { vector: Vector::ZERO, sequence, claim: None }.to_bytes()
}

/// A whole MOVE in its frame.
pub fn a_move(sequence: u32) -> Vec<u8> {
    masked(FIN | BINARY, &step(sequence))
}

/// A ping in its frame.
pub fn ping(payload: &[u8]) -> Vec<u8> {
    masked(FIN | PING, payload)
}

/// The pong to it.
pub fn pong(payload: &[u8]) -> Reply {
    Reply::Pong(payload.to_vec())
}

/// A Close in its frame, with a code and a reason.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A frame masked with this key.
pub fn masked_with(key: [u8; 4], first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).expect("a short payload")];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A frame that is not masked.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).expect("a short payload")], payload].concat()
}

/// A frame with its length in two bytes, whether it needs them or not; masked with zeros.
pub fn length_16(first: u8, length: u16, payload: &[u8]) -> Vec<u8> {
    [&[first, 0xfe], &length.to_be_bytes()[..], &[0; 4], payload].concat()
}

/// A frame with its length in eight bytes.
pub fn length_64(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    [&[first, 0xff], &length.to_be_bytes()[..], &[0; 4], payload].concat()
}
