//! The recording of real browsers in `tests/fixtures`, and its timing.

use game_client::ClientMessage;

use super::from_hex;

const RECORDING: &str = include_str!("../fixtures/three-browsers.txt");

/// An event of one recorded page.
#[derive(Clone, Debug)]
pub enum Event {
    /// The page connected and its player spawned.
    Connected {
        /// Spawn position, in world units.
        spawn: (u16, u16),
    },
    Sent(Vec<u8>),
    Gone,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub page: char,
    /// Time since the start of the recording, in milliseconds.
    pub at_ms: u64,
    pub event: Event,
}

/// All lines of the recording, in order of time.
pub fn recorded_lines() -> Vec<Line> {
    RECORDING.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

/// Shortens every pause in which all pages are silent to at most `pause_max_ms`.
pub fn shorten_pauses(lines: &mut [Line], pause_max_ms: u64) {
    let (mut before_ms, mut cut_ms) = (0, 0);
    for line in lines {
        let pause_ms = line.at_ms - before_ms;
        before_ms = line.at_ms;
        cut_ms += pause_ms.saturating_sub(pause_max_ms);
        line.at_ms -= cut_ms;
    }
}

fn parse(line: &str) -> Line {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let page = word().and_then(|page| page.chars().next()).expect("a page");
    let at_ms = word().and_then(|time| time.parse().ok()).expect("a time");
    let direction = word().expect("a direction");
    let payload = from_hex(word().unwrap_or_default());
    let event = match direction {
        "in" => Event::Connected { spawn: spawn(&payload) },
        "out" => {
            ClientMessage::decode(&payload).expect("the browser sends valid messages");
            Event::Sent(payload)
        }
        "gone" => Event::Gone,
        other => panic!("unknown direction {other}"),
    };
    Line { page, at_ms, event }
}

/// Position of the viewer in a `GAME_STATE`, by hand: the recorded server used other state bits.
fn spawn(game_state: &[u8]) -> (u16, u16) {
    const HEAD_BYTES: usize = 5;
    const ENTRY_BYTES: usize = 11;
    let id = |entry: &&[u8]| u32::from_le_bytes(entry[..4].try_into().expect("four bytes"));
    let own = game_state[HEAD_BYTES..].chunks_exact(ENTRY_BYTES).max_by_key(id).expect("an entry");
    let unit = |at: usize| u16::from_le_bytes([own[at], own[at + 1]]);
    (unit(4), unit(6))
}
