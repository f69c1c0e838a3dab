//! What each player has done, for operators.

use serde::{Deserialize, Serialize};

use crate::ops::metrics::{FrameOut, Metrics, ProtocolViolation};

/// What a player has done since it joined.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// Time of the join, in milliseconds of the loop's clock.
    pub joined_ms: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// MOVEs acknowledged.
    pub acks: u64,
    /// MOVEs whose claimed position was not accepted.
    pub corrections: u64,
    /// Messages and pings over the rate limit, dropped.
    pub rate_limited: u64,
    /// Messages that were not valid.
    pub protocol_errors: u64,
    /// Duration of the last answered ping, in milliseconds.
    pub round_trip_ms: Option<u32>,
}

impl History {
    /// Adds what one player's input has added to the counters of all.
    pub fn add(&mut self, before: &Counted, after: &Counted) {
        self.acks += after.acks - before.acks;
        self.corrections += after.corrections - before.corrections;
        self.rate_limited += after.rate_limited - before.rate_limited;
        self.protocol_errors += after.protocol_errors - before.protocol_errors;
    }
}

/// The protocol errors that close no connection.
const INVALID_MESSAGES: [ProtocolViolation; 3] =
    [ProtocolViolation::MessageLength, ProtocolViolation::MessageType, ProtocolViolation::MessageValue];

/// The counters of all players that [`History`] splits by player.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    acks: u64,
    corrections: u64,
    rate_limited: u64,
    protocol_errors: u64,
}

impl Counted {
    /// Reads the counters.
    pub fn of(metrics: &Metrics) -> Self {
        Self {
            acks: metrics.frames_out[FrameOut::Ack],
            corrections: metrics.corrections_total,
            rate_limited: metrics.rate_limited_total,
            protocol_errors: INVALID_MESSAGES.iter().map(|&kind| metrics.protocol_errors[kind]).sum(),
        }
    }
}
