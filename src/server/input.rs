//! What a player's bytes come to: frames, messages, verdicts, acks, and the end when they bring it. Without the socket
//! they came from, so that the loop and the fuzzing of whole connections run the same lines.

use super::deferred::Deferred;
use super::engine::{CloseRequest, Engine, close_for_failure, close_for_flood};
use crate::admission::rate::{Arrival, RateLimiter, Verdict};
use crate::ops::metrics::{Closed, FrameOut, Metrics};
use crate::wire::websocket::{Event, Session};

/// What is known of the player who sent them.
#[derive(Debug)]
pub struct InputState<'a> {
    /// Its slot in the world.
    pub slot: u32,
    /// Its framing.
    pub websocket: &'a mut Session,
    /// Its message allowance.
    pub limiter: &'a mut RateLimiter,
    /// What waits for that.
    pub deferred: &'a mut Deferred,
}

/// What the bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub struct InputOutcome {
    /// A frame arrived whole.
    pub received_frame: bool,
    /// Messages wait for the allowance: [`Engine::apply_deferred`] is to be called until none does.
    pub has_deferred: bool,
    /// Why the connection ends; its close frame has been written.
    pub closed: Option<Closed>,
}

impl Engine {
    /// Acts on what a player sent. Replies, a last close frame included, are appended to `out`.
    pub fn receive(
        &mut self,
        state: InputState<'_>,
        bytes: &[u8],
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> InputOutcome {
        let mut state = state;
        let mut received_frame = false;
        let mut input = bytes;
        let limit = self.rate_limit();
        let close = if state.limiter.check_bytes(limit, arrival, bytes.len()) == Verdict::Flood {
            // What floods is not taken apart any more.
            Some(close_for_flood(metrics))
        } else {
            loop {
                if !state.deferred.is_empty() {
                    // It came before what comes now.
                    self.apply_deferred(&mut state, arrival, out, metrics);
                }
                let answered = out.len();
                match state.websocket.next_event(&mut input, out) {
                    Ok(Some(event)) => {
                        received_frame = true;
                        let verdict = match event {
                            Event::Close => Verdict::Accept,
                            _ => state.limiter.check(limit, arrival),
                        };
                        if verdict == Verdict::Drop
                            && let Event::Message(message) = event
                            && Deferred::accepts(message)
                        {
                            metrics.messages_in_total += 1;
                            metrics.rate_limited_total += u64::from(state.deferred.replace(message));
                            continue;
                        }
                        if event == Event::Ping && verdict != Verdict::Accept {
                            // The framing has appended the pong already.
                            out.truncate(answered);
                        }
                        let close = self.handle_event(state.slot, &event, verdict, out, metrics);
                        if close.is_some() {
                            break close;
                        }
                    }
                    Ok(None) => break None,
                    Err(failure) => break Some(close_for_failure(failure, metrics)),
                }
            }
        };
        if let Some(CloseRequest { close: Some((code, reason)), .. }) = close {
            state.websocket.close(code, reason, out);
            metrics.frames_out[FrameOut::Close] += 1;
        }
        let has_deferred = close.is_none() && !state.deferred.is_empty();
        InputOutcome { received_frame, has_deferred, closed: close.map(|close| close.reason) }
    }
}
