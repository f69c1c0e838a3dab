//! A player's connection for sequential code: open, send, receive for a while, leave.
//!
//! A line blocks its thread. A thread with several lines makes them non-blocking with [`Line::stop_waiting`].

use std::collections::VecDeque;
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

/// An event from the server. Pings are answered and not reported.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A game message, and its payload.
    Message(Vec<u8>, ServerMessage),
    /// A pong.
    Pong(Vec<u8>),
    /// The end of the connection, with the close code if there was one.
    Closed(Option<u16>),
}

/// One player's connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    inbox: Inbox,
    /// Events that have been read and not been returned.
    events: VecDeque<Event>,
    /// The session cookie, in the form of a `Cookie` header.
    pub cookie: Option<String>,
    /// The player's id.
    pub id: PlayerId,
    /// The player's position in the last message that contained it.
    pub position: (u16, u16),
    /// The sequence number of the last MOVE.
    pub sequence: u32,
    /// Bytes sent so far, including the request.
    pub bytes_sent: u64,
}

impl Line {
    /// Connects, upgrades, and waits for the first `GAME_STATE`, which is the next event.
    ///
    /// # Errors
    /// The server refuses, does not respond in time, or sends another message first.
    pub fn open(server: &Target, cookie: Option<&str>) -> io::Result<Line> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = DeadlineStream::connect(&[server.address], deadline)?;
        let request = handshake::request(&server.authority, &server.path, cookie);
        stream.write_all(&request)?;
        let (head, rest) = read_head(&mut stream)?;
        let stream = stream.into_stream();
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = Line {
            stream,
            inbox: Inbox::default(),
            events: VecDeque::new(),
            cookie: cookie_in(&head).or(cookie.map(str::to_owned)),
            id: 0,
            position: (0, 0),
            sequence: 0,
            bytes_sent: request.len() as u64,
        };
        line.take(&rest)?;
        match line.next(deadline)? {
            Some(first @ Event::Message(_, ServerMessage::GameState(_))) => line.events.push_front(first),
            Some(Event::Closed(code)) => return Err(closed(code)),
            Some(first) => {
                let problem = format!("the first message is {first:?}, not GAME_STATE");
                return Err(io::Error::new(ErrorKind::InvalidData, problem));
            }
            None => return Err(io::Error::new(ErrorKind::TimedOut, "no message arrives")),
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

    /// Returns the next event, or `None` at the deadline.
    ///
    /// # Errors
    /// The server sent an invalid frame or message.
    pub fn next(&mut self, deadline: Instant) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero means none.
            if left < Duration::from_micros(100) {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            self.read()?;
        }
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
        while let Some(event) = self.next(moment)? {
            hear_event(&event, &mut hear)?;
        }
        Ok(())
    }

    /// Receives all available messages of a non-blocking line.
    ///
    /// # Errors
    /// Like [`Line::hear_until`].
    pub fn hear_now(&mut self, mut hear: impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
        while self.read()? {}
        self.events.drain(..).try_for_each(|event| hear_event(&event, &mut hear))
    }

    /// Sends LEAVE, and waits until the server has closed the connection.
    pub fn leave(mut self) {
        if self.send(&ClientMessage::Leave).is_ok() {
            // An error is the expected end of the connection.
            let _ = self.hear_until(Instant::now() + PATIENCE, |_, _| ());
        }
    }

    /// Reads once, and returns whether bytes arrived.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(count) if count > 0 => return self.take(&buffer[..count]).map(|()| true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.events.push_back(Event::Closed(None)),
        }
        Ok(false)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut result = Ok(());
        let framed = inbox.receive(bytes, |frame| {
            match frame {
                Frame::Binary(payload) => result = self.understand(payload),
                Frame::Ping(payload) => result = self.send_frame(Opcode::Pong as u8, payload),
                Frame::Pong(payload) => self.events.push_back(Event::Pong(payload.to_vec())),
                Frame::Close(code) => self.events.push_back(Event::Closed(Some(code))),
            }
            result.is_ok()
        });
        self.inbox = inbox;
        framed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        result
    }

    fn understand(&mut self, payload: &[u8]) -> io::Result<()> {
        let message = ServerMessage::decode(payload).map_err(|error| {
            io::Error::new(ErrorKind::InvalidData, format!("the server sent {payload:?}: {error}"))
        })?;
        match &message {
            ServerMessage::GameState(entries) if self.id == 0 => {
                let own = entries.iter().max_by_key(|entry| entry.id);
                let own = own.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
                (self.id, self.position) = (own.id, (own.x, own.y));
            }
            ServerMessage::MoveAck { x, y, .. } => self.position = (*x, *y),
            _ => {}
        }
        self.events.push_back(Event::Message(payload.to_vec(), message));
        Ok(())
    }
}

fn hear_event(event: &Event, hear: &mut impl FnMut(&[u8], &ServerMessage)) -> io::Result<()> {
    match event {
        Event::Message(payload, message) => hear(payload, message),
        Event::Pong(_) => {}
        Event::Closed(code) => return Err(closed(*code)),
    }
    Ok(())
}

fn closed(code: Option<u16>) -> io::Error {
    let problem = code.map_or("closed without a code".to_owned(), |code| format!("closed with {code}"));
    io::Error::new(ErrorKind::UnexpectedEof, problem)
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
