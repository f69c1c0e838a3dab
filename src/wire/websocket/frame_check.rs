//! Frame headers by the letter of RFC 6455, checked byte by byte on their way into tungstenite.
//!
//! tungstenite is laxer (it takes lengths that are not in their shortest form), waits for whole frames before it refuses
//! them, and does not tell a close frame it objects to from any other. What is refused here never reaches it, and since
//! no message is longer than 64 bytes, no extended length is ever good: two bytes of a header are all there is to know.

use super::Failure;
use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, MESSAGE_BYTES_MAX};

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE: u8 = 0x0f;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xa;

const MASKED: u8 = 0x80;
/// In the second byte: the length is in the two bytes that follow.
const LENGTH_16: u8 = 126;
/// In the second byte: the length is in the eight bytes that follow.
const LENGTH_64: u8 = 127;
/// Bytes of the eight that are zero in every length that two bytes could have held.
const LENGTH_64_UPPER_BYTES: u8 = 6;

const HEADER_BYTES: usize = 2;
const MASK_BYTES: u8 = 4;
/// The place of a close code's last byte in mask and payload.
const CODE_LAST: u8 = MASK_BYTES + 1;

/// The second byte of the longest binary frame that is a message by itself.
const MESSAGE_SECOND_BYTE_MAX: u8 = MASKED | MESSAGE_BYTES_MAX as u8;

/// A close code that is registered with IANA (Bad Gateway), and that tungstenite does not know.
pub(super) const BAD_GATEWAY: u16 = 1014;

/// Follows one connection's frames through its bytes, however these are cut.
#[derive(Debug)]
pub(super) struct FrameCheck {
    expects: Expects,
    /// The first byte of the frame under way.
    first: u8,
    /// Bytes of mask and payload that the frame under way has.
    body_bytes: u8,
    /// So many of them have passed.
    body_bytes_passed: u8,
    /// The first two bytes of a close frame's mask, then its code.
    close_code: [u8; 2],
    /// A message has begun, and its last fragment has not.
    is_in_message: bool,
    /// A close frame has passed whole: the peer may send nothing behind it, and nothing passes any more.
    is_closed: bool,
    /// What stopped it: nothing passes any more.
    failure: Option<Failure>,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A frame's first.
    First,
    /// A frame's second: mask bit and length.
    Second,
    /// One of the two of a length, this one (from 0).
    Length16(u8),
    /// One of the eight of a length, this one (from 0); all before it are zero.
    Length64(u8),
    /// One of the mask or the payload.
    Body,
}

/// What [`FrameCheck::pass`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// How many bytes are in order.
    pub(super) bytes: usize,
    /// Where among them the last byte of a close code is that says [`BAD_GATEWAY`].
    pub(super) bad_gateway_at: Option<usize>,
}

/// The payload of a message that came in one frame.
pub(super) struct Unfragmented {
    bytes: [u8; MESSAGE_BYTES_MAX],
    length: usize,
}

impl Unfragmented {
    /// What was sent, unmasked.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl FrameCheck {
    /// A connection that has sent nothing.
    pub(super) fn new() -> Self {
        Self {
            expects: Expects::First,
            first: 0,
            body_bytes: 0,
            body_bytes_passed: 0,
            close_code: [0; 2],
            is_in_message: false,
            is_closed: false,
            failure: None,
        }
    }

    /// Why nothing passes any more, once that is so.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Looks at what follows the bytes looked at before, and says how many are in order: all of them, or those before
    /// the first byte that no frame may have there, or those up to the end of a close frame.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Passed {
        let (mut passed, mut bad_gateway_at) = (0, None);
        while passed < bytes.len() && !self.is_closed && self.failure.is_none() {
            let rest = &bytes[passed..];
            let was_code = self.expects_last_of_code();
            let step =
                if let Some(whole) = self.unfragmented_bytes(rest) { Ok(whole) } else { self.step(rest) };
            match step {
                Ok(count) => {
                    bad_gateway_at =
                        (was_code && self.close_code() == BAD_GATEWAY).then_some(passed).or(bad_gateway_at);
                    passed += count;
                }
                Err(failure) => self.failure = Some(failure),
            }
        }
        Passed { bytes: passed, bad_gateway_at }
    }

    /// The code of the close frame that has passed, if it has one.
    pub(super) fn close_code(&self) -> u16 {
        u16::from_be_bytes(self.close_code)
    }

    fn expects_last_of_code(&self) -> bool {
        self.expects == Expects::Body && self.first & OPCODE == CLOSE && self.body_bytes_passed == CODE_LAST
    }

    /// Whether all frames that have begun have passed whole.
    pub(super) fn is_between_frames(&self) -> bool {
        self.expects == Expects::First && self.failure.is_none()
    }

    /// Takes the frame that `input` begins with, if it is a whole, unfragmented message.
    pub(super) fn take_unfragmented(&self, input: &mut &[u8]) -> Option<Unfragmented> {
        let frame;
        (frame, *input) = input.split_at(self.unfragmented_bytes(input)?);
        let (mask, masked) = frame[HEADER_BYTES..].split_first_chunk::<{ MASK_BYTES as usize }>()?;
        let mut message = Unfragmented { bytes: [0; MESSAGE_BYTES_MAX], length: masked.len() };
        for (at, (byte, masked)) in message.bytes.iter_mut().zip(masked).enumerate() {
            *byte = masked ^ mask[at % mask.len()];
        }
        Some(message)
    }

    /// The length of the frame that `rest` begins with, if it is what nearly all are: a whole, unfragmented message.
    fn unfragmented_bytes(&self, rest: &[u8]) -> Option<usize> {
        let [first, second, ..] = *rest else { return None };
        let is_message = self.expects == Expects::First
            && !self.is_in_message
            && first == FIN | BINARY
            && (MASKED..=MESSAGE_SECOND_BYTE_MAX).contains(&second);
        let frame_bytes = HEADER_BYTES + usize::from(MASK_BYTES) + usize::from(second & !MASKED);
        (is_message && frame_bytes <= rest.len()).then_some(frame_bytes)
    }

    /// Takes one byte of a header, or as much of a body as there is: at least one byte.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Failure> {
        let byte = rest[0];
        match self.expects {
            Expects::First => self.take_first(byte)?,
            Expects::Second => self.take_second(byte)?,
            Expects::Length16(at) => {
                self.expects = Expects::Length16(check_length_16(at, byte)?);
            }
            Expects::Length64(at) => {
                self.expects = Expects::Length64(check_length_64(at, byte)?);
            }
            Expects::Body => return self.take_body(rest),
        }
        Ok(1)
    }

    fn take_first(&mut self, byte: u8) -> Result<(), Failure> {
        let is_in_order = byte & RESERVED_BITS == 0
            && match byte & OPCODE {
                CONTINUATION => self.is_in_message,
                TEXT | BINARY => !self.is_in_message,
                CLOSE..=PONG => byte & FIN != 0,
                _ => false,
            };
        (self.first, self.expects) = (byte, Expects::Second);
        if is_in_order { Ok(()) } else { Err(Failure::Framing) }
    }

    fn take_second(&mut self, byte: u8) -> Result<(), Failure> {
        let (opcode, length) = (self.first & OPCODE, byte & !MASKED);
        let is_control = opcode >= CLOSE;
        if byte & MASKED == 0 {
            return Err(Failure::Framing);
        }
        // Of a Close's payload, half a code is none.
        if is_control && (usize::from(length) > CONTROL_PAYLOAD_BYTES_MAX || (opcode == CLOSE && length == 1))
        {
            return Err(Failure::Framing);
        }
        if opcode == TEXT {
            return Err(Failure::Text);
        }
        self.expects = match length {
            LENGTH_16 => Expects::Length16(0),
            LENGTH_64 => Expects::Length64(0),
            _ if !is_control && usize::from(length) > MESSAGE_BYTES_MAX => return Err(Failure::TooLong),
            _ => Expects::Body,
        };
        if !is_control {
            self.is_in_message = self.first & FIN == 0;
        }
        (self.body_bytes, self.body_bytes_passed) = (MASK_BYTES + length, 0);
        Ok(())
    }

    fn take_body(&mut self, rest: &[u8]) -> Result<usize, Failure> {
        let is_code = self.first & OPCODE == CLOSE && self.body_bytes_passed < MASK_BYTES + 2;
        let left = self.body_bytes - self.body_bytes_passed;
        let count = if is_code { 1 } else { rest.len().min(left.into()) as u8 };
        if is_code {
            self.take_code(rest[0])?;
        }
        self.body_bytes_passed += count;
        if count == left {
            self.expects = Expects::First;
            self.is_closed = self.first & OPCODE == CLOSE;
        }
        Ok(count.into())
    }

    /// Takes a byte of a close frame's mask or of its code, which must be one that may be sent.
    fn take_code(&mut self, byte: u8) -> Result<(), Failure> {
        match self.body_bytes_passed {
            at @ 0..2 => self.close_code[usize::from(at)] = byte,
            MASK_BYTES => self.close_code[0] ^= byte,
            CODE_LAST => {
                self.close_code[1] ^= byte;
                if !is_sendable(self.close_code()) {
                    return Err(Failure::Framing);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a close frame may carry this code: those of RFC 6455 (section 7.4) and IANA's registry that may be sent, and those
/// for libraries and applications. 1004 has no meaning, 1005, 1006 and 1015 are never sent, 1016 to 2999 are not registered.
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The next byte's place in a length of two bytes, unless this one decides: all such lengths are too long, or should
/// not have taken two bytes (RFC 6455, section 5.2: the shortest form MUST be used).
fn check_length_16(at: u8, byte: u8) -> Result<u8, Failure> {
    match (at, byte) {
        (0, 0) => Ok(1),
        (1, 0..LENGTH_16) => Err(Failure::Framing),
        _ => Err(Failure::TooLong),
    }
}

/// The same for a length of eight bytes, whose highest bit must be clear.
fn check_length_64(at: u8, byte: u8) -> Result<u8, Failure> {
    match (at, byte) {
        (0, 0x80..) => Err(Failure::Framing),
        (_, 1..) => Err(Failure::TooLong),
        _ if at + 1 == LENGTH_64_UPPER_BYTES => Err(Failure::Framing),
        _ => Ok(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What passes of these bytes, and why no more.
    fn pass(bytes: &[u8], chunk: usize) -> (usize, Option<Failure>) {
        let mut check = FrameCheck::new();
        let passed = bytes.chunks(chunk).map(|piece| check.pass(piece).bytes).sum();
        (passed, check.failure())
    }

    #[test]
    fn its_state_is_tiny() {
        assert!(size_of::<FrameCheck>() <= 16, "{} bytes", size_of::<FrameCheck>());
    }

    #[test]
    fn a_header_is_refused_at_the_first_byte_that_breaks_it() {
        let (framing, text, too_long) = (Failure::Framing, Failure::Text, Failure::TooLong);
        let cases: [(&str, &[u8], usize, Failure); 18] = [
            ("reserved bit", &[0xc2], 0, framing),
            ("reserved opcode", &[0x83], 0, framing),
            ("continuation of nothing", &[0x80], 0, framing),
            ("fragmented ping", &[0x09], 0, framing),
            ("unmasked", &[0x82, 0x05], 1, framing),
            ("unmasked text", &[0x81, 0x05], 1, framing),
            ("text", &[0x81, 0x80], 1, text),
            ("65 bytes", &[0x82, 0xc1], 1, too_long),
            ("long ping", &[0x89, 0xfe], 1, framing),
            ("longer ping", &[0x89, 0xff], 1, framing),
            ("half a close code", &[0x88, 0x81], 1, framing),
            ("5 in two bytes", &[0x82, 0xfe, 0, 5], 3, framing),
            ("125 in two bytes", &[0x82, 0xfe, 0, 125], 3, framing),
            ("126", &[0x82, 0xfe, 0, 126], 3, too_long),
            ("256", &[0x82, 0xfe, 1], 2, too_long),
            ("65535 in eight bytes", &[0x82, 0xff, 0, 0, 0, 0, 0, 0], 7, framing),
            ("65536", &[0x82, 0xff, 0, 0, 0, 0, 0, 1], 7, too_long),
            ("highest bit", &[0x82, 0xff, 0x80], 2, framing),
        ];
        for (name, header, passed, failure) in cases {
            for chunk in [1, 2, 3, 100] {
                assert_eq!(pass(header, chunk), (passed, Some(failure)), "{name}");
            }
        }
    }

    #[test]
    fn a_close_passes_with_the_codes_that_may_be_sent() {
        for code in 0..=u16::MAX {
            let [high, low] = code.to_be_bytes();
            let frame = [0x88, 0x83, 1, 2, 3, 4, high ^ 1, low ^ 2, b'x' ^ 3];
            let is_good = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let expected = if is_good { (9, None) } else { (7, Some(Failure::Framing)) };
            assert_eq!(pass(&frame, 9), expected, "{code}");
            assert_eq!(pass(&frame, 1), expected, "{code}");
        }
    }

    #[test]
    fn the_code_that_tungstenite_lacks_is_found_where_it_ends() {
        for code in 0..=u16::MAX {
            let [high, low] = code.to_be_bytes();
            let frame = [0x89, 0x80, 1, 2, 3, 4, 0x88, 0x83, 1, 2, 3, 4, high ^ 1, low ^ 2, b'x' ^ 3];
            let expected = (code == BAD_GATEWAY).then_some(13);
            assert_eq!(FrameCheck::new().pass(&frame).bad_gateway_at, expected, "{code}");
        }
        // The mask of a close frame without a payload is no code.
        let empty = [0x88, 0x80, 0x03, 0xf6, 0, 0];
        assert_eq!(FrameCheck::new().pass(&empty), Passed { bytes: 6, bad_gateway_at: None });
    }

    #[test]
    fn nothing_passes_behind_a_close() {
        let close = |code: u16| {
            let [high, low] = code.to_be_bytes();
            [0x88, 0x82, 0, 0, 0, 0, high, low]
        };
        for (first, second) in [(1014, 1014), (1014, 1000), (1013, 1014), (1000, 1005)] {
            let frames = [close(first), close(second)].concat();
            for chunk in [1, 5, 8, 100] {
                assert_eq!(pass(&frames, chunk), (8, None), "{first}, {second}");
            }
            let mut check = FrameCheck::new();
            let expected = Passed { bytes: 8, bad_gateway_at: (first == BAD_GATEWAY).then_some(7) };
            assert_eq!((check.pass(&frames), check.close_code()), (expected, first), "{second}");
        }
    }

    #[test]
    fn frames_inside_a_fragmented_message_are_control_frames_and_its_fragments() {
        let begin = [0x02, 0x81, 1, 2, 3, 4, 9];
        let ping = [0x89, 0x80, 1, 2, 3, 4];
        let middle = [0x00, 0x80, 1, 2, 3, 4];
        let end = [0x80, 0x80, 1, 2, 3, 4];
        let whole = [&begin[..], &ping, &middle, &ping, &end, &begin].concat();
        assert_eq!(pass(&whole, 4), (whole.len(), None));
        let again = [&begin[..], &[0x82]].concat();
        assert_eq!(pass(&again, 100), (begin.len(), Some(Failure::Framing)));
    }

    proptest! {
        #[test]
        fn any_bytes_pass_alike_however_they_are_cut(
            bytes in prop::collection::vec(prop::sample::select(vec![0x02, 0x82, 0x80, 0x88, 0x89, 0x83, 0x03, 0xe8, 0]), 0..80),
            chunk in 1usize..9,
        ) {
            prop_assert_eq!(pass(&bytes, chunk), pass(&bytes, 1000));
        }
    }
}
