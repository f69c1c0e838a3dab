//! Computes the flush settings with which the floor matches the game server's writes and bytes.
//!
//! Both write one ack per MOVE. All other writes of the game server count as flushes. Deltas that piggyback on acks
//! leave fewer flushes; the bytes of these deltas then belong to the floor's flushes.

use serde_json::Value as Json;

use super::figures::{BYTES, CLIENTS, MOVES, WRITES};
use crate::figures::number;

/// Size of an ack with its frame header, in bytes.
const ACK_BYTES: f64 = 15.0;

/// Size of the frames in the floor's flushes, in bytes.
const FRAME_BYTES: f64 = 9.0;

/// Longest flush that the floor accepts, in bytes, rounded down to whole frames.
const FLUSH_BYTES_MAX: f64 = 65_529.0;

/// Shortest and longest flush interval that the floor accepts, in milliseconds.
const INTERVAL_MS: (f64, f64) = (1.0, 60_000.0);

/// The floor's flush settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flushes {
    /// Bytes of a flush; 0 for no flushes.
    pub bytes: u32,
    /// Flush interval per client, in milliseconds.
    pub interval_ms: f64,
}

impl Flushes {
    /// Returns flushes that match the writes and bytes of a run, or `None` if the results lack them.
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

    /// Returns the floor's flags.
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
    fn flushes_cover_the_writes_and_bytes_beyond_acks() {
        // A thousand clients with 10 acks and 8 flushes a second each. 150 of 870 bytes are acks.
        let flushes = Flushes::matching(&load(10_000.0, 18_000.0, 870.0)).unwrap();
        assert_eq!(flushes, Flushes { bytes: 90, interval_ms: 125.0 });
        assert_eq!(flushes.flags(), "--flush-bytes 90 --flush-interval-ms 125.00");
    }

    #[test]
    fn unsupported_flushes_are_clamped() {
        let none = Some(Flushes { bytes: 0, interval_ms: 60_000.0 });
        assert_eq!(Flushes::matching(&load(10_000.0, 10_000.0, 200.0)), none);
        assert_eq!(Flushes::matching(&load(10_000.0, 9_000.0, 200.0)), none);
        let often = Flushes::matching(&load(0.0, 5e6, 10.0)).unwrap();
        assert_eq!(often, Flushes { bytes: 9, interval_ms: 1.0 });
    }

    #[test]
    fn a_run_without_measurements_has_no_match() {
        assert_eq!(Flushes::matching(&json!({ "traffic": { "clients": 0 } })), None);
        assert_eq!(Flushes::matching(&json!({ "traffic": { "clients": 5, "moves_per_s": 1.0 } })), None);
    }
}
