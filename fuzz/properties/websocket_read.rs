//! Whatever a peer sends after the upgrade, it amounts to the same events however it arrives, and what it makes the
//! server send is whole frames, and little.

use pixi_game_server::limits::CONTROL_PAYLOAD_BYTES_MAX;
use pixi_game_server::wire::websocket::{Event, Failure, Session};

/// Bytes of read buffer a connection has by default.
const READ_BUFFER_BYTES: usize = 256;

/// A client's frame is masked, so it has at least two bytes of header and four of mask.
const CLIENT_FRAME_BYTES_MIN: usize = 6;

const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// What a connection amounted to: the events, what ended it, and the bytes sent to the peer.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<Event>,
    failure: Option<Failure>,
    out: Vec<u8>,
}

/// Checks a connection on which `bytes` arrive.
pub fn check(bytes: &[u8]) {
    let whole = receive([bytes]);
    require_few_events(&whole, bytes);
    require_replies(&whole, bytes);
    assert_eq!(receive(bytes.chunks(1)), whole, "byte by byte");
    assert_eq!(receive(bytes.chunks(READ_BUFFER_BYTES)), whole, "a read buffer at a time");
    assert_eq!(receive(Pieces { rest: bytes }), whole, "in pieces");
}

/// Cuts bytes at places that depend on the bytes alone: each piece begins with its own length, up to 64.
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

/// Does with each read's bytes what the server does.
fn receive<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut session = Session::new(READ_BUFFER_BYTES);
    let mut outcome = Outcome { events: Vec::new(), failure: None, out: Vec::new() };
    for mut input in reads {
        loop {
            let sent_bytes = outcome.out.len();
            match session.next_event(&mut input, &mut outcome.out) {
                Ok(None) => break,
                Ok(Some(Event::Close)) => {
                    outcome.events.push(Event::Close);
                    require_silence(session, &outcome.out);
                    return outcome;
                }
                Ok(Some(event)) => {
                    assert!(event != Event::Ping || outcome.out.len() > sent_bytes, "the pong waits");
                    outcome.events.push(event);
                }
                Err(failure) => {
                    outcome.failure = Some(failure);
                    session.close(failure.code(), "refused", &mut outcome.out);
                    require_silence(session, &outcome.out);
                    return outcome;
                }
            }
        }
        assert!(input.is_empty(), "{} bytes were left in the input", input.len());
    }
    outcome
}

/// Nothing may be sent after a Close, whatever the server would still like to say.
fn require_silence(mut session: Session, out: &[u8]) {
    let mut more = out.to_vec();
    session.ping(&mut more);
    session.close(Failure::Framing.code(), "again", &mut more);
    assert_eq!(more, out, "something was sent after the close");
}

fn require_few_events(outcome: &Outcome, bytes: &[u8]) {
    let most = bytes.len() / CLIENT_FRAME_BYTES_MIN;
    assert!(outcome.events.len() <= most, "{} events from {} bytes", outcome.events.len(), bytes.len());
}

/// One pong for every ping, and at the end one close if the connection ended.
fn require_replies(outcome: &Outcome, bytes: &[u8]) {
    assert!(outcome.out.len() <= 2 * bytes.len() + 256, "{} bytes are sent for these", outcome.out.len());
    let pings = outcome.events.iter().filter(|event| **event == Event::Ping).count();
    let mut expected = vec![PONG; pings];
    if outcome.failure.is_some() || outcome.events.last() == Some(&Event::Close) {
        expected.push(CLOSE);
    }
    assert_eq!(first_bytes(&outcome.out), expected);
}

/// The first byte of each frame in `out`, which must be whole, short and unmasked.
fn first_bytes(mut out: &[u8]) -> Vec<u8> {
    let mut firsts = Vec::new();
    while let [first, length, rest @ ..] = out {
        let length = usize::from(*length);
        assert!(length <= CONTROL_PAYLOAD_BYTES_MAX && length <= rest.len(), "{first:02x} {length:02x}");
        firsts.push(*first);
        out = &rest[length..];
    }
    assert!(out.is_empty(), "half a frame");
    firsts
}
