//! What a player's bytes come to: frames, messages, verdicts, acks, and the end when they bring it. Without the socket
//! they came from, so that the loop and the fuzzing of whole connections run the same lines.

use super::deferred::Postponed;
use super::engine::{Ending, Game, ending_of, flood};
use crate::admission::rate::{Arrival, RateLimiter, Verdict};
use crate::ops::metrics::{Closed, FrameOut, Metrics};
use crate::wire::websocket::{Event, Session};

/// What is known of the player who sent them.
#[derive(Debug)]
pub struct Sender<'a> {
    /// Its slot in the world.
    pub slot: u32,
    /// Its framing.
    pub session: &'a mut Session,
    /// Its message allowance.
    pub limiter: &'a mut RateLimiter,
    /// What waits for that.
    pub postponed: &'a mut Postponed,
}

/// What the bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Intake {
    /// A frame arrived whole.
    pub heard: bool,
    /// Messages wait for the allowance: [`Game::take_up`] is to be called until none does.
    pub postpones: bool,
    /// Why the connection ends; its close frame has been written.
    pub ending: Option<Closed>,
}

impl Game {
    /// Acts on what a player sent. Replies, a last close frame included, are appended to `out`.
    pub fn take_in(
        &mut self,
        sender: Sender<'_>,
        bytes: &[u8],
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> Intake {
        let mut sender = sender;
        let mut heard = false;
        let mut input = bytes;
        let limit = self.rate_limit();
        let ending = if sender.limiter.check_bytes(limit, arrival, bytes.len()) == Verdict::Flood {
            // What floods is not taken apart any more.
            Some(flood(metrics))
        } else {
            loop {
                if !sender.postponed.is_empty() {
                    // It came before what comes now.
                    self.take_up(&mut sender, arrival, out, metrics);
                }
                let answered = out.len();
                match sender.session.next_event(&mut input, out) {
                    Ok(Some(event)) => {
                        heard = true;
                        let verdict = match event {
                            Event::Close => Verdict::Accept,
                            _ => sender.limiter.check(limit, arrival),
                        };
                        if verdict == Verdict::Drop
                            && let Event::Message(message) = event
                            && Postponed::takes(message)
                        {
                            metrics.messages_in_total += 1;
                            metrics.rate_limited_total += u64::from(sender.postponed.replace(message));
                            continue;
                        }
                        if event == Event::Ping && verdict != Verdict::Accept {
                            // The framing has appended the pong already.
                            out.truncate(answered);
                        }
                        let ending = self.act(sender.slot, &event, verdict, out, metrics);
                        if ending.is_some() {
                            break ending;
                        }
                    }
                    Ok(None) => break None,
                    Err(failure) => break Some(ending_of(failure, metrics)),
                }
            }
        };
        if let Some(Ending { close: Some((code, reason)), .. }) = ending {
            sender.session.close(code, reason, out);
            metrics.frames_out[FrameOut::Close] += 1;
        }
        let postpones = ending.is_none() && !sender.postponed.is_empty();
        Intake { heard, postpones, ending: ending.map(|ending| ending.reason) }
    }
}
