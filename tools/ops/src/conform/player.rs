//! A client over a blocking socket, with a deadline for every wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use game_client::endpoint::Target;
use game_client::frame::Opcode;
use game_client::line::{Event, Line};
use game_client::{ClientMessage, Entry, PlayerId, ServerMessage, Vector};

/// Timeout of immediate replies.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Timeout of periodic messages. Older servers send them every 30 s.
pub const LONG_PATIENCE: Duration = Duration::from_secs(35);

/// A connection to the game.
pub struct Player {
    line: Line,
    /// The player's entry in the first `GAME_STATE`.
    pub own: Entry,
    /// All entries of the first `GAME_STATE`, the player's own included.
    pub first_state: Vec<Entry>,
}

impl Player {
    /// Connects, and waits for the first `GAME_STATE`.
    pub fn join(server: SocketAddr) -> Result<Player, String> {
        let mut line = Line::open(&Target::at(server), None).map_err(|error| format!("joining: {error}"))?;
        let first = line.next(Instant::now() + PATIENCE).map_err(|error| error.to_string())?;
        let Some(Event::Message(_, ServerMessage::GameState(first_state))) = first else {
            return Err(format!("the first message is {first:?}, not GAME_STATE"));
        };
        let own = *first_state.iter().find(|entry| entry.id == line.id).ok_or("no own entry")?;
        Ok(Player { line, own, first_state })
    }

    /// The player's id.
    pub fn id(&self) -> PlayerId {
        self.own.id
    }

    /// Sends a game message.
    pub fn send(&mut self, message: ClientMessage) -> Result<(), String> {
        self.send_frame(Opcode::Binary as u8, &message.to_bytes())
    }

    /// Sends a frame with this first byte and at most 125 bytes.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) -> Result<(), String> {
        self.line.send_frame(first, payload).map_err(|error| format!("sending: {error}"))
    }

    /// Sends a short MOVE and returns its sequence number.
    pub fn step(&mut self, vector: Vector) -> Result<u32, String> {
        self.line.step(vector, None).map_err(|error| format!("sending: {error}"))?;
        Ok(self.line.sequence)
    }

    /// Waits for the ack of this sequence number. Returns the acked position.
    pub fn acked(&mut self, wanted: u32) -> Result<(u16, u16), String> {
        let own = self.id();
        let what = format!("the ack of MOVE {wanted}");
        let (id, x, y) = self.wait_for(PATIENCE, &what, |message| match message {
            ServerMessage::MoveAck { id, x, y, sequence } if *sequence == wanted => Some((*id, *x, *y)),
            _ => None,
        })?;
        if id == own { Ok((x, y)) } else { Err(format!("the ack is for player {id}, not {own}")) }
    }

    /// Waits for a game message for which `pick` returns a value.
    pub fn wait_for<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut pick: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, String> {
        self.wait(patience, what, |event| match event {
            Event::Message(_, message) => pick(message),
            _ => None,
        })
    }

    /// Waits until the server closes the connection. Returns the close code.
    pub fn closed(&mut self, what: &str) -> Result<Option<u16>, String> {
        self.wait(PATIENCE, &format!("the end after {what}"), |event| match event {
            Event::Closed(code) => Some(*code),
            _ => None,
        })
    }

    /// Sends a close frame with this code. Returns the code of the reply.
    pub fn close_with(&mut self, code: u16) -> Result<Option<u16>, String> {
        self.send_frame(Opcode::Close as u8, &code.to_be_bytes())?;
        self.closed(&format!("a close with {code}"))
    }

    /// Waits for an event for which `pick` returns a value, and skips all others.
    pub fn wait<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, String> {
        let until = Instant::now() + patience;
        while let Some(event) = self.line.next(until).map_err(|error| error.to_string())? {
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
            if let Event::Closed(code) = event {
                return Err(format!("waiting for {what}: the server closed with {code:?}"));
            }
        }
        Err(format!("waiting for {what}: nothing in {} s", patience.as_secs()))
    }
}
