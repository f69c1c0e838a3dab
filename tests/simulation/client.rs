//! The client's side of a connection as bytes: the handshake, its response, and the server's frames.

use std::collections::BTreeMap;

use super::peer::{BINARY, take_frame};
use crate::support::raw::{COOKIE, UPGRADE, masked, upgrade_with_cookie};

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What a client has received.
#[derive(Debug, Default)]
pub struct ClientStream {
    /// Bytes of an incomplete response or frame.
    rest: Vec<u8>,
    /// Status of the response to the handshake.
    pub status: Option<u16>,
    /// The cookie for the next handshake.
    pub cookie: Option<String>,
    /// The server has sent its Close.
    pub is_closed: bool,
    /// Whole frames, by their first byte.
    pub frames: BTreeMap<u8, u64>,
}

/// A handshake, with the cookie of a session to continue.
pub fn handshake(cookie: Option<&str>) -> Vec<u8> {
    cookie.map_or_else(|| UPGRADE.to_owned(), upgrade_with_cookie).into_bytes()
}

impl ClientStream {
    /// Receives bytes. Returns the bytes to send in reply: pongs, and the answer to a Close.
    pub fn receive(&mut self, bytes: &[u8], mut on_message: impl FnMut(&[u8])) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        if self.status.is_none() && !self.take_response() {
            return Vec::new();
        }
        let (mut rest, mut replies) = (self.rest.as_slice(), Vec::new());
        while self.status == Some(101)
            && let Some((first, payload)) = take_frame(&mut rest)
        {
            assert!(!self.is_closed, "frame {first:02x} after a Close");
            *self.frames.entry(first).or_default() += 1;
            match first {
                BINARY => on_message(payload),
                PING => replies.extend(masked(PONG, payload)),
                CLOSE => {
                    self.is_closed = true;
                    replies.extend(masked(CLOSE, payload));
                }
                PONG => {}
                other => panic!("the server never sends {other:02x}"),
            }
        }
        self.rest = rest.to_vec();
        replies
    }

    /// Takes the response to the handshake, if it is complete.
    fn take_response(&mut self) -> bool {
        let Some(end) = self.rest.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).expect("a head is ASCII");
        self.status = head.get(9..12).and_then(|status| status.parse().ok());
        let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
        self.cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        assert!(self.cookie.as_ref().is_none_or(|cookie| cookie.starts_with(COOKIE)), "{head}");
        true
    }
}
