//! What a player's bytes come to: frames, messages, verdicts, acks, and the end when they bring it. Without the socket
//! they came from, so that the loop and the fuzzing of whole connections run the same lines.

use super::game::{Ending, Game, ending_of, flood};
use crate::metrics::{Closed, FrameOut, Metrics};
use crate::rate::{Arrival, RateLimiter, Verdict};
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
}

/// What the bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Intake {
    /// A frame arrived whole.
    pub heard: bool,
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
        let Sender { slot, session, limiter } = sender;
        let mut heard = false;
        let mut input = bytes;
        let limit = self.rate_limit();
        let ending = if limiter.judge_bytes(limit, arrival, bytes.len()) == Verdict::Flood {
            // What floods is not taken apart any more.
            Some(flood(metrics))
        } else {
            loop {
                let answered = out.len();
                match session.next_event(&mut input, out) {
                    Ok(Some(event)) => {
                        heard = true;
                        let verdict = match event {
                            Event::Close => Verdict::Accept,
                            _ => limiter.judge(limit, arrival),
                        };
                        if event == Event::Ping && verdict != Verdict::Accept {
                            // The framing has appended the pong already.
                            out.truncate(answered);
                        }
                        let ending = self.act(slot, &event, verdict, out, metrics);
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
            session.close(code, reason, out);
            metrics.frames_out[FrameOut::Close] += 1;
        }
        Intake { heard, ending: ending.map(|ending| ending.reason) }
    }
}
