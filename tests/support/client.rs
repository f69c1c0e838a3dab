//! A game client: a WebSocket and the replica that a browser would draw. Only the handshake blocks.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use game_client::frame::{Frame, FrameError, Inbox};
use game_client::handshake::{self, Response};
use game_client::{ClientMessage, PlayerId, Replica, ReplicaOptions, ServerMessage, Vector};

use super::raw::{BINARY, CLOSE, FIN, HOST, PONG, masked, reset};
use super::{DEADLINE, Server, cookie_jar::CookieJar, http, now_ms, wait::poll_until, wait::wait_for};

/// Most bytes read from one client per poll, so that every client is polled.
const BYTES_PER_POLL: usize = 16 * 1024;

/// Messages shown when a test fails.
const MESSAGES_SHOWN: usize = 12;

/// Longest delay from a message's arrival to the replica, in milliseconds, on a machine that runs many tests.
const LATENESS_MS: u64 = 500;

pub fn replica_options() -> ReplicaOptions {
    ReplicaOptions { lateness_ms: LATENESS_MS, ..ReplicaOptions::default() }
}

/// A message of the server and the time it was read.
#[derive(Clone, Debug)]
pub struct Received {
    /// Time of [`now_ms`], in milliseconds.
    pub at_ms: u64,
    pub message: ServerMessage,
}

/// A connection to the server and everything received on it.
pub struct Client {
    stream: TcpStream,
    inbox: Inbox,
    /// Bytes that the kernel has not accepted yet.
    outbox: Vec<u8>,
    is_close_sent: bool,
    /// The state that the browser would draw.
    pub replica: Replica,
    /// Every game message, in order.
    pub received: Vec<Received>,
    pub pongs: Vec<Vec<u8>>,
    /// Number of received pings. Each was answered.
    pub pings: usize,
    /// The first invalid frame. The server must send none, and no text.
    pub invalid: Option<FrameError>,
    /// Close code of the received Close; 1005 if it had none.
    pub close_code: Option<u16>,
    /// The session cookie set by the handshake, as a browser would send it back.
    pub cookie: Option<String>,
    /// Whether the connection has ended, with or without a Close.
    pub ended: bool,
}

impl Client {
    /// Connects, and waits for the first `GAME_STATE`.
    pub fn join(server: &Server) -> Client {
        Client::join_with(server, replica_options())
    }

    /// Connects with other replica options, and waits for the first `GAME_STATE`.
    pub fn join_with(server: &Server, options: ReplicaOptions) -> Client {
        Client::connect(server, options).wait_until_joined()
    }

    /// [`Client::join`] at another address, such as a proxy's.
    pub fn join_at(address: SocketAddr) -> Client {
        Client::connect_to(address, replica_options()).wait_until_joined()
    }

    fn wait_until_joined(mut self) -> Client {
        wait_for(&mut self, "the first GAME_STATE", |client| client.replica.own_id().is_some());
        self
    }

    /// Connects and waits only for the upgrade.
    pub fn connect(server: &Server, options: ReplicaOptions) -> Client {
        Client::connect_to(server.address(), options)
    }

    /// Connects with a cookie, and waits for the first `GAME_STATE`.
    pub fn reconnect(server: &Server, cookie: &str) -> Client {
        Client::reconnect_at(server.address(), cookie)
    }

    /// [`Client::reconnect`] at an address.
    pub fn reconnect_at(address: SocketAddr, cookie: &str) -> Client {
        let stream = start_handshake(address, HOST, "/ws", Some(cookie));
        Client::finish_handshake(stream, replica_options()).0.wait_until_joined()
    }

    /// Connects as a browser does: sends the jar's cookies for this URL, and stores those of the response.
    pub fn connect_with_cookies(
        address: SocketAddr,
        authority: &str,
        path: &str,
        jar: &mut CookieJar,
    ) -> Client {
        let stream = start_handshake(address, authority, path, jar.header(authority, path).as_deref());
        let (client, set) = Client::finish_handshake(stream, replica_options());
        if let Some(set) = set {
            jar.store(authority, path, &set);
        }
        client.wait_until_joined()
    }

    fn connect_to(address: SocketAddr, options: ReplicaOptions) -> Client {
        Client::finish_handshake(start_handshake(address, HOST, "/ws", None), options).0
    }

    /// Waits for the upgrade. Also returns the value of `Set-Cookie`.
    fn finish_handshake(mut stream: TcpStream, options: ReplicaOptions) -> (Client, Option<String>) {
        let (mut received, mut bytes) = (Vec::new(), [0; BYTES_PER_POLL]);
        let frames = loop {
            match handshake::read(&received) {
                Response::Upgraded(head) => break received.split_off(head),
                Response::Refused(reason) => panic!("an upgrade failed: {reason}"),
                Response::Incomplete => {}
            }
            match stream.read(&mut bytes) {
                Ok(0) => panic!("the connection ended before the upgrade: {received:?}"),
                Ok(count) => received.extend(&bytes[..count]),
                // SIGCHLD for a process of another test may interrupt a read with a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no upgrade: {error}"),
            }
        };
        stream.set_nonblocking(true).expect("a non-blocking socket");
        let head = http::parse_head(&String::from_utf8(received).expect("a head of text"));
        let set = head.header("set-cookie").map(str::to_owned);
        let cookie = set.as_deref().map(|set| set.split(';').next().unwrap_or_default().to_owned());
        let mut client = Client { cookie, ..Client::over(stream, options) };
        client.take_bytes(&frames, now_ms());
        (client, set)
    }

    /// [`Client::connect_many`], and waits for the first `GAME_STATE` of each client.
    pub fn join_many(server: &Server, count: usize, options: ReplicaOptions) -> Vec<Client> {
        let mut clients = Client::connect_many(server, count, options);
        poll_until(&mut clients, "the first GAME_STATE of all clients", |clients| {
            clients.iter().all(|client| client.replica.own_id().is_some())
        });
        clients
    }

    /// Connects many clients concurrently: all requests are sent before any response is read.
    pub fn connect_many(server: &Server, count: usize, options: ReplicaOptions) -> Vec<Client> {
        let start = |_| start_handshake(server.address(), HOST, "/ws", None);
        let streams: Vec<TcpStream> = (0..count).map(start).collect();
        streams.into_iter().map(|stream| Client::finish_handshake(stream, options).0).collect()
    }

    fn over(stream: TcpStream, options: ReplicaOptions) -> Client {
        Client {
            stream,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            is_close_sent: false,
            replica: Replica::new(options),
            received: Vec::new(),
            pongs: Vec::new(),
            pings: 0,
            invalid: None,
            close_code: None,
            cookie: None,
            ended: false,
        }
    }

    /// Its own id, which the first `GAME_STATE` contains.
    pub fn id(&self) -> PlayerId {
        self.replica.own_id().expect("the first GAME_STATE was received")
    }

    pub fn cookie(&self) -> String {
        self.cookie.clone().expect("the handshake sets a cookie")
    }

    /// Its own predicted position.
    pub fn position(&self) -> (i32, i32) {
        self.replica.own().position()
    }

    pub fn send(&mut self, message: &ClientMessage) {
        self.replica.sent(message);
        self.send_payload(&message.to_bytes());
    }

    /// Takes one step, as the browser does while a key is held.
    pub fn step(&mut self, vector: Vector) {
        let message = self.replica.step(vector);
        self.send(&message);
    }

    /// Sends a MOVE without a position, as load tools do.
    pub fn send_short_move(&mut self, vector: Vector, sequence: u32) {
        self.send(&ClientMessage::Move { vector, sequence, claim: None });
    }

    /// Sends a MOVE with an arbitrary claimed position.
    pub fn send_claim(&mut self, vector: Vector, sequence: u32, x: i32, y: i32) {
        let claim = Some((x.cast_unsigned(), y.cast_unsigned()));
        self.send(&ClientMessage::Move { vector, sequence, claim });
    }

    /// Sends arbitrary bytes as one binary message.
    pub fn send_payload(&mut self, payload: &[u8]) {
        self.send_frame(BINARY, payload);
    }

    /// Sends an unfragmented frame.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.outbox.extend(masked(FIN | opcode, payload));
        if let Err(error) = self.flush() {
            panic!("{self:?} can't send: {error}");
        }
    }

    /// Sends a Close, with or without a code.
    pub fn close(&mut self, code: Option<u16>) {
        self.is_close_sent = true;
        self.send_frame(CLOSE, &close_payload(code));
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) {
        reset(&self.stream);
    }

    /// Reads the messages that have arrived and advances the replica. Returns whether there was any message.
    pub fn poll(&mut self) -> bool {
        let now_ms = now_ms();
        self.replica.advance(now_ms);
        if self.ended {
            return false;
        }
        let mut bytes = [0; BYTES_PER_POLL];
        match self.flush().and_then(|()| self.stream.read(&mut bytes)) {
            Ok(count) if count > 0 => self.take_bytes(&bytes[..count], now_ms),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return false;
            }
            _ => self.ended = true,
        }
        true
    }

    /// Sends as much as the kernel accepts.
    fn flush(&mut self) -> std::io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_bytes(&mut self, bytes: &[u8], now_ms: u64) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let result = inbox.receive(bytes, |frame| self.take(frame, now_ms));
        self.inbox = inbox;
        self.invalid = self.invalid.or(result.err());
        self.ended |= self.invalid.is_some();
    }

    /// Handles one frame. Returns whether another may follow.
    fn take(&mut self, frame: Frame<'_>, now_ms: u64) -> bool {
        match frame {
            Frame::Binary(payload) => {
                if let Ok(message) = self.replica.receive_payload(now_ms, payload) {
                    self.received.push(Received { at_ms: now_ms, message });
                }
            }
            Frame::Pong(payload) => self.pongs.push(payload.to_vec()),
            Frame::Ping(payload) => {
                self.pings += 1;
                self.outbox.extend(masked(FIN | PONG, payload));
            }
            Frame::Close(code) => {
                self.close_code = Some(code);
                if !self.is_close_sent {
                    // As a browser does.
                    self.outbox.extend(masked(FIN | CLOSE, &close_payload(Some(code))));
                }
            }
        }
        // A pong or a Close must not wait for the next poll. A failed write ends the next one.
        let _ = self.flush();
        self.close_code.is_none()
    }

    /// The number of messages received so far; an argument for [`Client::since`].
    pub fn mark(&self) -> usize {
        self.received.len()
    }

    /// The messages received after a mark.
    pub fn since(&self, mark: usize) -> impl Iterator<Item = &ServerMessage> {
        self.received[mark..].iter().map(|received| &received.message)
    }

    pub fn count_since(&self, mark: usize, matches: impl Fn(&ServerMessage) -> bool) -> usize {
        self.since(mark).filter(|message| matches(message)).count()
    }

    pub fn game_states_since(&self, mark: usize) -> usize {
        self.count_since(mark, |message| matches!(message, ServerMessage::GameState(_)))
    }

    /// The movement vectors received for a player after a mark, in order.
    pub fn vectors_since(&self, mark: usize, player: PlayerId) -> Vec<Vector> {
        let vector_of = |message: &ServerMessage| match message {
            ServerMessage::Movement { id, vector } if *id == player => Some(*vector),
            _ => None,
        };
        self.since(mark).filter_map(vector_of).collect()
    }

    pub fn joins_since(&self, mark: usize, player: PlayerId) -> usize {
        self.count_since(
            mark,
            |message| matches!(message, ServerMessage::Joined(entry) if entry.id == player),
        )
    }

    pub fn leaves_since(&self, mark: usize, player: PlayerId) -> usize {
        self.count_since(mark, |message| *message == ServerMessage::Left(player))
    }

    pub fn sees(&self, player: PlayerId) -> bool {
        self.replica.remote(player).is_some_and(|remote| !remote.is_ghost)
    }

    /// Ids of the players that the replica shows, in ascending order; without ghosts.
    pub fn visible(&self) -> Vec<PlayerId> {
        self.replica.remotes().filter(|remote| !remote.is_ghost).map(|remote| remote.id).collect()
    }

    /// Whether every MOVE sent so far was acked.
    pub fn is_answered(&self) -> bool {
        self.replica.own().missing_acks().len() == 0
    }

    /// The player's position in the last ack.
    pub fn acknowledged(&self) -> (i32, i32) {
        let (_, x, y) = self.replica.own().last_answer.expect("a MOVE was acked");
        (i32::from(x), i32::from(y))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replica.own_id() {
            Some(id) => write!(formatter, "client {id}")?,
            None => write!(formatter, "client without an id")?,
        }
        if self.ended || self.close_code.is_some() {
            write!(formatter, " (ended, close code {:?})", self.close_code)?;
        }
        let unanswered = self.replica.own().missing_acks().len();
        write!(
            formatter,
            " at {:?}, {unanswered} MOVEs without an ack, sees {:?}",
            self.position(),
            self.visible()
        )?;
        let skipped = self.received.len().saturating_sub(MESSAGES_SHOWN);
        write!(formatter, ", {skipped} messages, then:")?;
        for Received { at_ms, message } in &self.received[skipped..] {
            let text = format!("{message:?}");
            write!(formatter, "\n    {at_ms} ms: {}", text.chars().take(200).collect::<String>())?;
        }
        Ok(())
    }
}

/// The payload of a Close. The code 1005 stands for none.
fn close_payload(code: Option<u16>) -> Vec<u8> {
    code.filter(|code| *code != 1005).map_or(Vec::new(), |code| code.to_be_bytes().to_vec())
}

/// Connects and sends the upgrade request, with a host name that may differ from the address.
fn start_handshake(address: SocketAddr, host: &str, path: &str, cookie: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
    stream.write_all(&handshake::request(host, path, cookie)).expect("the server reads");
    stream
}
