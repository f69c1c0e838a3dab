//! The events of a client do not depend on how its bytes arrive. Replies are complete frames of bounded size.

use pixi_game_server::limits::CONTROL_PAYLOAD_BYTES_MAX;
use pixi_game_server::wire::websocket::{Event, Failure, WebSocket};

/// Default read buffer of a connection, in bytes.
const READ_BUFFER_BYTES: usize = 256;

/// Length of the shortest client frame, in bytes: two of header and four of mask.
const CLIENT_FRAME_BYTES_MIN: usize = 6;

const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// The result of a connection: its events, the failure that ended it, and the bytes sent to the peer.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<Event>,
    failure: Option<Failure>,
    out: Vec<u8>,
}

pub fn check(bytes: &[u8]) {
    let whole = receive([bytes]);
    require_few_events(&whole, bytes);
    require_replies(&whole, bytes);
    assert_eq!(receive(bytes.chunks(1)), whole, "byte by byte");
    assert_eq!(receive(bytes.chunks(READ_BUFFER_BYTES)), whole, "a read buffer at a time");
    assert_eq!(receive(Pieces { rest: bytes }), whole, "in pieces");
}

/// Cuts bytes into pieces whose lengths depend only on the bytes: the first byte of a piece gives its length, up to 64.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = 1 + usize::from(self.rest.first()? % 64);
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

/// Processes the bytes of each read as the server does.
fn receive<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut websocket = WebSocket::new(READ_BUFFER_BYTES);
    let mut outcome = Outcome { events: Vec::new(), failure: None, out: Vec::new() };
    for mut input in reads {
        loop {
            let sent_bytes = outcome.out.len();
            match websocket.next_event(&mut input, &mut outcome.out) {
                Ok(None) => break,
                Ok(Some(Event::Close)) => {
                    outcome.events.push(Event::Close);
                    require_silence(websocket, &outcome.out);
                    return outcome;
                }
                Ok(Some(event)) => {
                    assert!(
                        event != Event::Ping || outcome.out.len() > sent_bytes,
                        "a ping is answered immediately"
                    );
                    outcome.events.push(event);
                }
                Err(failure) => {
                    outcome.failure = Some(failure);
                    websocket.close(failure.code(), "refused", &mut outcome.out);
                    require_silence(websocket, &outcome.out);
                    return outcome;
                }
            }
        }
        assert!(input.is_empty(), "{} bytes were left in the input", input.len());
    }
    outcome
}

/// Checks that nothing is sent after a Close, even if the server tries to.
fn require_silence(mut websocket: WebSocket, out: &[u8]) {
    let mut more = out.to_vec();
    websocket.ping(&mut more);
    websocket.close(Failure::Framing.code(), "again", &mut more);
    assert_eq!(more, out, "something was sent after the close");
}

fn require_few_events(outcome: &Outcome, bytes: &[u8]) {
    let most = bytes.len() / CLIENT_FRAME_BYTES_MIN;
    assert!(outcome.events.len() <= most, "{} events from {} bytes", outcome.events.len(), bytes.len());
}

/// Checks that there is one pong for every ping, and one Close at the end if the connection ended.
fn require_replies(outcome: &Outcome, bytes: &[u8]) {
    assert!(outcome.out.len() <= 2 * bytes.len() + 256, "{} bytes are sent for these", outcome.out.len());
    let pings = outcome.events.iter().filter(|event| **event == Event::Ping).count();
    let mut expected = vec![PONG; pings];
    if outcome.failure.is_some() || outcome.events.last() == Some(&Event::Close) {
        expected.push(CLOSE);
    }
    assert_eq!(first_bytes(&outcome.out), expected);
}

/// Returns the first byte of each frame in `out`. The frames must be complete, short and unmasked.
fn first_bytes(mut out: &[u8]) -> Vec<u8> {
    let mut firsts = Vec::new();
    while let [first, length, rest @ ..] = out {
        let length = usize::from(*length);
        assert!(length <= CONTROL_PAYLOAD_BYTES_MAX && length <= rest.len(), "{first:02x} {length:02x}");
        firsts.push(*first);
        out = &rest[length..];
    }
    assert!(out.is_empty(), "an incomplete frame");
    firsts
}
