//! The number of connections that the limit of open files allows, divided between players and HTTP.

use crate::limits::{ADMIN_CONNECTIONS_MAX, DESCRIPTORS_OVERHEAD, HTTP_CONNECTIONS_MAX, HTTP_RESERVED_MAX};

/// Descriptors that are not for players or public HTTP connections.
const OTHER_DESCRIPTORS: u64 = DESCRIPTORS_OVERHEAD + ADMIN_CONNECTIONS_MAX as u64;

/// Maximum number of connections of each kind, at least 1. While the limit of open files is unchanged,
/// connections above these numbers are refused with a response and never stall for lack of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Players.
    pub players: usize,
    /// Connections to the public listener that are not players: plain HTTP and pending handshakes.
    pub http: usize,
}

impl Capacity {
    /// Returns the maximum number of HTTP connections, without those reserved for monitoring.
    pub fn regular_http(&self) -> usize {
        self.http - self.monitoring()
    }

    /// Returns the number of connections reserved for requests to `/health` and `/metrics`.
    pub fn monitoring(&self) -> usize {
        HTTP_RESERVED_MAX.min(self.http / 4)
    }

    /// Divides `limit` descriptors. HTTP gets the remainder after the players, but at least a quarter: a full
    /// server must still be able to refuse connections with a response.
    pub fn within(limit: u64, players_wanted: usize) -> Self {
        let room = limit.saturating_sub(OTHER_DESCRIPTORS) as usize;
        let http = room.saturating_sub(players_wanted).max(room / 4).clamp(1, HTTP_CONNECTIONS_MAX);
        Self { players: players_wanted.min(room.saturating_sub(http)).max(1), http }
    }

    /// Returns the limit of open files that fits this number of players.
    pub fn open_files_for(players: usize) -> u64 {
        players as u64 + HTTP_CONNECTIONS_MAX as u64 + OTHER_DESCRIPTORS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_needed_limit_fits_all_players() {
        let needed = Capacity::open_files_for(12_000);
        let all = Capacity { players: 12_000, http: HTTP_CONNECTIONS_MAX };
        assert_eq!(Capacity::within(needed, 12_000), all);
        assert_eq!(Capacity::within(u64::MAX / 2, 12_000), all);
        assert_eq!(Capacity::within(needed - 1, 12_000), Capacity { players: 11_999, ..all });
    }

    #[test]
    fn small_limits_leave_http_a_quarter() {
        let room = 1024 - OTHER_DESCRIPTORS as usize;
        assert_eq!(Capacity::within(1024, 12_000), Capacity { players: room - room / 4, http: room / 4 });
        assert_eq!(Capacity::within(0, 12_000), Capacity { players: 1, http: 1 });
    }

    proptest! {
        #[test]
        fn capacity_never_exceeds_the_limit_or_the_demand(limit in 0u64..30_000, wanted in 1usize..20_000) {
            let Capacity { players, http } = Capacity::within(limit, wanted);
            prop_assert!((1..=wanted).contains(&players) && (1..=HTTP_CONNECTIONS_MAX).contains(&http));
            prop_assert!((players + http) as u64 <= limit.saturating_sub(OTHER_DESCRIPTORS).max(2));
            let more = Capacity::within(limit + 1, wanted);
            prop_assert!(more.players >= players, "more descriptors must not mean fewer players");
        }
    }
}
