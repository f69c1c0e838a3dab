//! The trace of one player: its messages as they arrive, for an operator who debugs a client.
//!
//! Invariant: at most [`TRACE_LINES_MAX`] lines wait; further ones are counted.

use serde_json::{Value as Json, json};

use super::table::Token;
use crate::admission::rate::Verdict;
use crate::wire::websocket::Event;

/// Lines that wait for the operator.
const TRACE_LINES_MAX: usize = 500;

/// A trace in progress.
#[derive(Debug)]
pub(super) struct Trace {
    /// The player's connection.
    pub token: Token,
    /// Time of the read in progress, in milliseconds of the uptime.
    pub now_ms: u64,
    lines: Vec<Json>,
    omitted: u64,
}

impl Trace {
    pub fn new(token: Token) -> Self {
        Self { token, now_ms: 0, lines: Vec::new(), omitted: 0 }
    }

    /// Records an event, what the rate limit says, and the bytes of the reply.
    pub fn record(&mut self, event: &Event, verdict: Verdict, reply_bytes: usize) {
        if self.lines.len() >= TRACE_LINES_MAX {
            self.omitted += 1;
            return;
        }
        self.lines.push(json!({
            "at_ms": self.now_ms,
            "event": format!("{event:?}"),
            "verdict": format!("{verdict:?}").to_ascii_lowercase(),
            "reply_bytes": reply_bytes,
        }));
    }

    /// Takes the lines that wait, and the number of those omitted behind them.
    pub fn take(&mut self) -> Vec<Json> {
        let mut lines = std::mem::take(&mut self.lines);
        let omitted = std::mem::take(&mut self.omitted);
        if omitted > 0 {
            lines.push(json!({ "omitted": omitted }));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let mut trace = Trace::new(Token(1));
        for _ in 0..TRACE_LINES_MAX + 3 {
            trace.record(&Event::Ping, Verdict::Accept, 2);
        }
        let lines = trace.take();
        assert_eq!(lines.len(), TRACE_LINES_MAX + 1);
        assert_eq!(lines[0], json!({ "at_ms": 0, "event": "Ping", "verdict": "accept", "reply_bytes": 2 }));
        assert_eq!(lines[TRACE_LINES_MAX], json!({ "omitted": 3 }));
        assert!(trace.take().is_empty());
    }
}
