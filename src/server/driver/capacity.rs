//! The number of connections that the limit of open files allows: raises the limit as far as possible and
//! divides it between players and HTTP.

use std::fs;

use super::os;
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

    /// Raises the limit of open files for this number of players, as far as permitted, and returns the
    /// capacity. If not all players fit, logs the command that helps.
    pub fn raise_for(players_wanted: usize) -> Self {
        let needed = players_wanted as u64 + HTTP_CONNECTIONS_MAX as u64 + OTHER_DESCRIPTORS;
        let limit = os::raise_open_files(needed).unwrap_or_else(|error| {
            log::warn!("the limit of open files is unknown: {error}");
            needed
        });
        let capacity = Self::within(limit, players_wanted);
        if capacity.players < players_wanted {
            log::warn!(
                "MAX_CONNECTIONS={players_wanted} needs {needed} open files and the limit is {limit}: serving {}; \
                 to serve all, run this as root in the shell that starts the server: {}",
                capacity.players,
                raise_command(needed, open_files_ceiling())
            );
        }
        capacity
    }
}

/// Returns the command that raises the limit of a shell and of the programs it starts. `ulimit -n` cannot
/// exceed the hard limit.
fn raise_command(needed: u64, ceiling: Option<u64>) -> String {
    let raise = format!("prlimit --pid $$ --nofile={needed}:{needed}");
    match ceiling {
        Some(ceiling) if ceiling < needed => format!("sysctl -w fs.nr_open={needed} && {raise}"),
        _ => raise,
    }
}

/// Returns the kernel's ceiling for the limit of each process (`fs.nr_open`).
fn open_files_ceiling() -> Option<u64> {
    fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_needed_limit_fits_all_players() {
        let needed = 12_000 + HTTP_CONNECTIONS_MAX as u64 + OTHER_DESCRIPTORS;
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

    #[test]
    fn the_command_raises_the_ceiling_only_if_needed() {
        assert_eq!(raise_command(100, Some(100)), "prlimit --pid $$ --nofile=100:100");
        let both = "sysctl -w fs.nr_open=100 && prlimit --pid $$ --nofile=100:100";
        assert_eq!(raise_command(100, Some(99)), both);
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
