//! Kernel settings that would refuse players: the server logs them with the command that fixes them.

use std::fs;
use std::path::Path;

use crate::process::unit;
use crate::support::process::unshared;
use crate::support::wait::wait_until;
use crate::support::{Settings, folder};

/// The log of a server in a network namespace with this accept queue, and `/proc` as in the systemd unit.
fn log_with_queue(length: u32, max_connections: u32, file: &Path) -> String {
    // The mount options follow the unit: visible processes, and whether kernel settings are readable.
    let subset =
        unit::values("ProcSubset").iter().fold(String::new(), |so_far, subset| so_far + ",subset=" + subset);
    let options = format!("hidepid={}{subset}", unit::values("ProtectProc").concat());
    let script = format!(
        "echo {length} > /proc/sys/net/core/somaxconn && mount -t proc -o {options} proc /proc && exec \"$@\""
    );
    let settings = Settings::new().set("MAX_CONNECTIONS", max_connections);
    let settings = settings.set("LOG_FILE", file.to_str().expect("a path of text"));
    let _server = settings.start_without_log(&unshared("-mn", &script));
    let log = || fs::read_to_string(file).unwrap_or_default();
    wait_until("the server to be ready", || log().contains("listening on"));
    log()
}

#[test]
fn a_short_accept_queue_is_logged_with_its_fix() {
    let folder = folder("queue");
    let log = log_with_queue(128, 5_000, &folder.join("short.log"));
    let line = log.lines().find(|line| line.contains("somaxconn")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("[WARN] net.core.somaxconn is 128 and should be 4096 for 5000 players ("),
        "{line}"
    );
    assert!(line.ends_with("); to change it, run as root: sysctl -w net.core.somaxconn=4096"), "{line}");
    // A queue that is long enough for MAX_CONNECTIONS is not mentioned.
    for (length, players) in [(128, 200), (4_096, 5_000)] {
        let log = log_with_queue(length, players, &folder.join(format!("{length}.{players}.log")));
        assert!(!log.contains("somaxconn") && !log.contains("[WARN]"), "{log}");
    }
}
