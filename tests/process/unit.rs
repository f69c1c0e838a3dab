//! The systemd unit as text: systemd itself understands all of it, and finds it hardened.

use std::process::Command;

use crate::support::debian;
use crate::support::process::output_text;

/// The unit.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pixi-game-server.service");

/// Its text; the sandboxed part of a test may not be allowed to read the file.
const TEXT: &str = include_str!("../../deploy/pixi-game-server.service");

/// Highest exposure, of 10, that systemd's own analysis may find; it calls up to 2 "OK".
const EXPOSURE_MAX: f64 = 2.0;

/// All values that a key is given, in order.
pub fn values(key: &str) -> Vec<String> {
    let lines = TEXT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

fn analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(debian::program("systemd-analyze"))
        .args(arguments)
        .output()
        .expect("systemd-analyze runs");
    (output.status.success(), output_text(&output))
}

/// What a group of system calls stands for, groups within it included.
pub fn group(name: &str) -> Vec<String> {
    let (known, text) = analyze(&["syscall-filter", name]);
    assert!(known, "{name}: {text}");
    let members =
        text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    members
        .flat_map(|member| if member.starts_with('@') { group(member) } else { vec![member.to_owned()] })
        .collect()
}

#[test]
fn systemd_understands_every_line() {
    let (_, text) = analyze(&["verify", "--man=no", PATH]);
    // The program is not installed where tests run; nothing else may be found.
    let complaints: Vec<&str> =
        text.lines().filter(|line| !line.contains("/usr/local/bin/pixi-game-server")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn systemd_finds_it_hardened() {
    let (_, text) = analyze(&["security", "--offline=true", "--no-pager", PATH]);
    let line = text.lines().find(|line| line.contains("Overall exposure level")).unwrap_or(&text);
    let exposure = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    assert!(exposure.is_some_and(|exposure| exposure <= EXPOSURE_MAX), "{line}");
}

#[test]
fn its_pillars_stand() {
    for (key, value) in [
        ("User", "pixi-game-server"),
        ("NoNewPrivileges", "yes"),
        ("PrivateTmp", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("Restart", "on-failure"),
    ] {
        assert_eq!(values(key), [value], "{key}");
    }
    // Without /proc/sys the server could not warn of the kernel's settings.
    assert_eq!((values("ProtectProc"), values("ProcSubset")), (vec!["invisible".to_owned()], vec![]));
    assert!(!values("MemoryMax").is_empty() && !values("LimitNOFILE").is_empty());
}
