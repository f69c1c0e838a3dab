//! Raises the limit of open files.

use std::{env, fs, process};

use super::os;
use crate::server::core::capacity::Capacity;

/// Raises the limit of open files for this number of players, as far as permitted, and returns the capacity. If not all
/// players fit, logs what helps: as a warning, unless the players are those of several processes that share the port.
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
    if capacity.players < players_wanted {
        let (players, remedy) = (capacity.players, remedy(needed, open_files_ceiling(), unit().as_ref()));
        if is_shared {
            log::info!(
                "the limit of {limit} open files allows {players} players here; MAX_CONNECTIONS={players_wanted} is for \
                 all processes of the port; to serve all here, {remedy}"
            );
        } else {
            log::warn!(
                "MAX_CONNECTIONS={players_wanted} needs {needed} open files and the limit is {limit}: serving {players}; \
                 to serve all, {remedy}"
            );
        }
    }
    capacity
}

/// A systemd unit.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    name: String,
    /// A user's service manager runs it, and not the system's.
    is_of_user: bool,
}

/// Says how to raise the limit: in the unit of a service, or else in a shell, where `ulimit -n` cannot exceed the hard limit. Both
/// need a high enough ceiling.
fn remedy(needed: u64, ceiling: Option<u64>, unit: Option<&Unit>) -> String {
    let ceiling = ceiling.filter(|ceiling| *ceiling < needed);
    let raise = ceiling.map_or_else(String::new, |_| format!("sysctl -w fs.nr_open={needed} && "));
    let add = format!("and add LimitNOFILE={needed} below [Service], then reload or restart the service");
    match unit {
        Some(Unit { name, is_of_user: true }) => {
            let raise = if raise.is_empty() { raise } else { format!("sudo {raise}") };
            format!("run this {add}: {raise}systemctl --user edit {name}")
        }
        Some(Unit { name, is_of_user: false }) => {
            format!("run this as root {add}: {raise}systemctl edit {name}")
        }
        None => format!(
            "run this as root in the shell that starts the server: {raise}prlimit --pid $$ --nofile={needed}:{needed}"
        ),
    }
}

/// Returns the systemd unit that started this process; `None` without one.
fn unit() -> Option<Unit> {
    let is_main = env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == process::id().to_string());
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    unit_of(is_main, env::var_os("INVOCATION_ID").is_some(), &cgroups)
}

/// `is_main`: systemd started exactly this process. `is_descendant`: it started this one or an ancestor, which may also be a
/// terminal in a scope. The control group has the name of the unit, except in a container.
fn unit_of(is_main: bool, is_descendant: bool, cgroups: &str) -> Option<Unit> {
    let of_systemd = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    let mut paths = cgroups.lines().filter(of_systemd).filter_map(|line| line.rsplit_once('/'));
    match paths.find(|(_, name)| name.ends_with(".service")) {
        Some((above, name)) if is_main || is_descendant => {
            Some(Unit { name: name.to_owned(), is_of_user: above.contains("/user@") })
        }
        _ => is_main.then(|| Unit { name: "pixi-game-server.service".to_owned(), is_of_user: false }),
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
        let named = |is_of_user| Unit { name: "a.service".to_owned(), is_of_user };
        assert_eq!(remedy(100, None, Some(&named(false))), format!("{unit}systemctl edit a.service"));
        let both = format!("{unit}sysctl -w fs.nr_open=100 && systemctl edit a.service");
        assert_eq!(remedy(100, Some(99), Some(&named(false))), both);
        let user =
            unit.replace(" as root", "") + "sudo sysctl -w fs.nr_open=100 && systemctl --user edit a.service";
        assert_eq!(remedy(100, Some(99), Some(&named(true))), user);
    }

    #[test]
    fn only_a_process_of_a_service_has_a_unit() {
        let own = "0::/system.slice/system-pixi.slice/pixi-game-server@2.service\n";
        let old = "9:pids:/\n1:name=systemd:/system.slice/game.service\n0::/\n";
        let terminal = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n";
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/game.service\n";
        for (is_main, is_descendant, cgroups, unit) in [
            (true, true, own, Some("pixi-game-server@2.service")),
            // The process that takes over is a child of the reload command.
            (false, true, own, Some("pixi-game-server@2.service")),
            (false, true, old, Some("game.service")),
            (false, false, own, None),
            (true, true, user, Some("game.service")),
            (false, true, terminal, None),
            (false, true, "", None),
            (true, true, "0::/\n", Some("pixi-game-server.service")),
        ] {
            let found = unit_of(is_main, is_descendant, cgroups);
            let expected =
                unit.map(|name| Unit { name: name.to_owned(), is_of_user: cgroups.contains("user.slice") });
            assert_eq!(found, expected, "{cgroups}");
        }
    }
}
