//! A client over a blocking socket, with a deadline for every wait.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use game_client::deadline::DeadlineStream;
use game_client::{ClientMessage, Entry, PlayerId, ServerMessage, Vector};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Message, Utf8Bytes, WebSocket};

/// Timeout of immediate replies.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Timeout of periodic messages. Older servers send them every 30 s.
pub const LONG_PATIENCE: Duration = Duration::from_secs(35);

/// An event from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A game message.
    Game(ServerMessage),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// The end of the connection, with the close code if there was one.
    Closed(Option<u16>),
}

/// A connection to the game.
pub struct Player {
    socket: WebSocket<DeadlineStream>,
    /// The player's entry in the first `GAME_STATE`.
    pub own: Entry,
    /// All entries of the first `GAME_STATE`, the player's own included.
    pub first_state: Vec<Entry>,
    next_sequence: u32,
}

impl Player {
    /// Connects, and waits for the first `GAME_STATE`.
    pub fn join(server: SocketAddr) -> Result<Player, String> {
        let stream = DeadlineStream::connect(&[server], Instant::now() + PATIENCE)
            .map_err(|error| format!("connecting: {error}"))?;
        let config = Some(WebSocketConfig::default());
        let (mut socket, _) =
            tungstenite::client::client_with_config(format!("ws://{server}/ws"), stream, config)
                .map_err(|error| format!("the upgrade: {error}"))?;
        match hear(&mut socket, Instant::now() + PATIENCE)? {
            Some(Heard::Game(ServerMessage::GameState(first_state))) => {
                let own = first_state.iter().max_by_key(|entry| entry.id);
                let own = *own.ok_or("the first GAME_STATE is empty")?;
                Ok(Player { socket, own, first_state, next_sequence: 1 })
            }
            Some(first) => Err(format!("the first message is {first:?}, not GAME_STATE")),
            None => Err(format!("waiting for the first message: nothing in {} s", PATIENCE.as_secs())),
        }
    }

    /// The player's id.
    pub fn id(&self) -> PlayerId {
        self.own.id
    }

    /// Sends a game message.
    pub fn send(&mut self, message: ClientMessage) -> Result<(), String> {
        self.send_bytes(&message.to_bytes())
    }

    /// Sends a binary message with these bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.send_any(Message::Binary(Bytes::copy_from_slice(bytes)))
    }

    /// Sends any message.
    pub fn send_any(&mut self, message: Message) -> Result<(), String> {
        self.socket.get_mut().set_deadline(Instant::now() + PATIENCE);
        self.socket.send(message).map_err(|error| format!("sending: {error}"))
    }

    /// Sends a short MOVE and returns its sequence number.
    pub fn step(&mut self, vector: Vector) -> Result<u32, String> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.send(ClientMessage::Move { vector, sequence, claim: None })?;
        Ok(sequence)
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
        self.wait(patience, what, |heard| match heard {
            Heard::Game(message) => pick(message),
            _ => None,
        })
    }

    /// Waits until the server closes the connection. Returns the close code.
    pub fn closed(&mut self, what: &str) -> Result<Option<u16>, String> {
        loop {
            match hear(&mut self.socket, Instant::now() + PATIENCE)? {
                Some(Heard::Closed(code)) => return Ok(code),
                Some(_) => {}
                None => return Err(format!("{what}: the connection stays open")),
            }
        }
    }

    /// Sends a close frame with this code. Returns the code of the reply.
    pub fn close_with(&mut self, code: u16) -> Result<Option<u16>, String> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static("") };
        self.send_any(Message::Close(Some(frame)))?;
        self.closed(&format!("a close with {code}"))
    }

    /// Waits for an event for which `pick` returns a value, and skips all others.
    pub fn wait<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut pick: impl FnMut(&Heard) -> Option<T>,
    ) -> Result<T, String> {
        let until = Instant::now() + patience;
        while let Some(heard) = hear(&mut self.socket, until)? {
            if let Some(found) = pick(&heard) {
                return Ok(found);
            }
            if let Heard::Closed(code) = heard {
                return Err(format!("waiting for {what}: the server closed with {code:?}"));
            }
        }
        Err(format!("waiting for {what}: nothing in {} s", patience.as_secs()))
    }
}

/// Reads the next event; `None` at the deadline.
fn hear(socket: &mut WebSocket<DeadlineStream>, until: Instant) -> Result<Option<Heard>, String> {
    socket.get_mut().set_deadline(until);
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => {
                let message = ServerMessage::decode(&bytes);
                let message = message.map_err(|error| format!("the server sent {bytes:?}: {error}"))?;
                return Ok(Some(Heard::Game(message)));
            }
            Ok(Message::Pong(payload)) => return Ok(Some(Heard::Pong(payload.to_vec()))),
            Ok(Message::Close(frame)) => {
                return Ok(Some(Heard::Closed(frame.map(|frame| u16::from(frame.code)))));
            }
            Ok(Message::Ping(_) | Message::Frame(_)) => {}
            Ok(Message::Text(text)) => return Err(format!("the server sent text: {text}")),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::TimedOut => return Ok(None),
            Err(_) => return Ok(Some(Heard::Closed(None))),
        }
    }
}
