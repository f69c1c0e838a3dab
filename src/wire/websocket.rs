//! WebSocket framing over memory: tungstenite reads from a byte slice and writes to a buffer, without a socket.
//!
//! A [`WebSocket`] is one connection after the upgrade. The caller passes received bytes and takes [`Event`]s one
//! at a time; pongs and close replies are appended to the caller's buffer.
//!
//! `frame_check` validates headers and passes one frame at a time, so tungstenite holds no bytes between frames.
//! Nearly all frames are unfragmented messages that arrive whole. `frame_check` unmasks them itself: tungstenite's
//! state, its buffer and the buffer's reference count are six cold cache lines per connection.
//!
//! A close frame reaches tungstenite as a pong: tungstenite rejects the registered code 1014, and does not report
//! why it rejects a close frame. [`WebSocket`] reads the payload, and tungstenite sends the reply.

mod frame_check;
mod incomplete;

use std::io::{self, Read, Write};

use tungstenite::error::Error;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message};

use super::message::{ClientMessage, DecodeError, decode};
use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::prefetch::prefetch;
use frame_check::{CLOSE, FrameCheck, OPCODE, PONG};
use incomplete::Incomplete;

/// One connection's framing state.
#[derive(Debug)]
pub struct WebSocket {
    context: WebSocketContext,
    check: FrameCheck,
    /// Allocated only while a message or frame is incomplete.
    incomplete: Option<Box<Incomplete>>,
}

/// An event decoded from the peer's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A valid game message.
    Message(ClientMessage),
    /// A binary message that is not a valid game message. The caller counts it and keeps the connection.
    Malformed(DecodeError),
    /// A ping; the pong is already in the output.
    Ping,
    /// A pong.
    Pong,
    /// A close; the reply is already in the output, and the peer sends nothing more.
    Close,
}

/// A protocol violation: the caller answers with [`WebSocket::close`] and the matching code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A text message, valid UTF-8 or not: code 1003.
    Text,
    /// A message or frame longer than the bound: code 1009.
    TooLong,
    /// A close frame whose reason is not UTF-8: code 1007.
    InvalidReason,
    /// Any other violation of the framing: code 1002.
    Framing,
}

/// The close codes that the server sends on its own initiative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// The player left.
    Normal = 1000,
    /// The server shuts down, or the peer timed out.
    GoingAway = 1001,
    /// Invalid framing.
    Protocol = 1002,
    /// A text message; only binary ones are defined.
    Unsupported = 1003,
    /// Invalid UTF-8 where UTF-8 is required.
    InvalidPayload = 1007,
    /// A persistent flood.
    Policy = 1008,
    /// A message longer than any game message.
    TooBig = 1009,
    /// An internal error.
    Internal = 1011,
    /// A newer connection of the player's account. Private use: RFC 6455, section 7.4.2.
    Displaced = 4001,
}

impl From<Code> for u16 {
    fn from(code: Code) -> Self {
        code as Self
    }
}

impl Failure {
    /// Returns the close code to send.
    pub fn code(self) -> Code {
        match self {
            Self::Text => Code::Unsupported,
            Self::TooLong => Code::TooBig,
            Self::InvalidReason => Code::InvalidPayload,
            Self::Framing => Code::Protocol,
        }
    }
}

impl WebSocket {
    /// Creates the state of an upgraded connection, with a read buffer of `read_buffer_bytes` that it keeps.
    pub fn new(read_buffer_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(CONTROL_PAYLOAD_BYTES_MAX));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            check: FrameCheck::new(),
            incomplete: None,
        }
    }

    /// Returns the next event and advances `input` past the consumed bytes. Returns `None` when all bytes are
    /// consumed and no further event is complete. Replies (pong, close) are appended to `out`.
    ///
    /// # Errors
    /// [`Failure`] when the peer violated the framing; the connection must then be closed.
    pub fn next_event(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Failure> {
        if input.is_empty() {
            return Ok(None);
        }
        if let Some(payload) = self.check.take_unfragmented(input) {
            return Ok(Some(event_of(&payload)));
        }
        let mut memory =
            MemoryStream { input, out, check: &mut self.check, incomplete: &mut self.incomplete };
        match self.context.read(&mut memory) {
            Ok(Message::Binary(payload)) => Ok(Some(event_of(&payload))),
            Ok(Message::Ping(_)) => {
                // tungstenite queues the pong until the next call, perhaps the peer's next bytes. So flush now.
                let _ = self.context.flush(&mut memory);
                Ok(Some(Event::Ping))
            }
            Ok(Message::Pong(payload)) if self.check.is_closed() => {
                self.send_close(reply_to_close(&payload)?, out);
                Ok(Some(Event::Close))
            }
            Ok(Message::Pong(_)) => Ok(Some(Event::Pong)),
            Err(Error::Io(_)) => self.check.failure().map_or(Ok(None), Err),
            Err(Error::Capacity(_)) => Err(Failure::TooLong),
            // `FrameCheck` refuses all other violations, and text, earlier.
            Ok(_) | Err(_) => Err(Failure::Framing),
        }
    }

    /// Prefetches the cache lines that the next bytes need.
    pub fn prefetch(&self) {
        prefetch(&self.check);
    }

    /// Appends a ping without payload.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        let Self { check, incomplete, .. } = self;
        let mut memory = MemoryStream { input: &mut &[][..], out, check, incomplete };
        // Fails only after a close was sent, when a ping has no purpose.
        let _ = self.context.write(&mut memory, Message::Ping(Bytes::new()));
    }

    /// Appends a close frame, after which nothing may be sent. Does nothing if one was sent before.
    pub fn close(&mut self, code: impl Into<u16>, reason: &str, out: &mut Vec<u8>) {
        self.send_close(Some(CloseFrame { code: CloseCode::from(code.into()), reason: reason.into() }), out);
    }

    fn send_close(&mut self, frame: Option<CloseFrame>, out: &mut Vec<u8>) {
        let Self { check, incomplete, .. } = self;
        let mut memory = MemoryStream { input: &mut &[][..], out, check, incomplete };
        // `MemoryStream` accepts every byte, and a second close sends nothing.
        let _ = self.context.close(&mut memory, frame);
    }
}

/// Returns the reply to a close frame with this payload: the same code and reason.
fn reply_to_close(payload: &[u8]) -> Result<Option<CloseFrame>, Failure> {
    // `FrameCheck` refuses half a code.
    let Some((code, reason)) = payload.split_first_chunk() else { return Ok(None) };
    let code = u16::from_be_bytes(*code);
    // The sendable codes of RFC 6455 (section 7.4) and of IANA's registry, and the ranges for libraries and
    // applications. 1004 has no meaning, 1005, 1006 and 1015 are never sent, 1016 to 2999 are not registered.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Failure::Framing);
    }
    let reason = str::from_utf8(reason).map_err(|_| Failure::InvalidReason)?;
    Ok(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

fn event_of(payload: &[u8]) -> Event {
    decode(payload).map_or_else(Event::Malformed, Event::Message)
}

/// Appends the header of an unfragmented binary server frame; exactly `payload_bytes` of payload must follow.
///
/// # Panics
/// Never: writing to a vector cannot fail.
pub fn begin_binary_frame(out: &mut Vec<u8>, payload_bytes: usize) {
    let header = FrameHeader {
        is_final: true,
        rsv1: false,
        rsv2: false,
        rsv3: false,
        opcode: OpCode::Data(Data::Binary),
        mask: None,
    };
    header.format(payload_bytes as u64, out).expect("writing to a vector cannot fail");
}

/// Returns the header of an unfragmented binary server frame with a payload of up to 125 bytes, identical to
/// that of [`begin_binary_frame`]. Because it is a value, the caller writes header and payload in one store,
/// which matters at millions of frames per second.
///
/// # Panics
/// If the payload is longer.
pub const fn short_binary_header(payload_bytes: usize) -> [u8; 2] {
    assert!(payload_bytes <= 125, "longer payloads need an extended length");
    [0x82, payload_bytes as u8]
}

/// The stream that tungstenite uses as a socket: reads valid frames from a slice, writes to a vector.
struct MemoryStream<'a, 'b> {
    input: &'a mut &'b [u8],
    out: &'a mut Vec<u8>,
    check: &'a mut FrameCheck,
    incomplete: &'a mut Option<Box<Incomplete>>,
}

impl Read for MemoryStream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.input.len().min(buffer.len());
        let begins_frame = self.check.is_between_frames();
        let passed;
        (passed, *self.input) = self.input.split_at(self.check.pass(&self.input[..most]));
        let [first, ..] = *passed else { return Err(io::ErrorKind::WouldBlock.into()) };
        Incomplete::note(self.incomplete, passed, begins_frame, self.check);
        buffer[..passed.len()].copy_from_slice(passed);
        if begins_frame && first & OPCODE == CLOSE {
            buffer[0] = first ^ CLOSE ^ PONG;
        }
        Ok(passed.len())
    }
}

impl Write for MemoryStream<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes a masked client frame; the mask is fixed, since tungstenite tests masking.
    fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first_byte];
        if payload.len() < 126 {
            bytes.push(0x80 | payload.len() as u8);
        } else {
            bytes.push(0xfe);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
        bytes
    }

    fn run(bytes: &[u8], chunk: usize) -> (Vec<Event>, Option<Failure>, Vec<u8>) {
        let (mut websocket, mut out, mut events) = (WebSocket::new(256), Vec::new(), Vec::new());
        for piece in bytes.chunks(chunk.max(1)) {
            let mut input = piece;
            loop {
                match websocket.next_event(&mut input, &mut out) {
                    Ok(Some(Event::Close)) => {
                        events.push(Event::Close);
                        for mut rest in [input, &frame(0x89, b"?")] {
                            assert_eq!(websocket.next_event(&mut rest, &mut out), Ok(None), "after a close");
                        }
                        return (events, None, out);
                    }
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(failure) => return (events, Some(failure), out),
                }
            }
            assert!(input.is_empty(), "input must be consumed whole");
        }
        (events, None, out)
    }

    #[test]
    fn short_headers_match_those_of_tungstenite() {
        for payload_bytes in 0..=125 {
            let mut header = Vec::new();
            begin_binary_frame(&mut header, payload_bytes);
            assert_eq!(header, short_binary_header(payload_bytes));
        }
    }

    #[test]
    fn a_ping_between_fragments_is_answered_and_the_message_completes() {
        let mut bytes = frame(0x02, &[4]);
        bytes.extend(frame(0x89, b"hi"));
        bytes.extend(frame(0x80, &[1]));
        for chunk in [1, 3, 1000] {
            let (events, failure, out) = run(&bytes, chunk);
            let turn = ClientMessage::Direction(super::super::message::Facing::Right);
            assert_eq!(events, [Event::Ping, Event::Message(turn)]);
            assert_eq!(failure, None);
            assert_eq!(out, [0x8a, 2, b'h', b'i']);
        }
    }

    #[test]
    fn each_violation_has_its_close_code() {
        let cases: [(&str, Vec<u8>, Code); 14] = [
            ("text", frame(0x81, b"{}"), Code::Unsupported),
            ("broken utf-8", frame(0x81, &[0xff]), Code::Unsupported),
            ("65 bytes", frame(0x82, &[0; 65]), Code::TooBig),
            ("huge frame", frame(0x82, &[0; 4000]), Code::TooBig),
            ("unmasked", vec![0x82, 1, 1], Code::Protocol),
            ("reserved bit", frame(0xc2, &[1]), Code::Protocol),
            ("unknown opcode", frame(0x83, &[1]), Code::Protocol),
            ("fragmented ping", frame(0x09, &[]), Code::Protocol),
            ("long ping", frame(0x89, &[0; 126]), Code::Protocol),
            ("very long ping", frame(0x89, &[0; 127]), Code::Protocol),
            ("65 bytes in fragments", [frame(0x02, &[0; 64]), frame(0x80, &[0])].concat(), Code::TooBig),
            ("one byte of a close code", frame(0x88, &[3]), Code::Protocol),
            ("a close code that must not be sent", frame(0x88, &[0x03, 0xee]), Code::Protocol),
            ("a reason in broken utf-8", frame(0x88, &[0x03, 0xe8, 0xff]), Code::InvalidPayload),
        ];
        for (name, bytes, code) in cases {
            let (_, failure, _) = run(&bytes, 1000);
            assert_eq!(failure.map(Failure::code), Some(code), "{name}");
        }
    }

    #[test]
    fn every_code_is_echoed_with_its_reason_or_refused() {
        for code in 0..=u16::MAX {
            let payload = [&code.to_be_bytes()[..], b"bye"].concat();
            let is_registered = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            for chunk in [1, 1000] {
                let (events, failure, out) = run(&frame(0x88, &payload), chunk);
                if is_registered {
                    assert_eq!((events, failure), (vec![Event::Close], None), "{code}");
                    assert_eq!(out, [&[0x88, 5], &payload[..]].concat(), "{code}");
                } else {
                    assert_eq!((events, failure), (vec![], Some(Failure::Framing)), "{code}");
                    assert!(out.is_empty(), "{code}");
                }
            }
        }
    }

    #[test]
    fn an_empty_close_is_echoed_for_any_mask() {
        let (mut websocket, mut out) = (WebSocket::new(256), Vec::new());
        let mut input = &[0x88, 0x80, 0x03, 0xf6, 0, 0][..];
        assert_eq!(websocket.next_event(&mut input, &mut out), Ok(Some(Event::Close)));
        assert_eq!(out, [0x88, 0]);
    }

    #[test]
    fn a_reply_to_our_own_close_is_not_answered() {
        let (mut websocket, mut out) = (WebSocket::new(256), Vec::new());
        websocket.close(Code::GoingAway, "bye", &mut out);
        let sent = out.clone();
        let reply = frame(0x88, &1014_u16.to_be_bytes());
        assert_eq!(websocket.next_event(&mut &reply[..], &mut out), Ok(Some(Event::Close)));
        assert_eq!(out, sent);
    }

    #[test]
    fn nothing_follows_our_own_close() {
        let (mut websocket, mut out) = (WebSocket::new(256), Vec::new());
        websocket.close(Code::GoingAway, "bye", &mut out);
        websocket.close(Code::Internal, "again", &mut out);
        websocket.ping(&mut out);
        assert_eq!(out, [0x88, 5, 0x03, 0xe9, b'b', b'y', b'e']);
    }

    /// A client frame, valid or invalid, in arbitrary order.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let first = prop::sample::select(vec![0x82, 0x82, 0x82, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x88, 0x81]);
        let payload = prop_oneof![
            4 => Just(vec![3, 5, 1, 0, 0, 0]),
            2 => Just(vec![5]),
            1 => prop::collection::vec(any::<u8>(), 0..70),
        ];
        (first, payload).prop_map(|(first, payload)| frame(first, &payload))
    }

    /// A valid message of one to four fragments, with control frames before them.
    fn any_valid_message() -> impl Strategy<Value = Vec<u8>> {
        let control = (prop::sample::select(vec![0x89, 0x8a]), prop::collection::vec(any::<u8>(), 0..126))
            .prop_map(|(first, payload)| frame(first, &payload));
        let payload = prop_oneof![Just(vec![4, 1]), prop::collection::vec(any::<u8>(), 0..17)];
        let fragment = (prop::collection::vec(control, 0..2), payload);
        prop::collection::vec(fragment, 1..5).prop_map(|fragments| {
            let last = fragments.len() - 1;
            let frames = fragments.into_iter().enumerate().map(|(at, (control, payload))| {
                let first = if at == 0 { 0x02 } else { 0x00 } | if at == last { 0x80 } else { 0x00 };
                [control.concat(), frame(first, &payload)].concat()
            });
            frames.collect::<Vec<_>>().concat()
        })
    }

    /// A close frame that tungstenite accepts.
    fn any_valid_close() -> impl Strategy<Value = Vec<u8>> {
        prop::sample::select(vec![&b""[..], b"\x03\xe8", b"\x03\xf3bye", b"\x0f\xa0\xc3\xbc"])
            .prop_map(|payload| frame(0x88, payload))
    }

    struct Peer<'a>(&'a [u8], Vec<u8>);

    impl Read for Peer<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Reads a stream with tungstenite alone.
    fn run_tungstenite(bytes: &[u8]) -> (Vec<Event>, Option<Failure>, Vec<u8>) {
        let (mut peer, mut events) = (Peer(bytes, Vec::new()), Vec::new());
        let mut context = WebSocketContext::new(Role::Server, None);
        while let Ok(message) = context.read(&mut peer) {
            events.push(match message {
                Message::Binary(payload) => event_of(&payload),
                Message::Ping(_) => Event::Ping,
                Message::Pong(_) => Event::Pong,
                Message::Close(_) => Event::Close,
                other => panic!("{other:?}"),
            });
        }
        (events, None, peer.1)
    }

    proptest! {
        #[test]
        fn a_valid_stream_has_the_same_events_and_replies_with_tungstenite_alone(
            messages in prop::collection::vec(any_valid_message(), 0..10),
            close in prop::option::of(any_valid_close()), chunk in 1usize..300,
        ) {
            let bytes = [messages.concat(), close.unwrap_or_default()].concat();
            prop_assert_eq!(run(&bytes, chunk), run_tungstenite(&bytes));
        }

        #[test]
        fn events_do_not_depend_on_how_frames_are_split(
            frames in prop::collection::vec(any_frame(), 0..60), chunk in 2usize..100,
        ) {
            // Split into single bytes, no frame is complete: tungstenite handles all of them.
            let bytes = frames.concat();
            let one_by_one = run(&bytes, 1);
            prop_assert_eq!(&run(&bytes, chunk), &one_by_one);
            prop_assert_eq!(&run(&bytes, usize::MAX), &one_by_one);
        }

        #[test]
        fn events_do_not_depend_on_how_any_bytes_are_split(
            bytes in proptest::collection::vec(any::<u8>(), 0..600), chunk in 1usize..50,
        ) {
            let whole = run(&bytes, usize::MAX);
            let cut = run(&bytes, chunk);
            prop_assert_eq!(whole, cut);
        }
    }
}
