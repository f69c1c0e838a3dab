//! Raises the limit of open files.

use std::{env, fs, process};

use super::os;
use crate::server::core::capacity::Capacity;

/// Raises the limit of open files for this number of players, as far as permitted, and returns the capacity. If not all
/// players fit, logs what helps, unless the players are those of several processes that share the port.
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
             to serve all, {}",
            capacity.players,
            remedy(needed, open_files_ceiling(), unit().as_deref())
        );
    }
    capacity
}

/// Says how to raise the limit: in the unit of a service, or else in a shell, where `ulimit -n` cannot exceed the hard limit. Both
/// need a high enough ceiling.
fn remedy(needed: u64, ceiling: Option<u64>, unit: Option<&str>) -> String {
    let ceiling = ceiling.filter(|ceiling| *ceiling < needed);
    let raise = ceiling.map_or_else(String::new, |_| format!("sysctl -w fs.nr_open={needed} && "));
    let (place, change) = match unit {
        Some(unit) => (
            format!("and add LimitNOFILE={needed} below [Service], then reload or restart the service"),
            format!("systemctl edit {unit}"),
        ),
        None => (
            "in the shell that starts the server".to_owned(),
            format!("prlimit --pid $$ --nofile={needed}:{needed}"),
        ),
    };
    format!("run this as root {place}: {raise}{change}")
}

/// Returns the systemd unit that started this process; `None` without one.
fn unit() -> Option<String> {
    let is_main = env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == process::id().to_string());
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    unit_of(is_main, env::var_os("INVOCATION_ID").is_some(), &cgroups)
}

/// `is_main`: systemd started exactly this process. `is_descendant`: it started this one or an ancestor, which may also be a
/// terminal in a scope. The control group has the name of the unit, except in a container.
fn unit_of(is_main: bool, is_descendant: bool, cgroups: &str) -> Option<String> {
    let of_systemd = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    let mut names = cgroups.lines().filter(of_systemd).filter_map(|line| line.rsplit('/').next());
    let service = names.find(|name| name.ends_with(".service"));
    match service {
        Some(service) if is_main || is_descendant => Some(service.to_owned()),
        _ => is_main.then(|| "pixi-game-server.service".to_owned()),
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
    fn the_ceiling_is_raised_only_if_needed() {
        let shell = "run this as root in the shell that starts the server: ";
        let raise = "prlimit --pid $$ --nofile=100:100";
        assert_eq!(remedy(100, Some(100), None), format!("{shell}{raise}"));
        assert_eq!(remedy(100, Some(99), None), format!("{shell}sysctl -w fs.nr_open=100 && {raise}"));
        let unit =
            "run this as root and add LimitNOFILE=100 below [Service], then reload or restart the service: ";
        assert_eq!(remedy(100, None, Some("a.service")), format!("{unit}systemctl edit a.service"));
        let both = format!("{unit}sysctl -w fs.nr_open=100 && systemctl edit a.service");
        assert_eq!(remedy(100, Some(99), Some("a.service")), both);
    }

    #[test]
    fn only_a_process_of_a_service_has_a_unit() {
        let own = "0::/system.slice/system-pixi.slice/pixi-game-server@2.service\n";
        let old = "9:pids:/\n1:name=systemd:/system.slice/game.service\n0::/\n";
        let terminal = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n";
        for (is_main, is_descendant, cgroups, unit) in [
            (true, true, own, Some("pixi-game-server@2.service")),
            // The process that takes over is a child of the reload command.
            (false, true, own, Some("pixi-game-server@2.service")),
            (false, true, old, Some("game.service")),
            (false, false, own, None),
            (false, true, terminal, None),
            (false, true, "", None),
            (true, true, "0::/\n", Some("pixi-game-server.service")),
        ] {
            assert_eq!(unit_of(is_main, is_descendant, cgroups).as_deref(), unit, "{cgroups}");
        }
    }
}
