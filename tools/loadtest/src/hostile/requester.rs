//! An HTTP connection that sends given bytes, reads the responses, and reopens after the server closes it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::os::begin_connect;

/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 64 * 1_024;

/// The first bytes of a response.
const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Bytes up to the first digit of the status, which marks a refusal.
const STATUS_BYTES: usize = ANSWER.len() + 1;

/// Counts of one or several connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Connections closed by the server or failed.
    pub ended: u64,
    /// Sent bytes.
    pub bytes_sent: u64,
    /// Responses with a status below 400.
    pub answered: u64,
    /// Responses with another status.
    pub refused: u64,
}

/// A requester, with one connection at a time.
#[derive(Debug)]
pub struct Requester {
    server: SocketAddr,
    stream: Option<TcpStream>,
    /// Bytes that the kernel has not accepted yet.
    waiting: Vec<u8>,
    /// The last received bytes, because the start of a response may be split.
    tail: Vec<u8>,
}

impl Requester {
    /// Creates a requester without a connection.
    pub fn new(server: SocketAddr) -> Requester {
        Requester { server, stream: None, waiting: Vec::new(), tail: Vec::new() }
    }

    /// Connects if necessary, reads available bytes, then sends these unless earlier ones are still queued; never blocks.
    pub fn act(&mut self, bytes: &[u8], requests: &mut Requests) {
        if self.stream.is_none() {
            *self = Requester {
                stream: begin_connect(self.server, None, None).ok(),
                ..Requester::new(self.server)
            };
        }
        if self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
        }
        if !(self.read(requests) && self.write(requests)) {
            self.stream = None;
            requests.ended += 1;
        }
    }

    /// Reads all available bytes, and returns whether the connection is open.
    fn read(&mut self, requests: &mut Requests) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let Some(stream) = &mut self.stream else { return false };
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.count(&buffer[..count], requests),
                Err(error) => return is_patient(error.kind()),
            }
        }
    }

    /// Sends as much as the kernel accepts, and returns whether the connection is open.
    fn write(&mut self, requests: &mut Requests) -> bool {
        while !self.waiting.is_empty() {
            let Some(stream) = &mut self.stream else { return false };
            match stream.write(&self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    requests.bytes_sent += count as u64;
                }
                Err(error) => return is_patient(error.kind()),
            }
        }
        true
    }

    fn count(&mut self, bytes: &[u8], requests: &mut Requests) {
        self.tail.extend_from_slice(bytes);
        let beginnings = self.tail.windows(STATUS_BYTES).filter(|window| window.starts_with(ANSWER));
        for window in beginnings {
            match window[ANSWER.len()] {
                b'1'..=b'3' => requests.answered += 1,
                _ => requests.refused += 1,
            }
        }
        // Shorter than the counted pattern, so that no response counts twice.
        let kept = self.tail.len().min(STATUS_BYTES - 1);
        self.tail.drain(..self.tail.len() - kept);
    }
}

/// Whether the connection stays open after this error: it is not connected yet, has no data, or accepts none.
fn is_patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_once_however_they_are_split() {
        let text =
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 429 Too Many Requests\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n";
        for cut in 0..text.len() {
            let mut requester = Requester::new(SocketAddr::from(([127, 0, 0, 1], 1)));
            let mut requests = Requests::default();
            requester.count(&text[..cut], &mut requests);
            requester.count(&text[cut..], &mut requests);
            assert_eq!((requests.answered, requests.refused), (2, 1), "cut at {cut}");
        }
    }
}
