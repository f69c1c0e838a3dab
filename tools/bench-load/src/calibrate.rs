//! The floor's flushes, chosen so that it writes as often and as much as the game server did.
//!
//! Both answer each MOVE with a write of its own, and everything else the game server writes is flushes; where its
//! changes ride along with an ack, there are fewer flushes and the floor's carry their bytes.

use serde_json::Value as Json;

use crate::figures::{BYTES, CLIENTS, MOVES, WRITES, number};

/// Bytes of an ack with its frame.
const ACK_BYTES: f64 = 15.0;

/// The floor's flushes consist of frames of so many bytes.
const FRAME_BYTES: f64 = 9.0;

/// Most bytes of a flush that the floor takes, in whole frames.
const FLUSH_BYTES_MAX: f64 = 65_529.0;

/// Shortest and longest time between two flushes that the floor takes, in milliseconds.
const INTERVAL_MS: (f64, f64) = (1.0, 60_000.0);

/// What the floor is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flushes {
    /// Bytes of each; 0 for no flushes.
    pub bytes: u32,
    /// Time between two to one client, in milliseconds.
    pub interval_ms: f64,
}

impl Flushes {
    /// Flushes that make the writes and bytes of this run; none where the load test tells neither.
    pub fn matching(load: &Json) -> Option<Flushes> {
        let clients = number(load, CLIENTS).filter(|clients| *clients > 0.0)?;
        let moves_per_s = number(load, MOVES)?;
        let flushes_per_s = number(load, WRITES)? - moves_per_s;
        let flushed_bytes_per_s = number(load, BYTES)? * clients - ACK_BYTES * moves_per_s;
        let interval_ms = clients / flushes_per_s * 1e3;
        if flushes_per_s <= 0.0 || interval_ms > INTERVAL_MS.1 {
            return Some(Flushes { bytes: 0, interval_ms: INTERVAL_MS.1 });
        }
        let frames = (flushed_bytes_per_s / flushes_per_s / FRAME_BYTES).round().max(1.0);
        Some(Flushes {
            bytes: (frames * FRAME_BYTES).min(FLUSH_BYTES_MAX) as u32,
            interval_ms: interval_ms.max(INTERVAL_MS.0),
        })
    }

    /// The floor's flags.
    pub fn flags(&self) -> String {
        format!("--flush-bytes {} --flush-interval-ms {:.2}", self.bytes, self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(moves_per_s: f64, writes_per_s: f64, bytes_in: f64) -> Json {
        json!({
            "traffic": { "clients": 1000, "moves_per_s": moves_per_s, "per_client_s": { "bytes_in": bytes_in } },
            "server": { "metrics": { "socket_writes_per_s": writes_per_s } },
        })
    }

    #[test]
    fn flushes_make_up_for_the_writes_and_bytes_that_acks_leave() {
        // A thousand clients with 10 acks and 8 flushes a second each; 150 of 870 bytes are acks.
        let flushes = Flushes::matching(&load(10_000.0, 18_000.0, 870.0)).unwrap();
        assert_eq!(flushes, Flushes { bytes: 90, interval_ms: 125.0 });
        assert_eq!(flushes.flags(), "--flush-bytes 90 --flush-interval-ms 125.00");
    }

    #[test]
    fn what_the_floor_does_not_take_becomes_the_nearest_it_does() {
        let none = Some(Flushes { bytes: 0, interval_ms: 60_000.0 });
        assert_eq!(Flushes::matching(&load(10_000.0, 10_000.0, 200.0)), none);
        assert_eq!(Flushes::matching(&load(10_000.0, 9_000.0, 200.0)), none);
        let often = Flushes::matching(&load(0.0, 5e6, 10.0)).unwrap();
        assert_eq!(often, Flushes { bytes: 9, interval_ms: 1.0 });
    }

    #[test]
    fn a_run_that_measured_nothing_has_no_match() {
        assert_eq!(Flushes::matching(&json!({ "traffic": { "clients": 0 } })), None);
        assert_eq!(Flushes::matching(&json!({ "traffic": { "clients": 5, "moves_per_s": 1.0 } })), None);
    }
}
