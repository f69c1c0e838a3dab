//! Replays of recorded browsers with their original timing.

mod stalls;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use game_client::ClientMessage;
use pixi_game_server::admission::rate::{Arrival, RateLimit, RateLimiter, Verdict};
use pixi_game_server::config::Config;

use crate::support::recording::{Event, Line, recorded_lines, shorten_pauses};
use crate::support::wait::poll_until_within;
use crate::support::{Client, Server, Settings, poll_until};

/// Longest pause of all pages, in milliseconds; longer ones are shortened. The steps of a walk are closer.
const PAUSE_MAX_MS: u64 = 350;

/// Deadline of a replay. The recording takes half a minute.
const REPLAY_DEADLINE: Duration = Duration::from_mins(1);

/// A server on which every page spawns where page A did. The other pages spawned within a few steps of it.
fn recorded_world() -> Server {
    let lines = recorded_lines();
    let Event::Connected { spawn: (x, y) } = lines[0].event else { panic!("page A connects first") };
    Settings::new().spawn_at(x, y).start()
}

/// The clients of the recorded pages, and the lines not yet replayed.
struct Replay {
    lines: std::vec::IntoIter<Line>,
    next: Option<Line>,
    /// Index of the client of each page.
    pages: BTreeMap<char, usize>,
    moves_sent: u64,
}

impl Replay {
    fn new(lines: Vec<Line>) -> Replay {
        let mut lines = lines.into_iter();
        let next = lines.next();
        Replay { lines, next, pages: BTreeMap::new(), moves_sent: 0 }
    }

    /// Replays all lines due at this time of the recording. Returns whether any line is left.
    fn replay_until(&mut self, now_ms: u64, server: &Server, clients: &mut Vec<Client>) -> bool {
        while let Some(line) = self.next.take_if(|line| line.at_ms <= now_ms) {
            self.perform(&line, server, clients);
            self.next = self.lines.next();
        }
        self.next.is_some()
    }

    fn perform(&mut self, line: &Line, server: &Server, clients: &mut Vec<Client>) {
        match &line.event {
            Event::Connected { .. } => {
                self.pages.insert(line.page, clients.len());
                clients.push(Client::join(server));
            }
            Event::Sent(payload) => {
                let message = ClientMessage::decode(payload).expect("the browser sends valid messages");
                self.moves_sent += u64::from(matches!(message, ClientMessage::Move { .. }));
                clients[self.pages[&line.page]].send(&message);
            }
            Event::Gone => clients[self.pages[&line.page]].close(Some(1001)),
        }
    }
}

/// Replays to the end and waits for the last acks.
fn replay_to_the_end(mut replay: Replay, server: &Server) -> (Replay, Vec<Client>) {
    let (start, mut clients) = (Instant::now(), Vec::new());
    while replay.replay_until(start.elapsed().as_millis() as u64, server, &mut clients) {
        assert!(start.elapsed() < REPLAY_DEADLINE, "the replay timed out");
        let mut rounds = 0..5;
        poll_until_within(REPLAY_DEADLINE, &mut clients, "five rounds of polls", |_| rounds.next().is_none());
    }
    poll_until(&mut clients, "the acks of the last MOVEs", |clients| clients.iter().all(Client::is_answered));
    (replay, clients)
}

#[test]
fn a_replay_causes_no_errors_or_violations() {
    let server = recorded_world();
    let mut lines = recorded_lines();
    shorten_pauses(&mut lines, PAUSE_MAX_MS);
    let (replay, clients) = replay_to_the_end(Replay::new(lines), &server);
    assert_eq!(clients.len(), 8);
    let answered: u64 = clients.iter().map(|client| client.replica.own().answered).sum();
    assert_eq!(answered, replay.moves_sent);
    for client in &clients {
        assert_eq!(client.replica.duplicates(), [] as [u32; 0]);
        assert!(client.close_code.is_none_or(|code| code == 1001), "{client:?}");
    }
    assert_eq!(server.protocol_errors(), 0);
    assert_eq!(server.count("rate_limited_total"), 0);
    assert_eq!(server.count("messages_in_total"), messages_of_all_pages());
}

fn messages_of_all_pages() -> u64 {
    recorded_lines().iter().filter(|line| matches!(line.event, Event::Sent(_))).count() as u64
}

/// Page A's longest walk. Every other period of two seconds is held back and delivered at once.
fn stalled_walk() -> Vec<Line> {
    const FIRST_SEQUENCE: u32 = 39;
    const STALL_MS: u64 = 2_000;
    const WALK_MS: u64 = 12_000;
    let is_first = |line: &Line| match &line.event {
        Event::Sent(payload) => {
            matches!(ClientMessage::decode(payload), Ok(ClientMessage::Move { sequence: FIRST_SEQUENCE, .. }))
        }
        _ => false,
    };
    let of_page_a: Vec<_> = recorded_lines().into_iter().filter(|line| line.page == 'A').collect();
    let first = of_page_a.iter().position(is_first).expect("page A walks from this sequence number");
    let start_ms = of_page_a[first].at_ms;
    let delayed_ms = |at_ms: u64| match at_ms / STALL_MS % 2 {
        0 => at_ms,
        _ => at_ms.next_multiple_of(STALL_MS),
    };
    let moved = |line: &Line| Line { at_ms: delayed_ms(line.at_ms - start_ms), ..line.clone() };
    let walk = of_page_a[first..].iter().map(moved).take_while(|line| line.at_ms <= WALK_MS);
    let connected = Line { at_ms: 0, ..of_page_a[0].clone() };
    std::iter::once(connected).chain(walk).collect()
}

#[test]
fn bursts_after_stalls_of_two_seconds_lose_no_message() {
    // The spawn point is where the recorded walk began.
    let server = Settings::new().spawn_at(560, 728).start();
    let lines = stalled_walk();
    let longest = lines.chunk_by(|a, b| a.at_ms == b.at_ms).map(<[Line]>::len).max().unwrap_or(0);
    assert!(longest >= 35, "the largest burst has only {longest} messages");
    let (replay, clients) = replay_to_the_end(Replay::new(lines), &server);
    assert_eq!(clients[0].replica.own().answered, replay.moves_sent);
    assert_eq!(server.count("rate_limited_total"), 0);
    assert_eq!(server.protocol_errors(), 0);
}

#[test]
fn the_recording_matches_its_description() {
    let lines = recorded_lines();
    let pages: std::collections::BTreeSet<_> = lines.iter().map(|line| line.page).collect();
    assert_eq!(pages.len(), 8);
    assert!(lines.is_sorted_by_key(|line| line.at_ms));
    let mut sequences: BTreeMap<char, u32> = BTreeMap::new();
    for line in &lines {
        let Event::Sent(payload) = &line.event else { continue };
        if let Ok(ClientMessage::Move { sequence, .. }) = ClientMessage::decode(payload) {
            let last = sequences.insert(line.page, sequence).unwrap_or(0);
            assert_eq!(sequence, last + 1, "page {}", line.page);
        }
    }
    assert_eq!(sequences, BTreeMap::from([('A', 391), ('P', 6), ('Q', 6), ('R', 4)]));

    let mut shortened = lines.clone();
    shorten_pauses(&mut shortened, PAUSE_MAX_MS);
    let pauses = |lines: &[Line]| lines.windows(2).map(|two| two[1].at_ms - two[0].at_ms).collect::<Vec<_>>();
    let cut: Vec<_> = pauses(&lines).into_iter().map(|pause| pause.min(PAUSE_MAX_MS)).collect();
    assert_eq!(pauses(&shortened), cut);
}

/// Holds back every period of the recording, for all offsets and for durations up to two seconds, and delivers it at once.
/// The default rate limit must drop no message. The test runs only the limiter, so that it can try all combinations.
#[test]
fn stalls_of_up_to_two_seconds_lose_no_message_at_default_limits() {
    let config = Config::default();
    let limit = RateLimit { per_s: config.rate_limit_msg_per_s, burst: config.rate_limit_burst };
    let mut checked = 0;
    for page in ['A', 'B', 'C', 'D', 'P', 'Q', 'R'] {
        let sent = |line: &Line| line.page == page && matches!(line.event, Event::Sent(_));
        let times_ms: Vec<u64> =
            recorded_lines().iter().filter(|line| sent(line)).map(|line| line.at_ms).collect();
        for stall_ms in (100..=2_000).step_by(100) {
            for offset_ms in (0..stall_ms).step_by(50) {
                let mut limiter = RateLimiter::new(0);
                for at_ms in &times_ms {
                    let delivered_ms = (at_ms + offset_ms).next_multiple_of(stall_ms);
                    let verdict = limiter.check(limit, Arrival::at(delivered_ms));
                    assert_eq!(
                        verdict,
                        Verdict::Accept,
                        "page {page}, stalls of {stall_ms} ms from {offset_ms} ms"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100_000, "the recording is too short for this test");
}
