//! Properties of whole connections, for all inputs and all ways to cut their bytes. The server sends complete frames in
//! the right order, one ack for each accepted MOVE, and nothing after a Close. Its memory use is bounded.
//!
//! The bytes are a script of commands, a byte each with their arguments, see [`Trial::run_command`]. Wire, rate limiter,
//! game and views are the server's, through `Engine::receive`; sockets and the loop are not there.

use pixi_game_server::admission::rate::{Arrival, RateLimiter};
use pixi_game_server::config::Config;
use pixi_game_server::limits::{HTTP_HEAD_BYTES_MAX, READ_BUDGET_BYTES};
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::deferred::Deferred;
use pixi_game_server::server::core::engine::Engine;
use pixi_game_server::server::core::input::InputState;
use pixi_game_server::wire::http::{Date, Parsed, parse_request, upgrade, write_upgrade_response};
use pixi_game_server::wire::websocket::{Code, WebSocket};

mod client_stream;
mod server_stream;

const CONNECTIONS: usize = 3;
const TICK_RATE_HZ: u64 = 60;
/// Largest number of ticks per script; bounds its running time.
const TICKS_MAX: u64 = 600;
/// Largest number of bytes a script sends, including repetitions.
const SENT_BYTES_MAX: usize = 128 * 1024;
/// Largest size of the replies to one read. Acks grow the most: 15 bytes for the 12 of the shortest MOVE.
const REPLIES_OF_ONE_READ_MAX: usize = READ_BUDGET_BYTES * 15 / 12 + 256;

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Runs the script `bytes` with its bytes delivered in three ways.
pub fn check(bytes: &[u8]) {
    let whole = run(bytes, READ_BUDGET_BYTES);
    for cut in [1, 7] {
        let again = run(bytes, cut);
        // Floods are detected per read, so the number of accepted messages depends on the size of the last read.
        if !whole.flooded && !again.flooded {
            assert_eq!(again.sent, whole.sent, "cut to {cut} bytes");
        }
    }
}

/// The result of a script.
struct Outcome {
    /// All bytes sent to each connection.
    sent: Vec<Vec<u8>>,
    flooded: bool,
}

fn run(bytes: &[u8], cut: usize) -> Outcome {
    std::thread::scope(|scope| {
        let pool = Pool::spawn(scope, 1).expect("a pool of one worker spawns no thread");
        let mut trial = Trial::new(pool, cut);
        let mut script = Script { bytes };
        while trial.run_command(&mut script).is_some() {
            trial.write_replies();
        }
        trial.finish()
    })
}

/// One connection from accept to end.
#[derive(Default)]
struct Connection {
    phase: Phase,
    /// Bytes sent by the client and not read by the server.
    unread: Vec<u8>,
    /// Bytes read by the server after the upgrade.
    stream: Vec<u8>,
    outbox: Vec<u8>,
    sent: Vec<u8>,
    /// Whether the client has stopped reading.
    stalls: bool,
}

#[derive(Default)]
enum Phase {
    #[default]
    Free,
    Http(Vec<u8>),
    Player(Box<(u32, WebSocket, RateLimiter, Deferred)>),
    Ended,
}

struct Trial<'a> {
    config: Config,
    game: Engine,
    metrics: Metrics,
    pool: Pool,
    script_cut: usize,
    connections: [Connection; CONNECTIONS],
    current: usize,
    last_sent: &'a [u8],
    ticks: u64,
    now_ms: u64,
    sent_bytes: usize,
    sent: Vec<Vec<u8>>,
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
    fn new(pool: Pool, script_cut: usize) -> Self {
        let config = Config { spawn_seed: Some(1), ..Config::default() };
        Self {
            game: Engine::new(&config, 0, 0),
            config,
            metrics: Metrics::default(),
            pool,
            script_cut,
            connections: Default::default(),
            current: 0,
            last_sent: HANDSHAKE,
            ticks: 0,
            now_ms: 0,
            sent_bytes: 0,
            sent: Vec::new(),
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
            7 => self.now_ms += u64::from(script.byte()?) * 64,
            8 => self.end(self.current),
            9 => self.connections[self.current].stalls ^= true,
            10 => {
                let times = script.byte()? % 64;
                (0..times).for_each(|_| self.send(self.last_sent));
            }
            _ => self.say(script.byte()?),
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

    /// Sends a ping of the server, or closes the connection.
    fn say(&mut self, what: u8) {
        let index = self.current;
        let connection = &mut self.connections[index];
        let Phase::Player(player) = &mut connection.phase else { return };
        match what % 4 {
            0 => {
                player.1.close(Code::GoingAway, "idle timeout", &mut connection.outbox);
                self.leave(index);
            }
            _ => player.1.ping(&mut connection.outbox),
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        self.sent_bytes += bytes.len();
        if self.sent_bytes > SENT_BYTES_MAX {
            return;
        }
        let connection = &mut self.connections[self.current];
        if matches!(connection.phase, Phase::Free) {
            connection.phase = Phase::Http(Vec::new());
        }
        connection.unread.extend_from_slice(bytes);
        self.read(self.current);
    }

    /// Reads as the server would, one cut at a time. As in the server, a connection is not read while its replies are at
    /// their limit.
    fn read(&mut self, index: usize) {
        let replies_max = self.config.write_buffer_bytes;
        while !self.connections[index].unread.is_empty() {
            let connection = &mut self.connections[index];
            if connection.stalls && connection.outbox.len() >= replies_max {
                return;
            }
            let count = self.script_cut.min(connection.unread.len());
            let bytes: Vec<u8> = connection.unread.drain(..count).collect();
            self.receive(index, &bytes);
            let held = self.connections[index].outbox.len();
            assert!(
                !self.connections[index].stalls || held <= replies_max + REPLIES_OF_ONE_READ_MAX,
                "{held}"
            );
        }
    }

    fn receive(&mut self, index: usize, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        match &mut connection.phase {
            Phase::Http(head) => {
                head.extend_from_slice(bytes);
                assert!(head.len() <= HTTP_HEAD_BYTES_MAX + READ_BUDGET_BYTES);
                self.serve_http(index);
            }
            Phase::Player(player) => {
                connection.stream.extend_from_slice(bytes);
                let (slot, websocket, limiter, deferred) = &mut **player;
                let mut sender = InputState { slot: *slot, websocket, limiter, deferred };
                let out = &mut connection.outbox;
                let outcome =
                    sender.receive(&mut self.game, bytes, Arrival::at(self.now_ms), out, &mut self.metrics);
                if outcome.closed.is_some() {
                    self.leave(index);
                }
            }
            Phase::Free | Phase::Ended => {}
        }
    }

    /// Handles requests up to the upgrade. A refused request ends the connection.
    fn serve_http(&mut self, index: usize) {
        loop {
            let connection = &mut self.connections[index];
            let Phase::Http(head) = &mut connection.phase else { return };
            match parse_request(head) {
                Ok(Parsed::Incomplete) => return,
                Err(_) => connection.phase = Phase::Ended,
                Ok(Parsed::Complete { request, consumed }) => {
                    head.drain(..consumed);
                    let early_bytes = std::mem::take(head);
                    if let Ok(key) = upgrade(&request) {
                        self.make_player(index);
                        write_upgrade_response(&mut Vec::new(), &key, None, &Date::from_unix_s(0));
                        return self.receive(index, &early_bytes);
                    }
                    connection.phase =
                        if request.keep_alive { Phase::Http(early_bytes) } else { Phase::Ended };
                }
            }
        }
    }

    fn make_player(&mut self, index: usize) {
        let out = &mut self.connections[index].outbox;
        let slot = self.game.join(None, out, &mut self.metrics);
        let limiter = RateLimiter::new(self.now_ms);
        let websocket = WebSocket::new(self.config.read_buffer_bytes);
        self.connections[index].phase =
            Phase::Player(Box::new((slot, websocket, limiter, Deferred::default())));
    }

    fn leave(&mut self, index: usize) {
        if let Phase::Player(player) = std::mem::replace(&mut self.connections[index].phase, Phase::Ended) {
            self.metrics.rate_limited_total += player.3.len() as u64;
            self.game.leave(player.0);
        }
    }

    /// Sends the pending replies to clients that read, at the end of a command.
    fn write_replies(&mut self) {
        for index in 0..CONNECTIONS {
            let connection = &mut self.connections[index];
            if connection.stalls || connection.outbox.is_empty() {
                continue;
            }
            if let Phase::Player(player) = &connection.phase {
                self.game.piggyback(player.0, true, &mut connection.outbox, &mut self.metrics);
            }
            connection.sent.append(&mut connection.outbox);
            self.read(index);
        }
    }

    /// Applies the deferred messages that the players' rate limits now allow.
    fn apply_deferred(&mut self) {
        for connection in &mut self.connections {
            let Phase::Player(player) = &mut connection.phase else { continue };
            let (slot, websocket, limiter, deferred) = &mut **player;
            let mut sender = InputState { slot: *slot, websocket, limiter, deferred };
            if connection.outbox.len() < self.config.write_buffer_bytes {
                let arrival = Arrival::at(self.now_ms);
                sender.apply_deferred(&mut self.game, arrival, &mut connection.outbox, &mut self.metrics);
            }
        }
    }

    fn tick(&mut self) {
        if self.ticks >= TICKS_MAX {
            return;
        }
        self.ticks += 1;
        self.now_ms += 1000 / TICK_RATE_HZ;
        self.apply_deferred();
        self.write_replies();
        self.game.step(1, &mut self.metrics);
        self.game.begin_flush_round();
        while !self.game.viewers().is_flush_round_over() {
            let connections = &self.connections;
            let of = |slot: u32| {
                connections
                    .iter()
                    .position(|one| matches!(&one.phase, Phase::Player(player) if player.0 == slot))
            };
            let mut can_be_written = |slot: u32| of(slot).is_some_and(|index| !connections[index].stalls);
            self.game.flush_batch(&mut self.pool, &mut can_be_written, &mut self.metrics);
            let mut written = Vec::new();
            while let Some((segment, frames)) = self.pool.batch().next_segment() {
                written.push((of(segment.slot).expect("only players have frames"), frames.to_vec()));
            }
            for (index, frames) in written {
                self.connections[index].sent.extend(frames);
            }
        }
    }

    /// Ends the connection; another one can take its place.
    fn end(&mut self, index: usize) {
        self.connections[index].stalls = false;
        self.write_replies();
        let was_player = matches!(self.connections[index].phase, Phase::Player(_));
        self.leave(index);
        let connection = std::mem::take(&mut self.connections[index]);
        self.require_answers(&connection, was_player);
        self.sent.push([connection.sent, connection.outbox].concat());
    }

    /// Checks that every accepted MOVE has its ack, in order, and that there are no others.
    fn require_answers(&self, connection: &Connection, was_player: bool) {
        let sent = [&connection.sent[..], &connection.outbox].concat();
        let received = server_stream::read(&sent);
        assert!(!was_player || !received.is_closed, "a player continues after its Close");
        let moves = client_stream::moves(&connection.stream);
        let mut rest = moves.iter();
        let in_order = received.acks.iter().all(|ack| rest.any(|sequence| sequence == ack));
        assert!(in_order, "acks {:?} for MOVEs {moves:?}", received.acks);
        if self.metrics.rate_limited_total == 0 && !self.has_flooded() {
            assert_eq!(received.acks, moves, "every accepted MOVE has an ack");
        }
    }

    fn has_flooded(&self) -> bool {
        self.metrics.protocol_errors.iter().any(|(name, count)| name == "rate_flood" && count > 0)
    }

    fn finish(mut self) -> Outcome {
        for index in 0..CONNECTIONS {
            self.end(index);
        }
        assert_eq!(self.game.players(), 0);
        Outcome { flooded: self.has_flooded(), sent: self.sent }
    }
}
