//! One case of the tables: its bytes, the expected replies, and how to run it.

use game_client::{ClientMessage, ServerMessage, Vector};

use crate::support::Server;
use crate::support::raw::{BINARY, CLOSE, FIN, Frame, PING, PONG, Raw, masked};

/// Payload of a last ping, which proves that the connection is open.
const LAST_PING: &[u8] = b"still there?";

/// Number of leading bytes of a case that are cut into pieces; the rest is sent at once.
const CUT_BYTES_MAX: usize = 6_000;

pub struct Case {
    name: String,
    bytes: Vec<u8>,
    replies: Vec<Reply>,
    pub end: End,
    /// Number of its messages that the server must count as malformed and ignore.
    pub malformed: u64,
}

/// An expected frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Pong(Vec<u8>),
    /// The ack of the MOVE with this sequence number.
    Ack(u32),
}

/// How the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Stays,
    /// The server echoes the peer's Close with this payload.
    Echoed(Vec<u8>),
    Refused(u16),
}

/// How the bytes of a case are cut into writes.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Whole,
    EachByte,
    Sevens,
}

impl Case {
    /// A connection that stays open.
    pub fn stays(name: impl Into<String>, bytes: impl Into<Vec<u8>>, replies: &[Reply]) -> Case {
        let (replies, end) = (replies.to_vec(), End::Stays);
        Case { name: name.into(), bytes: bytes.into(), replies, end, malformed: 0 }
    }

    /// A connection that the peer closes with this payload.
    pub fn echoed(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        replies: &[Reply],
        payload: &[u8],
    ) -> Case {
        Case { end: End::Echoed(payload.to_vec()), ..Case::stays(name, bytes, replies) }
    }

    /// A connection that the server closes with this code.
    pub fn refused(name: impl Into<String>, bytes: impl Into<Vec<u8>>, replies: &[Reply], code: u16) -> Case {
        Case { end: End::Refused(code), ..Case::stays(name, bytes, replies) }
    }

    pub fn malformed(self, malformed: u64) -> Case {
        Case { malformed, ..self }
    }

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
            // The server has closed already; the received frames contain the reason.
            if !raw.send(piece) {
                break;
            }
        }
        if self.end == End::Stays {
            raw.send_frame(FIN | PING, LAST_PING);
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

/// Reads up to the pong of the last ping, or up to the end. Returns the payload of a Close.
fn read(raw: &mut Raw, replies: &mut Vec<Reply>, what: &str) -> Option<Vec<u8>> {
    loop {
        let Frame { first, payload } = raw.frame().unwrap_or_else(|| panic!("{what}: ended without a Close"));
        assert_eq!(first & 0xf0, FIN, "{what}: the server uses no fragments and no reserved bits");
        match first & 0xf {
            CLOSE => {
                assert_eq!(raw.frame(), None, "{what}: something follows the Close");
                return Some(payload);
            }
            PONG if payload == LAST_PING => return None,
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

/// Payload of a MOVE.
pub fn step(sequence: u32) -> Vec<u8> {
    ClientMessage::Move { vector: Vector::ZERO, sequence, claim: None }.to_bytes().to_vec()
}

pub fn a_move(sequence: u32) -> Vec<u8> {
    masked(FIN | BINARY, &step(sequence))
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    masked(FIN | PING, payload)
}

pub fn pong(payload: &[u8]) -> Reply {
    Reply::Pong(payload.to_vec())
}

pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A frame masked with this key. The payload must be short.
pub fn masked_with(key: [u8; 4], first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).expect("a short payload")];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).expect("a short payload")], payload].concat()
}

/// A frame with a 16-bit length, even if a shorter one would do; masked with zeros.
pub fn length_16(first: u8, length: u16, payload: &[u8]) -> Vec<u8> {
    [&[first, 0xfe], &length.to_be_bytes()[..], &[0; 4], payload].concat()
}

pub fn length_64(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    [&[first, 0xff], &length.to_be_bytes()[..], &[0; 4], payload].concat()
}
