//! The output of a peer over time, without sockets and clocks, so that it can be tested without a server.

use fastrand::Rng;
use game_client::ClientMessage;
use game_client::frame::{Opcode, masked};

use super::kind::Kind;
use crate::behaviour::{SECOND_NS, random_vector};

/// Time between two bytes of slow peers.
const BYTE_INTERVAL_NS: u64 = SECOND_NS;

/// Time between two pieces of garbage.
const GARBAGE_INTERVAL_NS: u64 = SECOND_NS;

/// Maximum length of a piece of garbage, in bytes.
const GARBAGE_BYTES_MAX: usize = 512;

/// Time between two pongs of deaf peers; far below any idle timeout.
const SIGN_INTERVAL_NS: u64 = 5 * SECOND_NS;

/// Time between two bursts of MOVEs; bursts save system calls of the generator.
const BURST_INTERVAL_NS: u64 = SECOND_NS / 10;

/// MOVEs per second whose acks fill the buffers of a peer that does not read; close to the rate of the game's client.
const UNREAD_MOVES_PER_S: f64 = 20.0;

/// Maximum time between connect and leave of a churner.
const STAY_NS_MAX: u64 = SECOND_NS / 4;

/// The start of an endless head; the rest is one field value.
const HEAD: &[u8] = b"GET /ws HTTP/1.1\r\nHost: hostile\r\nX-Endless: ";

/// The next step of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More output after this time, in nanoseconds.
    After(u64),
    /// No output until the upgrade.
    Wait,
    /// Close normally.
    Close,
    /// Close with a reset.
    Reset,
}

/// The script of one connection.
#[derive(Clone, Debug)]
pub struct Script {
    kind: Kind,
    /// Whether it is of the kind's variant that never upgrades: garbage instead of a request, or an immediate leave.
    is_early: bool,
    /// Whether it leaves with a reset.
    resets: bool,
    /// Steps before the upgrade, and after it.
    steps: [usize; 2],
    /// The rest of a slow frame, in reverse order.
    frame: Vec<u8>,
    sequence: u32,
    /// MOVEs per second.
    moves_per_s: f64,
    /// MOVEs that are due but not sent, with their fraction.
    owed: f64,
}

impl Script {
    /// Creates the script of a new connection; `index` selects between two variants of a kind.
    pub fn new(kind: Kind, index: usize, flood_rate: f64, random: &mut Rng) -> Script {
        let is_early = match kind {
            Kind::Garbage => index.is_multiple_of(2),
            Kind::Churners => random.bool(),
            _ => false,
        };
        let moves_per_s = if kind == Kind::Flooders { flood_rate } else { UNREAD_MOVES_PER_S };
        let (frame, resets) = (Vec::new(), random.bool());
        Script { kind, is_early, resets, steps: [0; 2], frame, sequence: 0, moves_per_s, owed: 0.0 }
    }

    /// Appends the current output, and returns the next step; called after connecting, and again after the upgrade.
    pub fn act(&mut self, is_upgraded: bool, request: &[u8], random: &mut Rng, out: &mut Vec<u8>) -> Next {
        let step = self.steps[usize::from(is_upgraded)];
        self.steps[usize::from(is_upgraded)] += 1;
        match self.kind {
            Kind::SlowHeads => {
                out.push(HEAD.get(step).copied().unwrap_or(b'a'));
                Next::After(BYTE_INTERVAL_NS)
            }
            Kind::SlowUpgrades if step < request.len() && !is_upgraded => {
                out.push(request[step]);
                Next::After(BYTE_INTERVAL_NS)
            }
            Kind::Garbage if is_upgraded || self.is_early => {
                let length = random.usize(1..=GARBAGE_BYTES_MAX);
                out.extend((0..length).map(|_| random.u8(..)));
                Next::After(GARBAGE_INTERVAL_NS)
            }
            Kind::Churners if is_upgraded && step == 0 => Next::After(random.u64(..STAY_NS_MAX)),
            Kind::Churners if is_upgraded || self.is_early => self.leave(),
            Kind::SlowUpgrades => Next::Wait,
            _ if !is_upgraded => {
                out.extend_from_slice(request);
                Next::Wait
            }
            Kind::SlowFrames => {
                if self.frame.is_empty() {
                    self.append_move(random, out);
                    self.frame.extend(out.drain(..).rev());
                }
                out.extend(self.frame.pop());
                Next::After(BYTE_INTERVAL_NS)
            }
            Kind::Deaf => {
                out.extend(masked(Opcode::Pong, &[], random.u32(..)));
                Next::After(SIGN_INTERVAL_NS)
            }
            Kind::ZeroWindow | Kind::Flooders => {
                self.owed += self.moves_per_s * BURST_INTERVAL_NS as f64 / SECOND_NS as f64;
                while self.owed >= 1.0 {
                    self.owed -= 1.0;
                    self.append_move(random, out);
                }
                Next::After(BURST_INTERVAL_NS)
            }
            Kind::Silent | Kind::Garbage | Kind::Churners => Next::Wait,
        }
    }

    fn leave(&self) -> Next {
        if self.resets { Next::Reset } else { Next::Close }
    }

    fn append_move(&mut self, random: &mut Rng, out: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        let vector = random_vector(random);
        let step = ClientMessage::Move { vector, sequence: self.sequence, claim: None };
        out.extend(masked(Opcode::Binary, &step.to_bytes(), random.u32(..)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\n\r\n";

    /// Returns the output of some steps, and the step after the last.
    fn sent(kind: Kind, index: usize, is_upgraded: bool, steps: usize) -> (Vec<Vec<u8>>, Next) {
        let mut random = Rng::with_seed(7);
        let mut script = Script::new(kind, index, 240.0, &mut random);
        let mut next = Next::Wait;
        let pieces = (0..steps).map(|_| {
            let mut out = Vec::new();
            next = script.act(is_upgraded, REQUEST, &mut random, &mut out);
            out
        });
        (pieces.collect(), next)
    }

    /// Sequence numbers of the MOVEs in a stream of whole frames.
    fn moves(mut stream: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        while let [0x82, 0x86, a, b, c, d, rest @ ..] = stream {
            let (payload, after) = rest.split_at(6);
            let plain: Vec<u8> =
                payload.iter().zip([a, b, c, d].into_iter().cycle()).map(|(x, m)| x ^ m).collect();
            match ClientMessage::decode(&plain) {
                Ok(ClientMessage::Move { sequence, .. }) => found.push(sequence),
                other => panic!("{other:?}"),
            }
            stream = after;
        }
        assert!(stream.is_empty(), "{stream:?} after the frames");
        found
    }

    #[test]
    fn slow_peers_send_valid_bytes_one_at_a_time() {
        let (pieces, next) = sent(Kind::SlowUpgrades, 0, false, REQUEST.len());
        assert_eq!(pieces.concat(), REQUEST);
        assert!(pieces.iter().all(|piece| piece.len() == 1) && next == Next::After(SECOND_NS));
        assert_eq!(sent(Kind::SlowUpgrades, 0, false, REQUEST.len() + 1).1, Next::Wait);
        let (pieces, _) = sent(Kind::SlowFrames, 0, true, 24);
        assert!(pieces.iter().all(|piece| piece.len() == 1));
        assert_eq!(moves(&pieces.concat()), [1, 2]);
    }

    #[test]
    fn an_endless_head_never_ends() {
        let (pieces, next) = sent(Kind::SlowHeads, 0, false, 5_000);
        let head = pieces.concat();
        assert!(head.starts_with(HEAD) && !head.windows(4).any(|window| window == b"\r\n\r\n"));
        assert_eq!(next, Next::After(SECOND_NS));
    }

    #[test]
    fn floods_have_their_rate_and_zero_window_peers_the_servers() {
        assert_eq!(moves(&sent(Kind::Flooders, 0, true, 10).0.concat()).len(), 240);
        assert_eq!(moves(&sent(Kind::ZeroWindow, 0, true, 10).0.concat()).len(), 20);
    }

    #[test]
    fn churners_leave_in_every_way() {
        let mut random = Rng::with_seed(3);
        let mut ways = Vec::new();
        for _ in 0..64 {
            let mut script = Script::new(Kind::Churners, 0, 240.0, &mut random);
            let mut out = Vec::new();
            let first = script.act(false, REQUEST, &mut random, &mut out);
            let way = if first == Next::Wait {
                assert!(matches!(script.act(true, REQUEST, &mut random, &mut out), Next::After(_)));
                (true, script.act(true, REQUEST, &mut random, &mut out))
            } else {
                (false, first)
            };
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        assert_eq!(ways.len(), 4, "{ways:?}");
    }
}
