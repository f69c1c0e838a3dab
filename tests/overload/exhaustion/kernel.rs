//! Settings of the kernel that would keep players out: the server says so when it starts, with the command that helps.

use std::fs;
use std::path::Path;

use crate::process::unit;
use crate::support::process::unshared;
use crate::support::wait::wait_until;
use crate::support::{Settings, folder};

/// What a server says at its start, in a network namespace of its own with a queue this long, with the view of `/proc` that
/// the systemd unit gives it.
fn said_with_queue(length: u32, max_connections: u32, file: &Path) -> String {
    // The processes that the unit leaves visible, and the kernel's settings if it leaves those.
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
fn a_queue_that_would_keep_players_out_is_named_with_what_helps() {
    let folder = folder("queue");
    let said = said_with_queue(128, 5_000, &folder.join("short.log"));
    let line = said.lines().find(|line| line.contains("somaxconn")).unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("[WARN] net.core.somaxconn is 128 and should be 4096 for 5000 players ("),
        "{line}"
    );
    assert!(line.ends_with("); to change it, run as root: sysctl -w net.core.somaxconn=4096"), "{line}");
    // It is nobody's business as long as it is long enough for those who may come.
    for (length, players) in [(128, 200), (4_096, 5_000)] {
        let said = said_with_queue(length, players, &folder.join(format!("{length}.{players}.log")));
        assert!(!said.contains("somaxconn") && !said.contains("[WARN]"), "{said}");
    }
}
