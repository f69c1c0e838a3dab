//! Raises the limit of open files.

use std::fs;

use super::os;
use crate::server::core::capacity::Capacity;

/// Raises the limit of open files for this number of players, as far as permitted, and returns the capacity. If not all
/// players fit, logs the command that helps, unless the players are those of several processes that share the port.
pub fn raise_for(players_wanted: usize, is_shared: bool) -> Capacity {
    let needed = Capacity::open_files_for(players_wanted);
    let limit = os::raise_open_files(needed).unwrap_or_else(|error| {
        log::warn!("the limit of open files is unknown: {error}");
        needed
    });
    if let Err(error) = os::size_descriptor_table(needed.min(limit)) {
        log::debug!("the table of open files grows on demand: {error}");
    }
    let capacity = Capacity::within(limit, players_wanted);
    if capacity.players < players_wanted && is_shared {
        let players = capacity.players;
        log::info!(
            "the limit of {limit} open files allows {players} players here; MAX_CONNECTIONS={players_wanted} is for all \
             processes of the port"
        );
    } else if capacity.players < players_wanted {
        log::warn!(
            "MAX_CONNECTIONS={players_wanted} needs {needed} open files and the limit is {limit}: serving {}; \
             to serve all, run this as root in the shell that starts the server: {}",
            capacity.players,
            raise_command(needed, open_files_ceiling())
        );
    }
    capacity
}

/// Returns the command that raises a shell's limit. `ulimit -n` cannot exceed the hard limit.
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
    use super::*;

    #[test]
    fn the_command_raises_the_ceiling_only_if_needed() {
        assert_eq!(raise_command(100, Some(100)), "prlimit --pid $$ --nofile=100:100");
        let both = "sysctl -w fs.nr_open=100 && prlimit --pid $$ --nofile=100:100";
        assert_eq!(raise_command(100, Some(99)), both);
    }
}
