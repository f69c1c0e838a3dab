//! Player input: decodes the bytes of one read into frames and messages, applies the rate limit, and appends the replies. It
//! has no socket, so the event loop, the simulation and the fuzz targets run the same code.

use super::deferred::Deferred;
use super::engine::{CloseRequest, Engine, close_for_failure, close_for_flood};
use super::trace::Trace;
use crate::admission::rate::{Arrival, RateLimiter, Verdict};
use crate::ops::metrics::{Closed, FrameOut, Metrics};
use crate::wire::websocket::{Event, WebSocket};

/// The parts of a player that its input needs.
#[derive(Debug)]
pub struct InputState<'a> {
    /// Slot in the world.
    pub slot: u32,
    /// WebSocket framing.
    pub websocket: &'a mut WebSocket,
    /// Message rate limiter.
    pub limiter: &'a mut RateLimiter,
    /// Messages over the rate.
    pub deferred: &'a mut Deferred,
}

/// Result of one read.
#[derive(Debug, PartialEq, Eq)]
pub struct InputOutcome {
    /// At least one complete frame arrived.
    pub received_frame: bool,
    /// A pong arrived.
    pub received_pong: bool,
    /// Messages are deferred: the caller calls [`InputState::apply_deferred`] until none is left.
    pub has_deferred: bool,
    /// Why the connection closes; its close frame has been appended already.
    pub closed: Option<Closed>,
}

impl InputState<'_> {
    /// Processes bytes from the player. Replies, including a close frame, are appended to `out`.
    pub fn receive(
        &mut self,
        engine: &mut Engine,
        bytes: &[u8],
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> InputOutcome {
        self.receive_traced(engine, bytes, arrival, out, metrics, None)
    }

    /// [`InputState::receive`] with the trace of this player, if an operator watches it.
    pub(super) fn receive_traced(
        &mut self,
        engine: &mut Engine,
        bytes: &[u8],
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
        mut trace: Option<&mut Trace>,
    ) -> InputOutcome {
        let (mut received_frame, mut received_pong) = (false, false);
        let mut input = bytes;
        let limit = engine.rate_limit();
        let close = if self.limiter.check_bytes(limit, arrival, bytes.len()) == Verdict::Flood {
            // The bytes of a flood are not decoded.
            Some(close_for_flood(metrics))
        } else {
            loop {
                if !self.deferred.is_empty() {
                    // Deferred messages are older than the rest of the input.
                    self.apply_deferred(engine, arrival, out, metrics);
                }
                let answered = out.len();
                match self.websocket.next_event(&mut input, out) {
                    Ok(Some(event)) => {
                        received_frame = true;
                        received_pong |= event == Event::Pong;
                        let verdict = match event {
                            Event::Close => Verdict::Accept,
                            _ => self.limiter.check(limit, arrival),
                        };
                        if verdict == Verdict::Drop
                            && let Event::Message(message) = event
                            && Deferred::accepts(message)
                        {
                            if let Some(trace) = &mut trace {
                                trace.record(&event, verdict, 0);
                            }
                            metrics.messages_in_total += 1;
                            metrics.rate_limited_total += u64::from(self.deferred.replace(message));
                            continue;
                        }
                        if event == Event::Ping && verdict != Verdict::Accept {
                            // The framing has already appended the pong: remove it.
                            out.truncate(answered);
                        }
                        let close = engine.handle_event(self.slot, &event, verdict, out, metrics);
                        if let Some(trace) = &mut trace {
                            trace.record(&event, verdict, out.len() - answered);
                        }
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
            self.websocket.close(code, reason, out);
            metrics.frames_out[FrameOut::Close] += 1;
        }
        let has_deferred = close.is_none() && !self.deferred.is_empty();
        InputOutcome { received_frame, received_pong, has_deferred, closed: close.map(|close| close.reason) }
    }

    /// Applies deferred messages as far as the rate limiter allows. Acks are appended to `out`.
    pub fn apply_deferred(
        &mut self,
        engine: &mut Engine,
        arrival: Arrival,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) {
        let limit = engine.rate_limit();
        while !self.deferred.is_empty() && self.limiter.accept_late(limit, arrival) {
            let message = self.deferred.take_first();
            let close = engine.handle_message(self.slot, message, out, metrics);
            debug_assert!(close.is_none(), "LEAVE is never deferred");
        }
    }
}
