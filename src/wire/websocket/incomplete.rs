//! The bytes of an incomplete message or frame, which tungstenite holds and does not return.
//!
//! A process that takes over a connection passes them to a new [`WebSocket`], which is then in the same
//! state. Whole frames between messages, as nearly all are, are not recorded.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::WebSocket;
use super::frame_check::{CLOSE, FrameCheck, OPCODE};

/// Bits of the second byte that hold the length of a short payload.
const LENGTH: u8 = 0x7f;

/// The bytes since the last message ended, without whole control frames and empty continuations. These change no state, so
/// at most as many fragments are recorded as a message has bytes, and one frame.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Incomplete {
    fragments: Vec<u8>,
    frame: Vec<u8>,
}

impl Incomplete {
    /// Records bytes that have passed the check, if their frame is incomplete or part of a fragmented message.
    pub(super) fn note(this: &mut Option<Box<Self>>, passed: &[u8], begins_frame: bool, check: &FrameCheck) {
        let (ends_frame, is_in_message) = (check.is_between_frames(), check.is_in_message());
        if begins_frame && ends_frame && !is_in_message && this.is_none() {
            return;
        }
        let incomplete = this.get_or_insert_default();
        incomplete.record(passed, ends_frame, is_in_message);
        if incomplete.is_empty() {
            *this = None;
        }
    }

    /// Records bytes of one frame. `ends_frame` tells whether they are its last ones, `is_in_message` whether a fragmented
    /// message has begun and not ended.
    fn record(&mut self, bytes: &[u8], ends_frame: bool, is_in_message: bool) {
        self.frame.extend_from_slice(bytes);
        if !ends_frame {
            return;
        }
        let is_empty_continuation = self.frame[0] & OPCODE == 0 && self.frame[1] & LENGTH == 0;
        if !is_in_message {
            self.fragments.clear();
        } else if self.frame[0] & OPCODE < CLOSE && !is_empty_continuation {
            self.fragments.append(&mut self.frame);
        }
        self.frame.clear();
    }

    /// Whether no message and no frame is incomplete.
    fn is_empty(&self) -> bool {
        self.fragments.is_empty() && self.frame.is_empty()
    }
}

/// The image of a connection: the size of its read buffer, and the incomplete bytes.
impl Serialize for WebSocket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.context.get_config().read_buffer_size, &self.incomplete).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WebSocket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (read_buffer_bytes, incomplete) = <(usize, Option<Box<Incomplete>>)>::deserialize(deserializer)?;
        let mut websocket = Self::new(read_buffer_bytes);
        let Incomplete { fragments, frame } = *incomplete.unwrap_or_default();
        match websocket.next_event(&mut [fragments, frame].concat().as_slice(), &mut Vec::new()) {
            Ok(None) => Ok(websocket),
            _ => Err(D::Error::custom("complete or invalid bytes in place of an incomplete message")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::websocket::Event;

    const FIN: u8 = 0x80;

    /// Encodes a masked frame.
    fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [9, 8, 7, 6];
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [first_byte, 0x80 | payload.len() as u8].into_iter().chain(mask).chain(masked).collect()
    }

    /// Returns the events of these bytes, and all replies.
    fn events(websocket: &mut WebSocket, mut bytes: &[u8]) -> (Vec<Event>, Vec<u8>) {
        let (mut events, mut out) = (Vec::new(), Vec::new());
        while let Ok(Some(event)) = websocket.next_event(&mut bytes, &mut out) {
            events.push(event);
        }
        (events, out)
    }

    proptest! {
        #[test]
        fn a_restored_connection_continues_at_any_byte(
            fragments in proptest::collection::vec((0usize..4, proptest::bool::ANY), 1..200),
            cuts in proptest::collection::vec(proptest::sample::Index::arbitrary(), 1..4),
        ) {
            // A viewport message in fragments of a few bytes, with pings between them, and then once more in one piece.
            let message = [16, 0, 0, 0, 100, 0, 100];
            let (mut stream, mut left, mut opcode) = (Vec::new(), &message[..], 2);
            for (count, pings) in fragments {
                let part;
                (part, left) = left.split_at(count.min(left.len()));
                stream.extend(frame(std::mem::take(&mut opcode), part));
                if pings {
                    stream.extend(frame(FIN | 9, b"ping"));
                }
            }
            stream.extend(frame(FIN | std::mem::take(&mut opcode), left));
            stream.extend(frame(FIN | 2, &message));
            let expected = events(&mut WebSocket::new(64), &stream);

            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.sort_unstable();
            let (mut websocket, mut from, mut found) = (WebSocket::new(64), 0, (Vec::new(), Vec::new()));
            for to in cuts.into_iter().chain([stream.len()]) {
                let (events, out) = events(&mut websocket, &stream[from..to]);
                found.0.extend(events);
                found.1.extend(out);
                from = to;
                let image = postcard::to_allocvec(&websocket).expect("memory suffices");
                prop_assert!(image.len() < 1_000, "{} bytes", image.len());
                websocket = postcard::from_bytes(&image).expect("an image is valid");
            }
            prop_assert_eq!(found, expected);
        }
    }
}
