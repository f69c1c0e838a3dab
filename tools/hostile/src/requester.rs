//! A plain HTTP connection that sends what it is told, takes the answers, and is opened again when the server ends it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use loadtest::os::begin_connect;
use mio::net::TcpStream;

/// Size of the buffer that answers are read into, in bytes.
const READ_BYTES: usize = 64 * 1_024;

/// How an answer begins.
const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Bytes of an answer that say whether it is a refusal: its beginning and the first digit of its status.
const STATUS_BYTES: usize = ANSWER.len() + 1;

/// Counts of one connection or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Connections begun.
    pub opened: u64,
    /// Connections that the server ended, or that did not come about.
    pub ended: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Answers with a status below 400.
    pub answered: u64,
    /// Answers with another status.
    pub refused: u64,
}

impl Requests {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Requests) -> Requests {
        Requests {
            opened: self.opened + other.opened,
            ended: self.ended + other.ended,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            answered: self.answered + other.answered,
            refused: self.refused + other.refused,
        }
    }
}

/// One connection after the other.
#[derive(Debug)]
pub struct Requester {
    server: SocketAddr,
    stream: Option<TcpStream>,
    /// What the kernel has not taken yet.
    waiting: Vec<u8>,
    /// The last bytes received: an answer may begin in one piece and go on in the next.
    tail: Vec<u8>,
    /// What came of it.
    pub requests: Requests,
}

impl Requester {
    /// Not connected yet.
    pub fn new(server: SocketAddr) -> Requester {
        let requests = Requests::default();
        Requester { server, stream: None, waiting: Vec::new(), tail: Vec::new(), requests }
    }

    /// Takes what has arrived, then sends these bytes unless earlier ones still wait; never waits itself.
    pub fn act(&mut self, bytes: &[u8]) {
        if self.stream.is_none() && !self.open() {
            return;
        }
        if self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
        }
        if !(self.read() && self.write()) {
            self.stream = None;
            self.requests.ended += 1;
        }
    }

    fn open(&mut self) -> bool {
        self.requests.opened += 1;
        self.waiting.clear();
        self.tail.clear();
        self.stream = begin_connect(self.server, None, None).ok();
        self.requests.ended += u64::from(self.stream.is_none());
        self.stream.is_some()
    }

    /// Takes all there is; whether the connection lives.
    fn read(&mut self) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let Some(stream) = &mut self.stream else { return false };
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.count(&buffer[..count]),
                Err(error) => return is_patient(error.kind()),
            }
        }
    }

    /// Sends what the kernel takes; whether the connection lives.
    fn write(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let Some(stream) = &mut self.stream else { return false };
            match stream.write(&self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.requests.bytes_sent += count as u64;
                }
                Err(error) => return is_patient(error.kind()),
            }
        }
        true
    }

    fn count(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let beginnings = self.tail.windows(STATUS_BYTES).filter(|window| window.starts_with(ANSWER));
        for window in beginnings {
            match window[ANSWER.len()] {
                b'1'..=b'3' => self.requests.answered += 1,
                _ => self.requests.refused += 1,
            }
        }
        // Shorter than what is counted, so that nothing counts twice.
        let kept = self.tail.len().min(STATUS_BYTES - 1);
        self.tail.drain(..self.tail.len() - kept);
    }
}

/// Whether a connection lives on behind this: it is not connected yet, or has nothing to give or no room.
fn is_patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_once_however_they_are_cut() {
        let text =
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 429 Too Many Requests\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n";
        for cut in 0..text.len() {
            let mut requester = Requester::new(SocketAddr::from(([127, 0, 0, 1], 1)));
            requester.count(&text[..cut]);
            requester.count(&text[cut..]);
            assert_eq!((requester.requests.answered, requester.requests.refused), (2, 1), "cut at {cut}");
        }
    }
}
