//! Strict validation of frame headers (RFC 6455), byte by byte, before tungstenite sees them.
//!
//! tungstenite rejects a frame only once its header or all of it has arrived, accepts lengths that are not in their
//! shortest form, and reports an oversized control frame as an oversized message. Messages are at most 64 bytes
//! long, so every extended length is invalid, and two bytes of a header decide everything else.

use arrayvec::ArrayVec;

use super::Failure;
use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, MESSAGE_BYTES_MAX};

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
pub(super) const OPCODE: u8 = 0x0f;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PONG: u8 = 0xa;

/// First byte of an unfragmented message.
const UNFRAGMENTED: u8 = FIN | BINARY;

const MASKED: u8 = 0x80;
/// In the second byte: a 16-bit length follows.
const LENGTH_16: u8 = 126;
/// In the second byte: a 64-bit length follows.
const LENGTH_64: u8 = 127;
/// Leading bytes of a 64-bit length that are zero if the length fits into 16 bits.
const LENGTH_64_UPPER_BYTES: usize = 6;

/// Bytes of a header without its mask: a 64-bit length is invalid after its upper bytes at the latest.
const HEADER_BYTES_MAX: usize = 2 + LENGTH_64_UPPER_BYTES;
const MASK_BYTES: usize = 4;

/// The second byte of the longest unfragmented message.
const MESSAGE_SECOND_BYTE_MAX: u8 = MASKED | MESSAGE_BYTES_MAX as u8;

/// Validates the frames of one connection, independent of how its bytes are split.
#[derive(Debug)]
pub(super) struct FrameCheck {
    state: State,
    /// Header of the frame that is passing, without its mask; empty between frames.
    header: ArrayVec<u8, HEADER_BYTES_MAX>,
    /// Bytes of mask and payload that are left of that frame; 0 until its header is complete.
    body_bytes_left: u8,
}

/// The effect of the frames that have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BetweenMessages,
    /// A fragmented message has begun, and its last fragment has not passed.
    InMessage,
    /// A close frame has passed. The peer must send nothing after it, and nothing passes anymore.
    Closed,
    /// A frame is invalid; nothing passes anymore.
    Failed(Failure),
}

impl FrameCheck {
    /// Creates the state of a new connection.
    pub(super) fn new() -> Self {
        Self { state: State::BetweenMessages, header: ArrayVec::new_const(), body_bytes_left: 0 }
    }

    /// Returns the violation found, if any.
    pub(super) fn failure(&self) -> Option<Failure> {
        if let State::Failed(failure) = self.state { Some(failure) } else { None }
    }

    /// Returns whether a close frame has passed.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns whether every frame that has begun is complete.
    pub(super) fn is_between_frames(&self) -> bool {
        self.header.is_empty()
    }

    /// Takes the unmasked payload of the frame at the start of `input` if that is a whole message, as nearly always.
    pub(super) fn take_unfragmented(&self, input: &mut &[u8]) -> Option<ArrayVec<u8, MESSAGE_BYTES_MAX>> {
        let [UNFRAGMENTED, second @ MASKED..=MESSAGE_SECOND_BYTE_MAX, body @ ..] = *input else {
            return None;
        };
        if !self.is_between_frames() || self.state != State::BetweenMessages {
            return None;
        }
        let (mask, rest) = body.split_first_chunk::<MASK_BYTES>()?;
        let masked;
        (masked, *input) = rest.split_at_checked(usize::from(second & !MASKED))?;
        // Cut, not filled byte by byte: each `push` would check the capacity.
        let mut payload = ArrayVec::from([0; MESSAGE_BYTES_MAX]);
        payload.truncate(masked.len());
        for (at, (byte, masked)) in payload.iter_mut().zip(masked).enumerate() {
            *byte = masked ^ mask[at % MASK_BYTES];
        }
        Some(payload)
    }

    /// Returns whether a fragmented message has begun and not ended.
    pub(super) fn is_in_message(&self) -> bool {
        self.state == State::InMessage
    }

    /// Validates the next bytes of one frame. Returns how many are valid, up to its end or the first violation.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        if matches!(self.state, State::Closed | State::Failed(_)) {
            return 0;
        }
        let mut passed = 0;
        while self.body_bytes_left == 0 {
            let Some(&byte) = bytes.get(passed) else { return passed };
            // Never full: `body_bytes` refuses every header of the largest length.
            self.header.push(byte);
            match body_bytes(&self.header, self.state == State::InMessage) {
                Ok(count) => self.body_bytes_left = count,
                Err(failure) => {
                    self.state = State::Failed(failure);
                    return passed;
                }
            }
            passed += 1;
        }
        let count = (bytes.len() - passed).min(self.body_bytes_left.into());
        self.body_bytes_left -= count as u8;
        if self.body_bytes_left == 0 {
            self.state = match (self.header[0] & OPCODE, self.header[0] & FIN) {
                (CLOSE, _) => State::Closed,
                (CLOSE.., _) => self.state,
                (_, FIN) => State::BetweenMessages,
                _ => State::InMessage,
            };
            self.header.clear();
        }
        passed + count
    }
}

/// Returns the length of mask and payload behind this header, or 0 if the header is incomplete.
fn body_bytes(header: &[u8], is_in_message: bool) -> Result<u8, Failure> {
    let [first, ref rest @ ..] = *header else { return Ok(0) };
    let opcode = first & OPCODE;
    let is_in_order = match opcode {
        CONTINUATION => is_in_message,
        TEXT | BINARY => !is_in_message,
        CLOSE..=PONG => first & FIN != 0,
        _ => false,
    };
    if first & RESERVED_BITS != 0 || !is_in_order {
        return Err(Failure::Framing);
    }
    let [second, ref extended @ ..] = *rest else { return Ok(0) };
    let length = second & !MASKED;
    let payload_bytes_max = if opcode < CLOSE { MESSAGE_BYTES_MAX } else { CONTROL_PAYLOAD_BYTES_MAX };
    let is_too_long = usize::from(length) > payload_bytes_max;
    match (opcode, length, extended) {
        _ if second & MASKED == 0 => Err(Failure::Framing),
        (TEXT, ..) => Err(Failure::Text),
        // A close payload of one byte is half a code.
        (CLOSE, 1, _) => Err(Failure::Framing),
        (CLOSE.., ..) if is_too_long => Err(Failure::Framing),
        // An extended length is too long or, against RFC 6455 section 5.2, not in its shortest form. The highest
        // bit of a 64-bit length must be zero.
        (_, LENGTH_16, [] | [0]) => Ok(0),
        (_, LENGTH_16, [0, 0..LENGTH_16]) | (_, LENGTH_64, [0x80..=0xff, ..]) => Err(Failure::Framing),
        (_, LENGTH_64, upper) if upper.iter().all(|byte| *byte == 0) => {
            if upper.len() < LENGTH_64_UPPER_BYTES { Ok(0) } else { Err(Failure::Framing) }
        }
        _ if is_too_long => Err(Failure::TooLong),
        _ => Ok(MASK_BYTES as u8 + length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the number of bytes that pass, and the violation.
    fn pass(bytes: &[u8], chunk: usize) -> (usize, Option<Failure>) {
        let (mut check, mut passed) = (FrameCheck::new(), 0);
        for mut piece in bytes.chunks(chunk) {
            while let count @ 1.. = check.pass(piece) {
                (passed, piece) = (passed + count, &piece[count..]);
            }
        }
        (passed, check.failure())
    }

    #[test]
    fn the_state_fits_into_16_bytes() {
        assert!(size_of::<FrameCheck>() <= 16, "{} bytes", size_of::<FrameCheck>());
    }

    #[test]
    fn a_message_is_taken_only_between_messages() {
        let message = [0x82, 0x81, 1, 2, 3, 4, 5];
        let take = |earlier: &[u8]| {
            let mut check = FrameCheck::new();
            assert_eq!(check.pass(earlier), earlier.len());
            check.take_unfragmented(&mut &message[..])
        };
        for earlier in [&[][..], &[0x82, 0x80, 1, 2, 3, 4], &[0x89, 0x80, 1, 2, 3, 4]] {
            assert_eq!(take(earlier).as_deref(), Some(&[5 ^ 1][..]), "{earlier:x?}");
        }
        let unfinished: [&[u8]; 5] = [
            &[0x89][..],
            &[0x89, 0x87, 1, 2, 3, 4],
            &[0x82, 0x87, 1, 2, 3, 4],
            &[0x02, 0x80, 1, 2, 3, 4],
            &[0x88, 0x80, 1, 2, 3, 4],
        ];
        for earlier in unfinished {
            assert_eq!(take(earlier), None, "{earlier:x?}");
        }
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
    fn nothing_passes_after_a_close() {
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        for chunk in [1, 5, 8, 100] {
            assert_eq!(pass(&close.repeat(2), chunk), (8, None));
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
