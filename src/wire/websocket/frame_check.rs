//! Strict validation of frames (RFC 6455), byte by byte, before they reach tungstenite.
//!
//! tungstenite is laxer: it accepts lengths that are not in their shortest form, rejects frames only once they
//! are complete, and does not report why it rejects a close frame. Rejected bytes never reach it. Messages are
//! at most 64 bytes long, so every extended length is invalid, and two bytes of a header decide everything
//! else.

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
/// In the second byte: a 16-bit length follows.
const LENGTH_16: u8 = 126;
/// In the second byte: a 64-bit length follows.
const LENGTH_64: u8 = 127;
/// Leading bytes of a 64-bit length that are zero if the length fits into 16 bits.
const LENGTH_64_UPPER_BYTES: u8 = 6;

const HEADER_BYTES: usize = 2;
const MASK_BYTES: u8 = 4;
/// Index of a close code's last byte, counted from the start of the mask.
const CODE_LAST: u8 = MASK_BYTES + 1;

/// The second byte of the longest unfragmented message.
const MESSAGE_SECOND_BYTE_MAX: u8 = MASKED | MESSAGE_BYTES_MAX as u8;

/// A close code registered with IANA (Bad Gateway), unknown to tungstenite.
pub(super) const BAD_GATEWAY: u16 = 1014;

/// Validates the frames of one connection, independent of how its bytes are split.
#[derive(Debug)]
pub(super) struct FrameCheck {
    expects: Expects,
    /// First byte of the current frame.
    first: u8,
    /// Length of mask and payload of the current frame, in bytes.
    body_bytes: u8,
    /// Bytes of mask and payload that have passed.
    body_bytes_passed: u8,
    /// The first two bytes of a close frame's mask, later its code.
    close_code: [u8; 2],
    /// A fragmented message has begun, and its last fragment has not arrived.
    is_in_message: bool,
    /// A complete close frame has passed. The peer must send nothing after it, and nothing passes anymore.
    is_closed: bool,
    /// The violation found; nothing passes anymore.
    failure: Option<Failure>,
}

/// The next expected byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// First byte of a frame.
    First,
    /// Second byte of a frame: mask bit and length.
    Second,
    /// Byte of a 16-bit length, with its index.
    Length16(u8),
    /// Byte of a 64-bit length, with its index; all bytes before it are zero.
    Length64(u8),
    /// Byte of the mask or the payload.
    Body,
}

/// Result of [`FrameCheck::pass`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Number of valid bytes.
    pub(super) bytes: usize,
    /// Index among them of the last byte of a close code that equals [`BAD_GATEWAY`].
    pub(super) bad_gateway_at: Option<usize>,
}

/// The payload of an unfragmented message.
pub(super) struct Unfragmented {
    bytes: [u8; MESSAGE_BYTES_MAX],
    length: usize,
}

impl Unfragmented {
    /// Returns the unmasked payload.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl FrameCheck {
    /// Creates the state of a new connection.
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

    /// Returns the violation found, if any.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Validates the next bytes. Returns the number of valid bytes: all of them, those before the first invalid
    /// byte, or those up to the end of a close frame.
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

    /// Returns the code of the close frame that has passed; meaningless if it had none.
    pub(super) fn close_code(&self) -> u16 {
        u16::from_be_bytes(self.close_code)
    }

    fn expects_last_of_code(&self) -> bool {
        self.expects == Expects::Body && self.first & OPCODE == CLOSE && self.body_bytes_passed == CODE_LAST
    }

    /// Returns whether every frame that has begun is complete.
    pub(super) fn is_between_frames(&self) -> bool {
        self.expects == Expects::First && self.failure.is_none()
    }

    /// Takes the frame at the start of `input` if it is a complete, unfragmented message.
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

    /// Returns the length of the frame at the start of `rest` if it is a complete, unfragmented message, as
    /// nearly all frames are.
    fn unfragmented_bytes(&self, rest: &[u8]) -> Option<usize> {
        let [first, second, ..] = *rest else { return None };
        let is_message = self.expects == Expects::First
            && !self.is_in_message
            && first == FIN | BINARY
            && (MASKED..=MESSAGE_SECOND_BYTE_MAX).contains(&second);
        let frame_bytes = HEADER_BYTES + usize::from(MASK_BYTES) + usize::from(second & !MASKED);
        (is_message && frame_bytes <= rest.len()).then_some(frame_bytes)
    }

    /// Validates one byte of a header, or the available part of a body: at least one byte.
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
        // A close payload of one byte is half a code.
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

    /// Records a byte of a close frame's mask or code, and rejects a code that must not be sent.
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

/// Returns whether a close frame may carry this code: the sendable codes of RFC 6455 (section 7.4) and of
/// IANA's registry, and the ranges for libraries and applications. 1004 has no meaning, 1005, 1006 and 1015 are
/// never sent, 1016 to 2999 are not registered.
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Checks a byte of a 16-bit length; returns the index of the next one. Every such length is invalid: it is too
/// long, or it is not in the shortest form, which RFC 6455 section 5.2 requires.
fn check_length_16(at: u8, byte: u8) -> Result<u8, Failure> {
    match (at, byte) {
        (0, 0) => Ok(1),
        (1, 0..LENGTH_16) => Err(Failure::Framing),
        _ => Err(Failure::TooLong),
    }
}

/// Checks a byte of a 64-bit length, whose highest bit must be zero; returns the index of the next one.
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

    /// Returns the number of bytes that pass, and the violation.
    fn pass(bytes: &[u8], chunk: usize) -> (usize, Option<Failure>) {
        let mut check = FrameCheck::new();
        let passed = bytes.chunks(chunk).map(|piece| check.pass(piece).bytes).sum();
        (passed, check.failure())
    }

    #[test]
    fn the_state_fits_into_16_bytes() {
        assert!(size_of::<FrameCheck>() <= 16, "{} bytes", size_of::<FrameCheck>());
    }

    #[test]
    fn a_header_is_rejected_at_its_first_invalid_byte() {
        let (framing, text, too_long) = (Failure::Framing, Failure::Text, Failure::TooLong);
        let cases: [(&str, &[u8], usize, Failure); 18] = [
            ("reserved bit", &[0xc2], 0, framing),
            ("reserved opcode", &[0x83], 0, framing),
            ("continuation without a message", &[0x80], 0, framing),
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
    fn a_close_passes_with_sendable_codes() {
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
    fn bad_gateway_is_located_at_its_last_byte() {
        for code in 0..=u16::MAX {
            let [high, low] = code.to_be_bytes();
            let frame = [0x89, 0x80, 1, 2, 3, 4, 0x88, 0x83, 1, 2, 3, 4, high ^ 1, low ^ 2, b'x' ^ 3];
            let expected = (code == BAD_GATEWAY).then_some(13);
            assert_eq!(FrameCheck::new().pass(&frame).bad_gateway_at, expected, "{code}");
        }
        // A close frame without a payload has no code, whatever its mask.
        let empty = [0x88, 0x80, 0x03, 0xf6, 0, 0];
        assert_eq!(FrameCheck::new().pass(&empty), Passed { bytes: 6, bad_gateway_at: None });
    }

    #[test]
    fn nothing_passes_after_a_close() {
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
    fn only_control_frames_and_fragments_pass_inside_a_fragmented_message() {
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
        fn validation_does_not_depend_on_how_bytes_are_split(
            bytes in prop::collection::vec(prop::sample::select(vec![0x02, 0x82, 0x80, 0x88, 0x89, 0x83, 0x03, 0xe8, 0]), 0..80),
            chunk in 1usize..9,
        ) {
            prop_assert_eq!(pass(&bytes, chunk), pass(&bytes, 1000));
        }
    }
}
