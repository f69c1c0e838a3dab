//! The client's side of a connection as bytes: requests, their responses, and the server's frames; and the clients of a crowd.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;

use game_client::{ClientMessage, Facing};

use super::crowd::{STEP_MS, WRITE_STALL_S};
use super::machine::ClientEnd;
use super::machine::random::Random;
use super::peer::{BINARY, take_frame};
use crate::support::raw::{COOKIE, UPGRADE, masked, upgrade_with_cookie};

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Steps within which the server gives up a client that takes no bytes: the timeout, a sweep, and a second of slack.
const STALL_STEPS: u64 = (WRITE_STALL_S as u64 + 2) * 1_000 / STEP_MS;

/// What a client has received.
#[derive(Debug, Default)]
pub struct ClientStream {
    /// Bytes of an incomplete response or frame.
    rest: Vec<u8>,
    /// Whether each request that awaits its response is a HEAD. Further ones are not.
    pub heads: VecDeque<bool>,
    /// Statuses and bodies of the responses.
    pub responses: Vec<(u16, String)>,
    /// Status of the last response.
    pub status: Option<u16>,
    /// No response follows the last one.
    pub is_last: bool,
    /// The cookie for the next handshake.
    pub cookie: Option<String>,
    /// The server has sent its Close.
    pub is_closed: bool,
    /// The reason in that Close.
    pub why: String,
    /// Whole frames, by their first byte.
    pub frames: BTreeMap<u8, u64>,
}

/// A handshake, with the cookie of a session to continue.
pub fn handshake(cookie: Option<&str>) -> Vec<u8> {
    cookie.map_or_else(|| UPGRADE.to_owned(), upgrade_with_cookie).into_bytes()
}

impl ClientStream {
    /// Receives bytes. Returns the bytes to send in reply: pongs, and the answer to a Close.
    pub fn receive(&mut self, bytes: &[u8], mut on_message: impl FnMut(&[u8])) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        while !self.is_last && self.take_response() {}
        let (mut rest, mut replies) = (self.rest.as_slice(), Vec::new());
        while self.status == Some(101)
            && let Some((first, payload)) = take_frame(&mut rest)
        {
            assert!(!self.is_closed, "frame {first:02x} after a Close");
            *self.frames.entry(first).or_default() += 1;
            match first {
                BINARY => on_message(payload),
                PING => replies.extend(masked(PONG, payload)),
                CLOSE => {
                    self.is_closed = true;
                    self.why = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                    replies.extend(masked(CLOSE, payload));
                }
                PONG => {}
                other => panic!("the server never sends {other:02x}"),
            }
        }
        self.rest = rest.to_vec();
        replies
    }

    /// Takes the next response, if it is complete.
    fn take_response(&mut self) -> bool {
        let Some(end) = self.rest.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
        let head = std::str::from_utf8(&self.rest[..end + 4]).expect("a head is ASCII");
        let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        let length = field("Content-Length: ").map_or(0, |length| length.parse().expect("a length"));
        let body = if self.heads.front() == Some(&true) { 0 } else { length };
        let Some(body) = self.rest.get(end + 4..end + 4 + body) else { return false };
        self.is_last = status == 101 || field("Connection: close").is_some();
        let cookie = field("Set-Cookie: ").and_then(|cookie| cookie.split(';').next());
        self.cookie = cookie.map(str::to_owned).or(self.cookie.take());
        assert!(self.cookie.as_ref().is_none_or(|cookie| cookie.starts_with(COOKIE)), "{head}");
        let taken = end + 4 + body.len();
        self.responses.push((status, String::from_utf8_lossy(body).into_owned()));
        self.rest.drain(..taken);
        self.heads.pop_front();
        self.status = Some(status);
        true
    }
}

/// The reason of a refusal, by its response.
pub fn refusal(status: u16, body: &str) -> Option<&'static str> {
    Some(match (status, body) {
        (400, _) => "bad_request",
        (403, "your address is banned\n") => "banned",
        (404, _) => "not_found",
        (405, _) => "method",
        (413, _) => "body",
        (426, _) => "upgrade",
        (429, _) => "address_connections",
        (431, _) => "head_too_large",
        (501 | 505, _) => "not_supported",
        (503, "the server is shutting down\n" | "the server admits no players at present\n") => "draining",
        (503, "no descriptor is left for this connection\n") => "descriptors",
        // The answer of a health check while no player is admitted.
        (503, body) if body.starts_with('{') => return None,
        (503, _) => "full",
        _ => return None,
    })
}

/// A client of a crowd, by what it sends and how it reads.
#[expect(clippy::struct_excessive_bools, reason = "each flag is an independent fact about the client")]
pub struct Client {
    pub pipe: ClientEnd,
    pub stream: ClientStream,
    /// What it still has to send, and how many bytes it sends at once.
    pub unsent: Vec<u8>,
    bytes_at_once: usize,
    /// Bytes that it reads in a step; a client that reads in full also answers pings.
    reads: usize,
    /// Its requests, in order.
    pub targets: Vec<&'static str>,
    /// Its network has no faults, and it leaves only after its answers.
    is_patient: bool,
    /// What it sends after the upgrade is valid.
    is_valid: bool,
    /// It sends no message unasked.
    pub is_idle: bool,
    /// Its handshake continues a session.
    pub has_cookie: bool,
    pub acks: Vec<u32>,
    pub moves: u32,
    pub leaves_at: u64,
    /// The reason for which the server counts the way it left.
    farewell: &'static str,
    /// Steps for which the server could not write to it.
    blocked_steps: u64,
}

/// A request other than a handshake, and its text. The refusal of a HEAD has no body that names the reason.
fn request(may_be_head: bool, random: &mut Random) -> (&'static str, String) {
    let targets = [
        "GET /health", "GET /metrics", "GET /nothing", "POST /", "GET /ws", "OPTIONS /ws", "GET /play",
        "HEAD /metrics",
    ];
    let fields = [
        "", "Connection: close\r\n", "Accept: text/plain\r\n", "Content-Length: 3\r\n",
        "Range: bytes=100-699\r\n",
    ];
    let (target, field) =
        (targets[random.below(7 + u64::from(may_be_head)) as usize], fields[random.below(5) as usize]);
    (target, format!("{target} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"))
}

impl Client {
    /// A client that reads and sends everything.
    pub fn new(pipe: ClientEnd, unsent: Vec<u8>) -> Self {
        Self {
            pipe,
            stream: ClientStream::default(),
            unsent,
            bytes_at_once: usize::MAX,
            reads: usize::MAX,
            targets: vec!["GET /ws"],
            is_patient: true,
            is_valid: true,
            is_idle: true,
            has_cookie: false,
            acks: Vec::new(),
            moves: 0,
            leaves_at: u64::MAX,
            farewell: "",
            blocked_steps: 0,
        }
    }

    /// Any client.
    pub fn any(
        pipe: ClientEnd,
        is_patient: bool,
        step: u64,
        cookie: Option<&str>,
        random: &mut Random,
    ) -> Self {
        let mut client = Self::new(pipe, Vec::new());
        if !is_patient {
            client.pipe.borrow_mut().send_buffer_bytes = 300 + random.below(4_000) as usize;
            client.bytes_at_once = [1, 20, usize::MAX, usize::MAX][random.below(4) as usize];
            client.reads = [0, 50, usize::MAX, usize::MAX][random.below(4) as usize];
        }
        (client.is_patient, client.is_idle) = (is_patient, random.chance(4));
        client.leaves_at = step + random.below(if is_patient { 200 } else { 700 });
        let is_player = random.chance(2);
        let garbage: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        match random.below(6) {
            // Silent.
            0 => {}
            // Garbled, before or after the upgrade.
            1 => {
                let valid = if is_player { handshake(None) } else { Vec::new() };
                (client.is_valid, client.unsent) = (false, [valid, garbage].concat());
            }
            // Pipelined; a handshake comes last.
            _ => {
                let count = random.below(30) / if is_player { 10 } else { 1 };
                let requests: Vec<_> =
                    (0..count + u64::from(!is_player)).map(|_| request(!is_patient, random)).collect();
                client.targets = requests.iter().map(|(target, _)| *target).collect();
                client.unsent = requests.into_iter().map(|(_, text)| text).collect::<String>().into_bytes();
                if is_player {
                    client.targets.push("GET /ws");
                    client.unsent.extend(handshake(cookie));
                    client.has_cookie = cookie.is_some();
                }
                client.stream.heads =
                    client.targets.iter().map(|target| target.starts_with("HEAD")).collect();
            }
        }
        client
    }

    /// Whether it is a player that reads and sends everything in time.
    pub fn is_attentive(&self) -> bool {
        let is_prompt = (self.reads, self.bytes_at_once) == (usize::MAX, usize::MAX);
        let is_player = self.stream.status == Some(101) && !self.stream.is_closed;
        is_prompt && is_player && self.is_valid && !self.pipe.borrow().incoming_ended
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.unsent.extend(masked(first, payload));
    }

    pub fn next_move(&mut self, random: &mut Random) -> Vec<u8> {
        self.moves += 1;
        [&[3, random.below(3) as u8 | 4][..], &self.moves.to_le_bytes()].concat()
    }

    /// Sends more than one read takes, and more messages than the rate allows.
    pub fn burst(&mut self, begins_with_move: bool, random: &mut Random) {
        if begins_with_move {
            let first = self.next_move(random);
            self.send(BINARY, &first);
        }
        self.send(0x02, &[]);
        (0..2_800).for_each(|_| self.send(0, &[]));
        let last_fragment = self.next_move(random);
        self.send(0x80, &last_fragment);
        for _ in 0..80 {
            let message = self.next_move(random);
            self.send(BINARY, &message);
        }
        self.send(BINARY, &ClientMessage::Direction(Facing::Left).to_bytes());
        self.send(BINARY, &ClientMessage::Viewport { width: 900, height: 900 }.to_bytes());
        let last = self.next_move(random);
        self.send(BINARY, &last);
    }

    /// Whether it has all its answers.
    pub fn is_done(&self) -> bool {
        self.stream.status != Some(101)
            && (self.stream.is_last || self.stream.responses.len() >= self.targets.len())
    }

    /// Why the server closed this player, by its Close or by the way it left.
    pub fn end(&self) -> &'static str {
        match self.stream.why.as_str() {
            "nothing heard" => "idle",
            "gone on elsewhere" => "taken_over",
            "too many messages" => "flood",
            "banned" => "banned",
            "kicked" => "kicked",
            "text messages are not understood here" => "text",
            "no message is that long" => "too_long",
            "broken framing" | "a close reason must be UTF-8" => "protocol_error",
            _ if self.stream.is_closed => "by_peer",
            _ => self.farewell,
        }
    }

    /// Leaves in any way, often with a last message.
    fn leave(&mut self, random: &mut Random) {
        let (is_attentive, way) = (self.is_attentive(), random.below(6));
        self.farewell = "reset";
        match way {
            3 if is_attentive => {
                self.send(CLOSE, &1_000_u16.to_be_bytes());
                self.farewell = "by_peer";
            }
            4 if is_attentive => {
                self.send(BINARY, &ClientMessage::Leave.to_bytes());
                self.farewell = "left";
            }
            _ if is_attentive => self.send(BINARY, &ClientMessage::Direction(Facing::Left).to_bytes()),
            _ => {}
        }
        let mut pipe = self.pipe.borrow_mut();
        match way {
            0 => pipe.break_with(ErrorKind::ConnectionReset),
            1 => pipe.break_with(ErrorKind::TimedOut),
            // Vanishes: the server hears nothing of it any more.
            2 if !self.is_patient => {}
            _ => {
                pipe.deliver(&self.unsent);
                pipe.close();
            }
        }
    }

    /// Reads a part, and sends a part. Returns whether the client is still there.
    pub fn act(&mut self, step: u64, random: &mut Random) -> bool {
        let is_over = self.receive();
        let may_leave = !self.is_patient || self.stream.status == Some(101);
        let has_all = self.is_patient && self.is_done() && self.leaves_at < u64::MAX;
        if may_leave && step >= self.leaves_at || has_all {
            self.leave(random);
            return false;
        }
        if self.stream.status == Some(101) && !self.is_idle && random.chance(6) {
            let burst = if random.chance(200) { 2_000 } else { 1 };
            for _ in 0..burst {
                let message = self.next_move(random);
                self.send(BINARY, &message);
            }
        }
        let mut pipe = self.pipe.borrow_mut();
        let count = self.bytes_at_once.min(self.unsent.len());
        let sent: Vec<u8> = self.unsent.drain(..count).collect();
        if random.chance(400) && !self.is_patient {
            pipe.end();
        } else if !pipe.incoming_ended {
            pipe.deliver(&sent);
        }
        !is_over
    }

    /// Reads a part. Returns whether the connection is over.
    fn receive(&mut self) -> bool {
        let was_attentive = self.is_attentive();
        let mut pipe = self.pipe.borrow_mut();
        let bytes = pipe.fetch(self.reads);
        let takes_nothing = pipe.is_blocked && pipe.is_served() && bytes.is_empty();
        self.blocked_steps = if takes_nothing { self.blocked_steps + 1 } else { 0 };
        let acks = &mut self.acks;
        let replies = self.stream.receive(&bytes, |payload| {
            if let [8, _, _, _, _, _, _, _, _, sequence @ ..] = payload {
                acks.push(u32::from_le_bytes(sequence.try_into().expect("an ack has 13 bytes")));
            }
        });
        self.unsent.extend(replies);
        assert!(acks.is_sorted_by(|a, b| a < b), "a MOVE is acknowledged once, in order: {acks:?}");
        assert!(acks.last().is_none_or(|last| *last <= self.moves));
        assert!(!was_attentive || self.stream.why != "nothing heard", "it has answered every ping");
        assert!(self.blocked_steps < STALL_STEPS, "it is not given up");
        pipe.is_over()
    }
}
