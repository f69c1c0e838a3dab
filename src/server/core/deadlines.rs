//! The deadlines of a connection: what its age, its silence and its peer's pace require. The sweep asks once a second.

use super::connection::{Connection, Phase};
use crate::config::Config;
use crate::limits::{CLOSE_TIMEOUT_MS, HTTP_SLACK_BYTES};
use crate::ops::metrics::Truncation;

/// The action that a connection's deadlines require.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// None.
    Nothing,
    /// The player is pinged.
    Ping,
    /// Nothing was received from the player for too long: it is closed with a close frame.
    CloseIdle,
    /// The player has taken none of its bytes for too long.
    DropStalled,
    /// The request head is incomplete for too long.
    DropHandshake,
    /// The peer reads a response too slowly.
    Truncated(Truncation),
    /// An idle or closing connection.
    Drop,
}

/// The configured timeouts, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    write_stall_ms: u64,
    keepalive_ms: u64,
    idle_ms: u64,
    ping_ms: u64,
    /// Lowest rate at which a peer may read a response, in bytes a second.
    http_min_rate: u32,
}

impl Deadlines {
    pub fn new(config: &Config) -> Self {
        let ms = |seconds: u32| u64::from(seconds) * 1000;
        Self {
            write_stall_ms: ms(config.write_stall_s),
            keepalive_ms: ms(config.keepalive_timeout_s),
            idle_ms: ms(config.idle_timeout_s),
            ping_ms: ms(config.ping_interval_s),
            http_min_rate: config.http_min_rate,
        }
    }

    /// Returns what a connection requires now. A handshake `is_pending` while its session has a deadline of its own.
    pub fn check<S>(&self, connection: &mut Connection<S>, is_pending: bool, now_ms: u64) -> Overdue {
        let stalled_ms = connection.outbox.stalled_since_ms().map_or(0, |since_ms| now_ms - since_ms);
        let is_stalled = stalled_ms >= self.write_stall_ms;
        match &connection.phase {
            Phase::Http(_) | Phase::Closing { was_player: false, .. } if !connection.outbox.is_empty() => {
                if is_stalled {
                    Overdue::Truncated(Truncation::Stalled)
                } else if connection.outbox.deficit_bytes(self.http_min_rate, now_ms) > HTTP_SLACK_BYTES {
                    Overdue::Truncated(Truncation::Slow)
                } else {
                    Overdue::Nothing
                }
            }
            // A queued connection may hold the next request.
            Phase::Http(_) if is_pending || connection.is_queued => Overdue::Nothing,
            Phase::Http(http) if !http.is_late(now_ms, self.keepalive_ms) => Overdue::Nothing,
            Phase::Http(http) if http.is_between_requests() => Overdue::Drop,
            Phase::Http(_) => Overdue::DropHandshake,
            Phase::Closing { deadline_ms, .. } if connection.outbox.is_empty() && now_ms >= *deadline_ms => {
                Overdue::Drop
            }
            Phase::Closing { .. } if stalled_ms >= CLOSE_TIMEOUT_MS => Overdue::Drop,
            Phase::Player { .. } if is_stalled => Overdue::DropStalled,
            Phase::Player { player, .. } if now_ms - player.last_frame_ms >= self.idle_ms => {
                Overdue::CloseIdle
            }
            Phase::Player { player, .. } if now_ms - player.last_ping_ms >= self.ping_ms => Overdue::Ping,
            Phase::Player { .. } | Phase::Closing { .. } | Phase::Dead => Overdue::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::limits::HTTP_TIMEOUT_MS;

    fn check(connection: &mut Connection<Cursor<Vec<u8>>>, now_ms: u64) -> Overdue {
        Deadlines::new(&Config::default()).check(connection, false, now_ms)
    }

    #[test]
    fn a_head_must_be_complete_in_time_unless_its_handshake_is_pending() {
        let mut connection = Connection::new(Cursor::new(Vec::new()), 0, HTTP_TIMEOUT_MS);
        assert_eq!(check(&mut connection, HTTP_TIMEOUT_MS - 1), Overdue::Nothing);
        assert_eq!(check(&mut connection, HTTP_TIMEOUT_MS), Overdue::DropHandshake);
        let deadlines = Deadlines::new(&Config::default());
        assert_eq!(deadlines.check(&mut connection, true, HTTP_TIMEOUT_MS), Overdue::Nothing);
        connection.is_queued = true;
        assert_eq!(check(&mut connection, HTTP_TIMEOUT_MS), Overdue::Nothing);
    }

    #[test]
    fn a_response_must_be_read_at_the_minimum_rate() {
        let config = Config::default();
        let mut connection = Connection::new(Cursor::new(Vec::new()), 0, HTTP_TIMEOUT_MS);
        connection.outbox.bytes().extend_from_slice(&[0; 1_000]);
        connection.outbox.note_stall(0);
        assert_eq!(check(&mut connection, 1_000), Overdue::Nothing);
        let stall_ms = u64::from(config.write_stall_s) * 1000;
        assert_eq!(check(&mut connection, stall_ms), Overdue::Truncated(Truncation::Stalled));
        connection.outbox.advance(1);
        let slow_ms = HTTP_SLACK_BYTES * 1000 / u64::from(config.http_min_rate) + 2_000;
        assert_eq!(check(&mut connection, slow_ms), Overdue::Truncated(Truncation::Slow));
    }

    #[test]
    fn a_closing_connection_is_dropped_at_its_deadline() {
        let mut connection = Connection::new(Cursor::new(Vec::new()), 0, 0);
        connection.phase =
            Phase::Closing { half_closed: true, was_player: true, deadline_ms: CLOSE_TIMEOUT_MS };
        assert_eq!(check(&mut connection, CLOSE_TIMEOUT_MS - 1), Overdue::Nothing);
        assert_eq!(check(&mut connection, CLOSE_TIMEOUT_MS), Overdue::Drop);
        connection.phase = Phase::Dead;
        assert_eq!(check(&mut connection, CLOSE_TIMEOUT_MS), Overdue::Nothing);
    }
}
