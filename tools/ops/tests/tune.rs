//! `tune` as operators start it, in its own network namespace.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output};

use crate::{PROGRAM, stdout};

/// Runs a shell script in new namespaces of these kinds, with a critically short accept queue. `$0` is the program.
fn in_namespaces(kinds: &[&str], script: &str) -> Output {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let root: &[&str] = if is_root { &[] } else { &["--map-root-user"] };
    let script = format!("echo 128 > /proc/sys/net/core/somaxconn\n{script}");
    let mut command = Command::new("unshare");
    command.args(kinds).args(root).args(["sh", "-c", &script, PROGRAM]).output().expect("unshare runs")
}

fn in_namespace(script: &str) -> Output {
    in_namespaces(&["--net"], script)
}

#[test]
fn a_critical_setting_is_marked_and_its_command_is_shown() {
    let output = in_namespace("\"$0\" tune --players 5000");
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("BAD  net.core.somaxconn ")), "{shown}");
    assert!(shown.contains("\n  sysctl -w net.core.somaxconn=4096\n"), "{shown}");
    let few = stdout(&in_namespace("\"$0\" tune --players 100"));
    assert!(few.lines().any(|line| line.starts_with("ok   net.core.somaxconn ")), "{few}");
}

#[test]
fn applied_settings_take_effect() {
    let output = in_namespace(
        "\"$0\" tune --players 3000 --apply; echo \"status $?\"; cat /proc/sys/net/core/somaxconn; \"$0\" tune --players 3000",
    );
    let shown = stdout(&output);
    assert!(shown.contains("net.core.somaxconn: 128 -> 3000\n"), "{shown}");
    assert!(shown.contains("\n3000\n"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("ok   net.core.somaxconn ")), "{shown}");
}

#[test]
fn sysctl_loads_the_printed_file() {
    let script = "\"$0\" tune --players 3000 --print-sysctl | grep -E '^#|somaxconn|syn_backlog' > \"$FILE\"
        PATH=$PATH:/usr/sbin:/sbin sysctl --load=\"$FILE\" && cat /proc/sys/net/core/somaxconn";
    let file = format!("{}/printed.conf", env!("CARGO_TARGET_TMPDIR"));
    let output = in_namespace(&script.replace("$FILE", &file));
    let shown = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(shown.ends_with("\n3000\n"), "{shown}");
    assert!(
        fs::read_to_string(&file).expect("the file").starts_with("# pixi-game-server for 3000 players\n")
    );
}

#[test]
fn a_refused_change_is_reported_with_the_command() {
    let readonly = "mount -o remount,ro,bind /proc/sys 2>/dev/null || mount --bind -o ro /proc/sys /proc/sys";
    let script = format!(
        "mount --bind /proc/sys /proc/sys && {{ {readonly}; }}
         \"$0\" tune --players 3000 --apply"
    );
    let output = in_namespaces(&["--net", "--mount"], &script);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let refused = "net.core.somaxconn: still 128; as root run: sysctl -w net.core.somaxconn=3000 (";
    assert!(shown.contains(refused), "{output:?}");
}
