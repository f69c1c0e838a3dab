//! A player's connection for sequential code: open, send, receive for a while, leave.
//!
//! A line blocks its thread. A thread with several lines makes them non-blocking with [`Line::stop_waiting`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::deadline::DeadlineStream;
use crate::endpoint::Target;
use crate::frame::{Frame, Inbox, Opcode, masked};
use crate::handshake::{self, Response, cookie_in};
use crate::{ClientMessage, PlayerId, ServerMessage, Vector};

/// Timeout for connecting, upgrading and sending.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Size of a line's read buffer, in bytes.
const READ_BYTES: usize = 16 * 1_024;

/// The mask of every frame; its value is arbitrary.
const MASK: u32 = 0x5a5a_5a5a;

/// One player's connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    inbox: Inbox,
    /// The session cookie, in the form of a `Cookie` header.
    pub cookie: Option<String>,
    /// The player's id.
    pub id: PlayerId,
    /// The player's position in the last message that contained it.
    pub position: (u16, u16),
    sequence: u32,
    /// Bytes sent so far, including the request.
    pub bytes_sent: u64,
}

impl Line {
    /// Connects, upgrades, and waits for the first `GAME_STATE`; `hear` receives it and all messages that arrive with it.
    ///
    /// # Errors
    /// The server refuses, or does not respond in time.
    pub fn open(
        server: &Target,
        cookie: Option<&str>,
        mut hear: impl FnMut(&[u8], &ServerMessage),
    ) -> io::Result<Line> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = DeadlineStream::connect(&[server.address], deadline)?;
        let request = handshake::request(&server.authority, &server.path, cookie);
        stream.write_all(&request)?;
        let (head, rest) = read_head(&mut stream)?;
        let stream = stream.into_stream();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let cookie = cookie_in(&head).or(cookie.map(str::to_owned));
        let (inbox, position) = (Inbox::default(), (0, 0));
        let mut line =
            Line { stream, inbox, cookie, id: 0, position, sequence: 0, bytes_sent: request.len() as u64 };
        line.take(&rest, &mut hear)?;
        while line.id == 0 {
            if Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            line.read(&mut hear)?;
        }
        Ok(line)
    }

    /// Makes the connection non-blocking.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stop_waiting(&mut self) -> io::Result<()> {
        self.stream.set_nonblocking(true)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The connection is closed, or the server does not read in time.
    pub fn send(&mut self, message: &ClientMessage) -> io::Result<()> {
        self.send_payload(&message.to_bytes())
    }

    /// Sends these bytes as a message.
    ///
    /// # Errors
    /// Like [`Line::send`].
    pub fn send_payload(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_frame(Opcode::Binary as u8, payload)
    }

    /// Sends a frame with this first byte.
    ///
    /// # Errors
    /// Like [`Line::send`].
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = masked(Opcode::Binary, payload, MASK);
        frame[0] = first;
        self.bytes_sent += frame.len() as u64;
        self.stream.write_all(&frame)
    }

    /// Sends a MOVE, with a claim if one is given.
    ///
    /// # Errors
    /// Like [`Line::send`].
    pub fn step(&mut self, vector: Vector, claim: Option<(u16, u16)>) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let claim = claim.map(|(x, y)| (u32::from(x), u32::from(y)));
        self.send(&ClientMessage::Move { vector, sequence: self.sequence, claim })
    }

    /// Receives until a deadline. `hear` receives the payload and the decoded form of each message.
    ///
    /// # Errors
    /// The server closed the connection, or sent an invalid message.
    pub fn hear_until(
        &mut self,
        moment: Instant,
        mut hear: impl FnMut(&[u8], &ServerMessage),
    ) -> io::Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            // A timeout of zero means none.
            if left < Duration::from_micros(100) {
                return Ok(());
            }
            self.stream.set_read_timeout(Some(left))?;
            self.read(&mut hear)?;
        }
    }

    /// Receives all available messages of a non-blocking line.
    ///
    /// # Errors
    /// Like [`Line::hear_until`].
    pub fn hear_now(&mut self, mut hear: impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
        while self.read(&mut hear)? {}
        Ok(())
    }

    /// Sends LEAVE, and waits until the server has closed the connection.
    pub fn leave(mut self) {
        if self.send(&ClientMessage::Leave).is_ok() {
            // An error is the expected end of the connection.
            let _ = self.hear_until(Instant::now() + PATIENCE, |_, _| ());
        }
    }

    /// Reads once, and returns whether bytes arrived.
    fn read(&mut self, hear: &mut impl FnMut(&[u8], &ServerMessage)) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.take(&buffer[..count], hear).map(|()| true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, bytes: &[u8], hear: &mut impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut result = Ok(());
        let framed = inbox.receive(bytes, |frame| {
            result = match frame {
                Frame::Binary(payload) => self.understand(payload, hear),
                Frame::Ping(payload) => self.send_frame(Opcode::Pong as u8, payload),
                Frame::Pong => Ok(()),
                Frame::Close(code) => Err(closed(code)),
            };
            result.is_ok()
        });
        self.inbox = inbox;
        framed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        result
    }

    fn understand(&mut self, payload: &[u8], hear: &mut impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
        let message = ServerMessage::decode(payload)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        match &message {
            ServerMessage::GameState(entries) if self.id == 0 => {
                let own = entries.iter().max_by_key(|entry| entry.id);
                let own = own.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
                (self.id, self.position) = (own.id, (own.x, own.y));
            }
            ServerMessage::MoveAck { x, y, .. } => self.position = (*x, *y),
            _ => {}
        }
        hear(payload, &message);
        Ok(())
    }
}

fn closed(code: u16) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("closed with {code}"))
}

/// Returns the head of the response and the bytes after it.
fn read_head(stream: &mut DeadlineStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut received, mut buffer) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let count = stream.read(&mut buffer)?;
        received.extend_from_slice(&buffer[..count]);
        match handshake::read(&received) {
            Response::Upgraded(length) => {
                let rest = received.split_off(length);
                return Ok((received, rest));
            }
            Response::Incomplete if count > 0 => {}
            Response::Incomplete => return Err(ErrorKind::UnexpectedEof.into()),
            Response::Refused(reason) => return Err(io::Error::new(ErrorKind::ConnectionRefused, reason)),
        }
    }
}
