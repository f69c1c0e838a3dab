//! Incremental parser of request heads.
//!
//! [`parse_request`] parses a head from its start. A peer that sends a head byte by byte would make that
//! quadratic. A head is therefore parsed only when it begins, when a line ends or becomes invalid, and at the
//! size bound. [`limits::HTTP_HEADERS_MAX`] bounds the lines and therefore the number of parses.

use serde::{Deserialize, Serialize};
use std::mem;

use super::{HttpError, Parsed, Request, parse_request};
use crate::limits;

/// Bytes received on a connection and not yet consumed.
///
/// Bounded by [`limits::HTTP_HEAD_BYTES_MAX`] plus one read, if no read follows while it is [full](Self::is_full).
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestParser {
    bytes: Vec<u8>,
    /// All bytes so far are line endings.
    is_blank: bool,
    /// Bytes have arrived that can complete or invalidate a head.
    needs_parse: bool,
}

impl Default for RequestParser {
    fn default() -> Self {
        Self { bytes: Vec::new(), is_blank: true, needs_parse: false }
    }
}

impl RequestParser {
    /// Returns the buffered bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns whether the buffer has reached the size bound. A head that is still incomplete is then too long.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= limits::HTTP_HEAD_BYTES_MAX
    }

    /// Appends received bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        let decides = self.can_decide(bytes);
        self.needs_parse |= decides || self.bytes.is_empty();
        self.bytes.extend_from_slice(bytes);
        self.needs_parse |= self.is_full();
    }

    /// Removes consumed bytes from the start.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.is_blank = self.bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        self.needs_parse = !self.bytes.is_empty();
    }

    /// Takes the next request, if it is complete.
    ///
    /// # Errors
    /// See [`HttpError`]; reported at the end of the invalid line at the latest.
    pub fn next_request(&mut self) -> Result<Option<Request>, HttpError> {
        if !mem::take(&mut self.needs_parse) {
            return Ok(None);
        }
        match parse_request(&self.bytes)? {
            Parsed::Incomplete => Ok(None),
            Parsed::Complete { request, consumed } => {
                self.consume(consumed);
                Ok(Some(request))
            }
        }
    }

    /// Returns whether the new bytes begin the first line, end a line, or invalidate one. Empty lines before
    /// a request don't count, since their number is unbounded.
    fn can_decide(&mut self, bytes: &[u8]) -> bool {
        let mut before = self.bytes.last().copied().unwrap_or_default();
        let mut decides = false;
        for &byte in bytes {
            let is_behind_cr = mem::replace(&mut before, byte) == b'\r';
            decides |= match byte {
                b'\n' => !self.is_blank || !is_behind_cr,
                b'\r' | b'\t' => is_behind_cr,
                _ => is_behind_cr || self.is_blank || byte.is_ascii_control(),
            };
            self.is_blank &= matches!(byte, b'\r' | b'\n');
        }
        decides
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the requests parsed from these pieces, and the number of parses.
    fn arrive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<Vec<Request>, HttpError>, usize) {
        let (mut parser, mut requests, mut parses) = (RequestParser::default(), Vec::new(), 0);
        for piece in pieces {
            parser.append(piece);
            while parser.needs_parse {
                parses += 1;
                match parser.next_request() {
                    Ok(request) => requests.extend(request),
                    Err(error) => return (Err(error), parses),
                }
            }
        }
        (Ok(requests), parses)
    }

    fn head_of(fields: usize, bytes: usize) -> Vec<u8> {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        head.extend(b"A: b\r\n".repeat(fields - 2));
        head.extend(b"Pad: ");
        head.resize(bytes - 4, b'a');
        head.extend(b"\r\n\r\n");
        head
    }

    #[test]
    fn a_head_sent_byte_by_byte_is_parsed_once_per_line() {
        let head = head_of(limits::HTTP_HEADERS_MAX, limits::HTTP_HEAD_BYTES_MAX);
        let (requests, parses) = arrive(head.chunks(1));
        assert_eq!(requests.map(|requests| requests.len()), Ok(1));
        // The first byte, the lines, the empty line; the last byte also reaches the bound.
        assert_eq!(parses, 1 + 1 + limits::HTTP_HEADERS_MAX + 1);
        let (requests, parses) = arrive([&head[..]].into_iter());
        assert_eq!((requests.map(|requests| requests.len()), parses), (Ok(1), 1));
    }

    #[test]
    fn endless_heads_are_refused_after_a_few_parses() {
        let most = limits::HTTP_HEAD_BYTES_MAX;
        for (endless, parses) in [
            (b"\r\n".repeat(most / 2), 2),
            ([&b"GET /"[..], &vec![b'a'; most]].concat(), 2),
            ([&b"\r\n".repeat(100)[..], b"GET /", &vec![b'a'; most]].concat(), 3),
            ([&b"GET / HTTP/1.1\r\nA: "[..], &vec![b'\t'; most]].concat(), 3),
        ] {
            assert_eq!(arrive(endless.chunks(1)), (Err(HttpError::HeadTooLong), parses));
        }
        let fields = [&b"GET / HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(most / 6)].concat();
        let (refused, parses) = arrive(fields.chunks(1));
        assert_eq!(refused, Err(HttpError::TooManyFields));
        assert!(parses <= limits::HTTP_HEADERS_MAX + 4, "{parses}");
    }

    #[test]
    fn an_invalid_line_is_refused_immediately() {
        for broken in [
            "\x16\x03\x01", "\n", "\r\n\n", "\r\r", "\rG", "\r\n\rG", "GET / HTTP/1.1\rH",
            "GET / HTTP/1.1\r\nX: a\0", "GET / HTTP/1.1\r\nX: a\x7f", "GET / HTTP/1.1\r\nX: a\n",
            "GET / HTTP/1.1\r\nX: a\r\r",
        ] {
            let (refused, _) = arrive(broken.as_bytes().chunks(1));
            assert!(matches!(refused, Err(HttpError::Malformed(_))), "{broken:?}: {refused:?}");
        }
    }

    /// Complete requests, fragments, and invalid bytes.
    fn any_piece() -> impl Strategy<Value = &'static [u8]> {
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"GET /a?b HTTP/1.1\r\n",
            b"Host: a\r\n",
            b"X: y\r\n",
            b"\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b"\t",
            b"PUT ",
            b" ",
            b"\xc3\xa9",
            b"\0",
        ])
    }

    proptest! {
        #[test]
        fn requests_do_not_depend_on_how_the_bytes_are_split(pieces in prop::collection::vec(any_piece(), 0..12), cut in 1_usize..9) {
            // Errors are reported at the end of the line at the latest.
            let bytes = [&pieces.concat()[..], b"\r\n"].concat();
            let (whole, _) = arrive([&bytes[..]].into_iter());
            let (cut, _) = arrive(bytes.chunks(cut));
            match whole {
                Ok(_) => prop_assert_eq!(cut, whole),
                // A head with several errors may report a different one.
                Err(_) => prop_assert!(cut.is_err(), "{:?}", cut),
            }
        }
    }
}
