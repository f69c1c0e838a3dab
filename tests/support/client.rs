//! A game client: a WebSocket and the replica that a browser would draw. Only the handshake blocks.

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use game_client::{ClientMessage, PlayerId, Replica, ReplicaOptions, ServerMessage, Vector};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::client::client_with_config;
use tungstenite::handshake::client::{ClientHandshake, Request};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::{
    DEADLINE, Server, cookie_jar::CookieJar, now_ms, raw::HOST, raw::reset, wait::poll_until, wait::wait_for,
    wait::wait_until,
};

/// Most messages read from one client per poll, so that every client is polled.
const MESSAGES_PER_POLL: usize = 256;

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
    socket: WebSocket<TcpStream>,
    /// The state that the browser would draw.
    pub replica: Replica,
    /// Every game message, in order.
    pub received: Vec<Received>,
    pub pongs: Vec<Vec<u8>>,
    /// Number of received pings. Each was answered.
    pub pings: usize,
    /// Number of received text messages. The server must send none.
    pub texts: usize,
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
        let mut request = request_to(server.address());
        request.headers_mut().insert("Cookie", cookie.parse().expect("a valid header"));
        Client::connect_as(request, server.address(), replica_options()).wait_until_joined()
    }

    /// Connects as a browser does: sends the jar's cookies for this URL, and stores those of the response.
    pub fn connect_with_cookies(
        address: SocketAddr,
        authority: &str,
        path: &str,
        jar: &mut CookieJar,
    ) -> Client {
        let mut request = request_for(address, authority, path);
        if let Some(cookies) = jar.header(authority, path) {
            request.headers_mut().insert("Cookie", cookies.parse().expect("a valid header"));
        }
        let (client, set) = Client::open(request, address, replica_options());
        if let Some(set) = set {
            jar.store(authority, path, &set);
        }
        client.wait_until_joined()
    }

    fn connect_to(address: SocketAddr, options: ReplicaOptions) -> Client {
        let request = request_to(address);
        Client::connect_as(request, address, options)
    }

    fn connect_as(request: Request, address: SocketAddr, options: ReplicaOptions) -> Client {
        Client::open(request, address, options).0
    }

    fn open(request: Request, address: SocketAddr, options: ReplicaOptions) -> (Client, Option<String>) {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        let (socket, response) =
            client_with_config(request, stream, Some(config())).expect("the upgrade succeeds");
        socket.get_ref().set_nonblocking(true).expect("a non-blocking socket");
        let set = response.headers().get("Set-Cookie").map(|set| set.to_str().expect("text").to_owned());
        let cookie = set.as_deref().map(|set| set.split(';').next().unwrap_or_default().to_owned());
        (Client { cookie, ..Client::over(socket, options) }, set)
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
        let mut handshakes: Vec<_> = (0..count).map(|_| Some(start_handshake(server.address()))).collect();
        let mut clients: Vec<Option<Client>> = (0..count).map(|_| None).collect();
        wait_until(&format!("{count} upgrades"), || {
            for (client, handshake) in clients.iter_mut().zip(&mut handshakes) {
                match handshake.take().map(MidHandshake::handshake) {
                    Some(Ok((socket, _))) => *client = Some(Client::over(socket, options)),
                    Some(Err(HandshakeError::Interrupted(rest))) => *handshake = Some(rest),
                    Some(Err(HandshakeError::Failure(error))) => panic!("an upgrade failed: {error}"),
                    None => {}
                }
            }
            clients.iter().all(Option::is_some)
        });
        clients.into_iter().flatten().collect()
    }

    fn over(socket: WebSocket<TcpStream>, options: ReplicaOptions) -> Client {
        Client {
            socket,
            replica: Replica::new(options),
            received: Vec::new(),
            pongs: Vec::new(),
            pings: 0,
            texts: 0,
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
        self.send_message(Message::Binary(Bytes::copy_from_slice(payload)));
    }

    pub fn send_message(&mut self, message: Message) {
        match self.socket.send(message) {
            Ok(()) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{self:?} can't send: {error}"),
        }
    }

    /// Sends a Close, with or without a code.
    pub fn close(&mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame { code: CloseCode::from(code), reason: "".into() });
        self.send_message(Message::Close(frame));
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) {
        reset(self.socket.get_ref());
    }

    /// Reads the messages that have arrived and advances the replica. Returns whether there was any message.
    pub fn poll(&mut self) -> bool {
        let now_ms = now_ms();
        self.replica.advance(now_ms);
        if self.ended {
            return false;
        }
        for count in 0..MESSAGES_PER_POLL {
            match self.socket.read() {
                Ok(message) => self.take(message, now_ms),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return count > 0,
                Err(_) => {
                    self.ended = true;
                    return true;
                }
            }
        }
        true
    }

    fn take(&mut self, message: Message, now_ms: u64) {
        match message {
            Message::Binary(payload) => {
                if let Ok(message) = self.replica.receive_payload(now_ms, &payload) {
                    self.received.push(Received { at_ms: now_ms, message });
                }
            }
            Message::Pong(payload) => self.pongs.push(payload.to_vec()),
            Message::Ping(_) => self.pings += 1,
            Message::Text(_) => self.texts += 1,
            Message::Close(frame) => {
                self.close_code = Some(frame.map_or(1005, |frame| frame.code.into()));
            }
            Message::Frame(_) => unreachable!("read() never returns raw frames"),
        }
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
        self.replica.remote(player).is_some_and(|remote| !remote.is_ghost())
    }

    /// Ids of the players that the replica shows, in ascending order; without ghosts.
    pub fn visible(&self) -> Vec<PlayerId> {
        self.replica.remotes().filter(|remote| !remote.is_ghost()).map(|remote| remote.id).collect()
    }

    /// Whether every MOVE sent so far was acked.
    pub fn is_answered(&self) -> bool {
        self.replica.own().missing_acks().len() == 0
    }

    /// The player's position in the last ack.
    pub fn acknowledged(&self) -> (i32, i32) {
        let (_, x, y) = self.replica.own().last_answer().expect("a MOVE was acked");
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

fn request_to(address: SocketAddr) -> Request {
    request_for(address, HOST, "/ws")
}

/// An upgrade request to an address, with a host name that may differ from it.
fn request_for(address: SocketAddr, host: &str, path: &str) -> Request {
    let url = format!("ws://{address}{path}");
    let mut request = url.into_client_request().expect("a valid request");
    request.headers_mut().insert("Host", host.parse().expect("a valid header"));
    request
}

/// Uses small buffers, because one test process holds hundreds of clients.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(0)
}

fn start_handshake(address: SocketAddr) -> MidHandshake<ClientHandshake<TcpStream>> {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_nonblocking(true).expect("a non-blocking socket");
    let request = request_to(address);
    ClientHandshake::start(stream, request, Some(config())).expect("a valid request")
}
