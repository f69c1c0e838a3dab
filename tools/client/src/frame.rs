//! WebSocket frames: encoding of the client's frames, and splitting of the server's stream into frames.
//!
//! Hand-written, since twenty thousand clients share one core. A frame is parsed in the read buffer, and only the
//! beginning of an incomplete one is copied.

use arrayvec::ArrayVec;
use displaydoc::Display;

/// Longest payload of a client's frame, in bytes. Game messages have at most 14 bytes, pongs up to 125.
const CLIENT_PAYLOAD_BYTES_MAX: usize = 125;

/// A complete frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One game message.
    Binary(&'a [u8]),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A close frame with its code; 1005 if it has none.
    Close(u16),
}

/// The reason why the server's bytes are not valid frames of a game server.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq)]
#[ignore_extra_doc_attributes]
pub enum FrameError {
    /// unexpected frame {0:#04x}
    ///
    /// Its first byte is not that of an unfragmented binary, ping, pong or close frame.
    Unexpected(u8),
    /// masked frame
    ///
    /// Only clients send them.
    Masked,
    /// frame too long
    ///
    /// A payload of 64 KiB or more (4,096 entries, the largest limit of a server, need 45 kB), or of more than 125
    /// bytes in a control frame.
    TooLong,
}

/// Parses the first frame. Returns it with its length in bytes, or `None` while it is incomplete.
///
/// # Errors
/// See [`FrameError`]. The rest of the stream cannot be parsed.
pub fn split(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    if first & 0x08 != 0 && second > 125 {
        return Err(FrameError::TooLong);
    }
    let (start, length) = match second {
        126 => match bytes {
            [_, _, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Ok(None),
        },
        127 => return Err(FrameError::TooLong),
        short => (2, usize::from(short)),
    };
    let Some(payload) = bytes.get(start..start + length) else { return Ok(None) };
    let frame = match first {
        0x82 => Frame::Binary(payload),
        0x89 => Frame::Ping(payload),
        0x8a => Frame::Pong(payload),
        0x88 => Frame::Close(match payload {
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 1005,
        }),
        other => return Err(FrameError::Unexpected(other)),
    };
    Ok(Some((frame, start + length)))
}

/// Reassembles one connection's frames. Allocates nothing while no frame is incomplete.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The beginning of an incomplete frame.
    held: Vec<u8>,
}

impl Inbox {
    /// Passes every frame completed by these bytes to `take`, in order. `take` returns `false` to end the stream.
    ///
    /// # Errors
    /// The server sent an invalid frame. The connection is unusable.
    pub fn receive(
        &mut self,
        fresh: &[u8],
        mut take: impl FnMut(Frame<'_>) -> bool,
    ) -> Result<(), FrameError> {
        if self.held.is_empty() {
            let used = take_all(fresh, &mut take)?;
            self.held.extend_from_slice(&fresh[used..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(fresh);
        let used = take_all(&bytes, &mut take)?;
        // A new vector: one long frame must not keep its memory allocated.
        self.held.extend_from_slice(&bytes[used..]);
        Ok(())
    }
}

fn take_all(bytes: &[u8], take: &mut impl FnMut(Frame<'_>) -> bool) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some((frame, length)) = split(&bytes[used..])? {
        used += length;
        if !take(frame) {
            return Ok(bytes.len());
        }
    }
    Ok(used)
}

/// First byte of a client's frame.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// A game message.
    Binary = 0x82,
    /// A close frame.
    Close = 0x88,
    /// A pong.
    Pong = 0x8a,
}

/// A client's frame, whose length fits in one byte.
pub type MaskedFrame = ArrayVec<u8, { MASKED_HEAD_BYTES + CLIENT_PAYLOAD_BYTES_MAX }>;

/// Bytes of a client's frame before its payload: opcode, length, mask.
pub const MASKED_HEAD_BYTES: usize = 6;

/// Encodes one masked frame.
///
/// # Panics
/// If the payload is longer than 125 bytes. No message of a client is.
pub fn masked(opcode: Opcode, payload: &[u8], mask: u32) -> MaskedFrame {
    let mask = mask.to_le_bytes();
    let mut frame = MaskedFrame::new();
    frame.extend([opcode as u8, 0x80 | payload.len() as u8]);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Option<FrameError>) {
        let (mut inbox, mut taken, mut rest) = (Inbox::default(), Vec::new(), bytes);
        for &cut in cuts.iter().chain([&usize::MAX]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            let result = inbox.receive(piece, |frame| {
                taken.push(format!("{frame:?}"));
                true
            });
            if let Err(error) = result {
                return (taken, Some(error));
            }
            rest = after;
        }
        (taken, None)
    }

    #[test]
    fn parses_every_kind_of_frame() {
        let mut bytes = vec![0x82, 2, 8, 1, 0x89, 1, 9, 0x8a, 0, 0x82, 126, 0, 126];
        bytes.extend([7; 126]);
        bytes.extend([0x88, 2, 3, 0xe9, 0x88, 0]);
        let (taken, error) = frames(&bytes, &[]);
        let long = format!("Binary({:?})", [7; 126]);
        let expected =
            ["Binary([8, 1])", "Ping([9])", "Pong([])", long.as_str(), "Close(1001)", "Close(1005)"];
        assert_eq!(taken, expected);
        assert_eq!(error, None);
    }

    #[test]
    fn rejects_frames_that_a_server_never_sends() {
        for (bytes, error) in [
            ([0x81, 1, 0], FrameError::Unexpected(0x81)),
            ([0x02, 1, 0], FrameError::Unexpected(0x02)),
            ([0xc2, 1, 0], FrameError::Unexpected(0xc2)),
            ([0x82, 0x81, 0], FrameError::Masked),
            ([0x82, 127, 0], FrameError::TooLong),
            ([0x89, 126, 0], FrameError::TooLong),
        ] {
            assert_eq!(split(&bytes), Err(error));
        }
    }

    #[test]
    fn holds_no_memory_between_frames() {
        let mut inbox = Inbox::default();
        inbox.receive(&[0x82, 1, 8, 0x82], |_| true).unwrap();
        assert_eq!(inbox.held, [0x82]);
        inbox.receive(&[1, 8], |_| true).unwrap();
        assert_eq!(inbox.held.capacity(), 0);
    }

    #[test]
    fn encodes_a_masked_frame() {
        let frame = masked(Opcode::Binary, &[1, 2, 3, 4, 5], 0x0403_0201);
        assert_eq!(frame[..], [0x82, 0x85, 1, 2, 3, 4, 0, 0, 0, 0, 4]);
    }

    proptest! {
        #[test]
        fn frames_are_independent_of_the_read_boundaries(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..12),
            cuts in proptest::collection::vec(0usize..200, 0..30),
            garbage in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                bytes.push(0x82);
                if message.len() < 126 {
                    bytes.push(message.len() as u8);
                } else {
                    bytes.push(126);
                    bytes.extend((message.len() as u16).to_be_bytes());
                }
                bytes.extend(message);
            }
            bytes.extend(garbage);
            let whole = frames(&bytes, &[]);
            prop_assert!(whole.0.len() >= messages.len());
            prop_assert_eq!(frames(&bytes, &cuts), whole);
        }
    }
}
