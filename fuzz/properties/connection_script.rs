//! Properties of whole connections, for all inputs and all ways to cut their bytes. The server sends complete frames in
//! the right order, one ack for each accepted MOVE, and nothing after a Close. Its memory use is bounded.
//!
//! The bytes are a script of commands with arguments, see [`Trial::run_command`], for the whole core on a machine in
//! memory.

use std::net::{IpAddr, Ipv4Addr};

use pixi_game_server::config::Config;
use pixi_game_server::limits::READ_BUDGET_BYTES;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::Census;
use pixi_game_server::server::core::system::Listener;
use pixi_game_server::wire::http::{Parsed, parse_request, upgrade};

use super::machine::socket::Plan;
use super::machine::{ClientEnd, Host, NS_PER_MS};

mod client_stream;
mod server_stream;

const CONNECTIONS: usize = 3;
/// Largest number of ticks per script; bounds its running time.
const TICKS_MAX: u64 = 600;
/// Largest number of bytes a script sends, including repetitions.
const SENT_BYTES_MAX: usize = 128 * 1024;
/// Largest size of the replies to one read. Acks grow the most: 15 bytes for the 12 of the shortest MOVE.
const REPLIES_OF_ONE_READ_MAX: usize = READ_BUDGET_BYTES * 15 / 12 + 256;
/// Largest size of an HTTP response.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// After this time the server has given up every client, in milliseconds.
const FAREWELL_MS: u64 = 20_000;

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Runs the script `bytes` with its bytes delivered in three ways.
pub fn check(bytes: &[u8]) {
    let whole = run(bytes, READ_BUDGET_BYTES);
    for cut in [1, 7] {
        let again = run(bytes, cut);
        // Floods are detected per read, so the number of accepted messages depends on the size of the last read. A client that
        // stalls is read as far as its replies allow. A malformed head is refused at the end of its line, or of its read.
        if !whole.is_ambiguous && !again.is_ambiguous {
            assert_eq!(again.frames, whole.frames, "cut to {cut} bytes");
        }
    }
}

struct Outcome {
    /// The frames received by each client.
    frames: Vec<Vec<u8>>,
    /// A client stalled or flooded.
    is_ambiguous: bool,
}

fn run(bytes: &[u8], cut: usize) -> Outcome {
    std::thread::scope(|scope| {
        let pool = Pool::spawn(scope, 1).expect("a pool of one worker spawns no thread");
        let mut trial = Trial::new(pool, cut);
        let mut script = Script { bytes };
        while trial.run_command(&mut script).is_some() {
            trial.exchange();
        }
        trial.finish()
    })
}

#[derive(Default)]
struct Client {
    pipe: Option<ClientEnd>,
    sent: Vec<u8>,
    received: Vec<u8>,
    stalls: bool,
}

struct Trial<'a> {
    host: Host,
    pool: Pool,
    cut: usize,
    clients: [Client; CONNECTIONS],
    current: usize,
    last_sent: &'a [u8],
    ticks: u64,
    sent_bytes: usize,
    frames: Vec<Vec<u8>>,
    has_stalled: bool,
}

struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Takes a byte with a length, and as many bytes.
    fn some(&mut self) -> Option<&'a [u8]> {
        let count = self.byte()?.into();
        self.take(count)
    }
}

impl<'a> Trial<'a> {
    fn new(pool: Pool, cut: usize) -> Self {
        let limits = Config { idle_timeout_s: 6, ping_interval_s: 2, resume_ttl_s: 0, ..Config::default() };
        let mut host = Host::new(1, Config { spawn_seed: Some(1), ..limits });
        host.core.system_mut().work_ns = 0;
        Self {
            host,
            pool,
            cut,
            clients: Default::default(),
            current: 0,
            last_sent: HANDSHAKE,
            ticks: 0,
            sent_bytes: 0,
            frames: Vec::new(),
            has_stalled: false,
        }
    }

    /// Runs the next command, or returns `None` at the end of the script.
    fn run_command(&mut self, script: &mut Script<'a>) -> Option<()> {
        match script.byte()? % 12 {
            0 => self.current = usize::from(script.byte()?) % CONNECTIONS,
            1 => self.send(script.some()?),
            2 => self.send(HANDSHAKE),
            3 => {
                let (first, payload) = (script.byte()?, script.some()?);
                self.send_frame(first, payload);
            }
            4 => {
                let step = script.take(13)?;
                self.send_frame(0x82, &[&[3], step].concat());
            }
            5 => {
                let step = script.take(5)?;
                self.send_frame(0x82, &[&[3], step].concat());
            }
            6 => (0..=script.byte()? % 60).for_each(|_| self.tick()),
            7 => self.host.suspend(u64::from(script.byte()?) * 64 * NS_PER_MS),
            8 => self.leave(self.current),
            9 => self.stall(),
            10 => {
                let times = script.byte()? % 64;
                (0..times).for_each(|_| self.send(self.last_sent));
            }
            _ => self.end_input(script.byte()?),
        }
        Some(())
    }

    /// Sends a masked frame with a correct length. The mask is zero.
    fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let length = payload.len();
        let mut frame = vec![first];
        match length {
            0..=125 => frame.push(0x80 | length as u8),
            _ => frame.extend([0xfe, (length >> 8) as u8, length as u8]),
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(payload);
        self.deliver(&frame);
    }

    fn send(&mut self, bytes: &'a [u8]) {
        self.last_sent = bytes;
        self.deliver(bytes);
    }

    /// Starts or ends a stall of the client.
    fn stall(&mut self) {
        let client = &mut self.clients[self.current];
        client.stalls ^= true;
        self.has_stalled = true;
        if let Some(pipe) = &client.pipe {
            let mut pipe = pipe.borrow_mut();
            pipe.send_buffer_bytes = if client.stalls { pipe.written.len() } else { usize::MAX };
            // Offers the room.
            pipe.fetch(0);
        }
    }

    /// Shuts down the client's side at times.
    fn end_input(&mut self, what: u8) {
        if let (0, Some(pipe)) = (what % 4, &self.clients[self.current].pipe) {
            pipe.borrow_mut().end();
        }
    }

    /// Delivers bytes in pieces. All pieces for a player are read in one turn, whose replies are written together.
    fn deliver(&mut self, bytes: &[u8]) {
        self.sent_bytes += bytes.len();
        if self.sent_bytes > SENT_BYTES_MAX {
            return;
        }
        let index = self.current;
        let client = &mut self.clients[index];
        let pipe = client.pipe.get_or_insert_with(|| {
            let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, index as u8));
            let pipe = self.host.connect(Listener::Public, address, Plan::None);
            pipe.borrow_mut().send_buffer_bytes = if client.stalls { 0 } else { usize::MAX };
            pipe
        });
        let pipe = ClientEnd::clone(pipe);
        if pipe.borrow().incoming_ended || pipe.borrow().is_closed {
            return;
        }
        client.sent.extend_from_slice(bytes);
        for piece in bytes.chunks(self.cut) {
            pipe.borrow_mut().deliver(piece);
            if frames_of(&self.clients[index].received).is_some() {
                self.host.read_ready();
            } else {
                self.exchange();
            }
        }
    }

    /// Runs the server, and fetches what it has written to clients that read.
    fn exchange(&mut self) {
        self.host.run_until_idle(&mut self.pool);
        let replies_max = Config::default().write_buffer_bytes;
        let held_max = CONNECTIONS * (replies_max + REPLIES_OF_ONE_READ_MAX + RESPONSE_BYTES_MAX);
        assert!(self.host.core.census().outbox_bytes <= held_max);
        for client in self.clients.iter_mut().filter(|client| !client.stalls) {
            if let Some(pipe) = &client.pipe {
                client.received.extend(pipe.borrow_mut().fetch(usize::MAX));
            }
        }
    }

    fn tick(&mut self) {
        if self.ticks < TICKS_MAX {
            self.ticks += 1;
            self.host.run_for(self.host.next_tick_ns(), &mut self.pool);
            self.exchange();
        }
    }

    /// The client reads what is left and closes; another one can take its place.
    fn leave(&mut self, index: usize) {
        if self.clients[index].stalls {
            let before = std::mem::replace(&mut self.current, index);
            self.stall();
            self.current = before;
        }
        self.exchange();
        let client = std::mem::take(&mut self.clients[index]);
        if let Some(pipe) = &client.pipe {
            self.require_answers(&client, pipe);
            pipe.borrow_mut().close();
        }
        self.frames.push(frames_of(&client.received).unwrap_or_default().to_vec());
    }

    /// Checks that every accepted MOVE has its ack, in order, and that there are no others.
    fn require_answers(&self, client: &Client, pipe: &ClientEnd) {
        let Some(frames) = frames_of(&client.received) else { return };
        let received = server_stream::read(frames);
        let moves = client_stream::moves(after_upgrade(&client.sent));
        let mut rest = moves.iter();
        let in_order = received.acks.iter().all(|ack| rest.any(|sequence| sequence == ack));
        assert!(in_order, "acks {:?} for MOVEs {moves:?}", received.acks);
        let is_read = !pipe.borrow().is_over() && pipe.borrow().incoming.is_empty();
        if is_read
            && !received.is_closed
            && self.host.core.metrics().rate_limited_total == 0
            && !self.has_flooded()
        {
            assert_eq!(received.acks, moves, "every accepted MOVE has an ack");
        }
    }

    fn has_flooded(&self) -> bool {
        let mut violations = self.host.core.metrics().protocol_errors.iter();
        violations.any(|(name, count)| name == "rate_flood" && count > 0)
    }

    fn finish(mut self) -> Outcome {
        for index in 0..CONNECTIONS {
            self.leave(index);
        }
        let is_ambiguous = self.has_flooded() || self.has_stalled;
        self.host.run_for(FAREWELL_MS * NS_PER_MS, &mut self.pool);
        assert_eq!(self.host.core.census(), Census::default());
        Outcome { is_ambiguous, frames: self.frames }
    }
}

/// The server's frames: what follows the response that granted the upgrade.
fn frames_of(received: &[u8]) -> Option<&[u8]> {
    let start = received.windows(12).position(|head| head == b"HTTP/1.1 101")?;
    let end = received[start..].windows(4).position(|end| end == b"\r\n\r\n")?;
    Some(&received[start + end + 4..])
}

/// The client's frames: what follows its first upgrade.
fn after_upgrade(mut sent: &[u8]) -> &[u8] {
    while let Ok(Parsed::Complete { request, consumed }) = parse_request(sent) {
        sent = &sent[consumed..];
        if request.path.trim_end_matches('/') == "/ws" && upgrade(&request).is_ok() {
            return sent;
        }
    }
    &[]
}
