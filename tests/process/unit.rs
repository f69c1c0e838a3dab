//! The systemd unit as text: systemd accepts every line and rates it as hardened.

use std::path::Path;
use std::process::Command;

use crate::support::debian;
use crate::support::process::output_text;

pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pixi-game-server.service");

/// Text of the unit. It is included because a sandboxed test process may not read the file.
const TEXT: &str = include_str!("../../deploy/pixi-game-server.service");

/// Highest allowed exposure level of systemd's analysis, out of 10; levels up to 2 are "OK".
pub const EXPOSURE_MAX: f64 = 2.0;

/// All values of a key, in order.
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

/// The system calls of a group, including nested groups.
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
fn systemd_accepts_every_line() {
    let (_, text) = analyze(&["verify", "--man=no", PATH]);
    // The program is not installed on the test machine; this is the only accepted warning.
    let complaints: Vec<&str> =
        text.lines().filter(|line| !line.contains("/usr/local/bin/pixi-game-server")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Exposure level of a unit by systemd's analysis.
pub fn exposure(unit: &Path) -> f64 {
    let path = unit.to_str().expect("UTF-8");
    let (_, text) = analyze(&["security", "--offline=true", "--no-pager", path]);
    let line = text.lines().find(|line| line.contains("Overall exposure level"));
    let level = line.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok()));
    level.unwrap_or_else(|| panic!("no level: {text}"))
}

#[test]
fn systemd_rates_the_unit_as_hardened() {
    assert!(exposure(Path::new(PATH)) <= EXPOSURE_MAX);
}

#[test]
fn the_unit_has_its_key_settings() {
    for (key, value) in [
        ("User", "pixi-game-server"),
        ("NoNewPrivileges", "yes"),
        ("PrivateTmp", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("Restart", "on-failure"),
        ("Type", "notify"),
        ("NotifyAccess", "all"),
        ("RuntimeDirectory", "pixi-game-server"),
    ] {
        assert_eq!(values(key), [value], "{key}");
    }
    // The server reads /proc/sys to warn about kernel settings.
    assert_eq!((values("ProtectProc"), values("ProcSubset")), (vec!["invisible".to_owned()], vec![]));
    assert!(!values("MemoryMax").is_empty() && !values("LimitNOFILE").is_empty());
}
