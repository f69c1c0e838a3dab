//! File modes of the installed settings, and folders with unusual names.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install::make;
use crate::support::debian::{is_root, program};
use crate::support::folder;
use crate::support::process::{stderr_text, stdout_text, succeed, unshared, write_script};
use crate::support::server::PROGRAM;

const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/install.sh");
const POSTINST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/deb/postinst");

/// Group of the service in tests. Without privileges there is only one group.
fn service_group() -> u32 {
    if is_root() { 4_711 } else { 0 }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

/// Writes a group file that contains the service's group, in place of `/etc/group`.
fn groups(folder: &Path) -> PathBuf {
    let file = folder.join("group");
    fs::write(&file, format!("root:x:0:\npixi-game-server:x:{}:\n", service_group())).expect("a file");
    file
}

/// Installs below this folder, on a system whose group file may contain the service's group.
fn install(root: &Path, groups: Option<&Path>) -> String {
    let mount =
        groups.map_or(String::new(), |file| format!("mount --bind '{}' /etc/group && ", file.display()));
    let script = format!("{mount}exec \"$@\"");
    let words = unshared("--mount", &script);
    let programs = Path::new(PROGRAM).parent().and_then(Path::parent).expect("a folder of programs");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args([INSTALL, "install"]).env("INSTALL_BUILD", "debug").env_remove("DESTDIR");
    command.env("CARGO_TARGET_DIR", programs);
    command.env("PREFIX", root.join("usr")).env("SYSCONFDIR", root.join("etc"));
    stdout_text(&succeed(&mut command))
}

/// Existing settings below this folder, with this mode.
fn earlier_settings(root: &Path, mode: u32) -> PathBuf {
    let file = root.join("etc/pixi-game-server.env");
    fs::create_dir_all(root.join("etc")).expect("a folder");
    fs::write(&file, "CLUSTER_URL=redis://:secret@bus\n").expect("a file");
    set_mode(&file, mode);
    file
}

#[test]
fn settings_are_readable_only_by_the_service() {
    make("install", &folder("modes-built"), &[]);
    let root = folder("modes");
    let groups = groups(&root);
    let settings = root.join("etc/pixi-game-server.env");
    install(&root, Some(&groups));
    let own = fs::metadata(&root).expect("a folder").gid();
    let outside = |gid: u32| if is_root() { gid } else { own };
    let owner = |path: &Path| fs::metadata(path).expect("a file").gid();
    assert_eq!((mode(&settings), owner(&settings)), (0o640, outside(service_group())));

    for earlier in [0o644, 0o664, 0o666] {
        let file = earlier_settings(&root, earlier);
        std::os::unix::fs::chown(&file, None, Some(outside(0))).expect("another group");
        assert!(install(&root, Some(&groups)).contains("kept: "));
        assert_eq!((mode(&file), owner(&file)), (0o640, outside(service_group())), "{earlier:o}");
    }
    let file = earlier_settings(&root, 0o640);
    std::os::unix::fs::chown(&file, None, Some(outside(60))).expect("another group");
    install(&root, Some(&groups));
    if is_root() {
        assert_eq!((mode(&file), owner(&file)), (0o640, 60), "a group chosen by the administrator");
    }
}

#[test]
fn without_the_service_group_readable_settings_are_reported() {
    make("install", &folder("modes-ungrouped-built"), &[]);
    let root = folder("modes-ungrouped");
    let file = earlier_settings(&root, 0o644);
    let output = install(&root, None);
    assert!(output.contains("world-readable, and may contain secrets: "), "{output}");
    assert_eq!(mode(&file), 0o644);
    fs::remove_file(&file).expect("removed");
    install(&root, None);
    assert_eq!(mode(&file), 0o640, "new settings are private from the start");
}

#[test]
fn packaged_settings_are_not_world_readable() {
    let root = folder("modes-package");
    make("install", &root, &[]);
    let file = root.join("etc/pixi-game-server.env");
    assert_eq!(mode(&file), 0o640);
    set_mode(&file, 0o644);
    make("install", &root, &[]);
    assert_eq!(mode(&file), 0o640);
}

/// Configures the package on a system with this folder as `/etc`.
fn configure(etc: &Path, stubs: &Path) {
    let script = format!("mount --bind '{}' /etc && exec \"$@\"", etc.display());
    let words = unshared("--mount", &script);
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").expect("a PATH"));
    succeed(Command::new(words[0]).args(&words[1..]).args(["sh", POSTINST, "configure"]).env("PATH", path));
}

#[test]
fn a_package_upgrade_restricts_the_settings() {
    let root = folder("modes-postinst");
    let (etc, stubs) = (root.join("etc"), root.join("stubs"));
    fs::create_dir_all(&stubs).expect("a folder");
    // Another test covers the creation of the user by the sysusers file.
    write_script(&stubs.join("systemd-sysusers"), "#!/bin/sh\n");
    for earlier in [0o644, 0o640] {
        let file = earlier_settings(&root, earlier);
        groups(&etc);
        configure(&etc, &stubs);
        let gid = fs::metadata(&file).expect("a file").gid();
        let own = fs::metadata(&root).expect("a folder").gid();
        let expected = if is_root() { service_group() } else { own };
        assert_eq!((mode(&file), gid), (0o640, expected), "{earlier:o}");
    }
}

#[test]
fn folders_may_have_special_characters() {
    make("install", &folder("names-built"), &[]);
    let root = folder("names");
    let target = root.join("a target & more");
    let programs = Path::new(PROGRAM).parent().expect("a folder of programs");
    fs::create_dir_all(&target).expect("a folder");
    symlink(programs, target.join("debug")).expect("a link");
    let words = [
        "PREFIX=/opt/a & b|c 100%".to_owned(),
        "SYSCONFDIR=/etc/x & y".to_owned(),
        format!("CARGO_TARGET_DIR={}", target.display()),
        // The programs are already built.
        "CARGO=true".to_owned(),
    ];
    make("install", &root.join("system"), &words);
    let system = root.join("system");
    let unit = system.join("opt/a & b|c 100%/lib/systemd/system/pixi-game-server.service");
    let text = fs::read_to_string(&unit).expect("the unit");
    let line = "ExecStart=\"/opt/a & b|c 100%%/bin/pixi-game-server\" --env-file \"/etc/x & y/pixi-game-server.env\"";
    assert!(text.lines().any(|found| found == line), "{text}");
    let reload = format!("{} --background-takeover", line.replace("ExecStart=", "ExecReload="));
    assert!(text.lines().any(|found| found == reload), "{text}");
    assert!(text.contains("# `") || text.contains("/etc/x & y/pixi-game-server.env, as far"), "{text}");
    let output = Command::new(program("systemd-analyze")).args(["verify", "--man=no"]).arg(&unit).output();
    let output = String::from_utf8_lossy(&output.expect("it runs").stderr).into_owned();
    let complaints: Vec<_> =
        output.lines().filter(|line| !line.contains("/opt/a & b|c 100%/bin/pixi-game-server")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    succeed(Command::new(system.join("opt/a & b|c 100%/bin/pixi-game-server")).arg("--version"));
    make("uninstall", &system, &words);
    assert_eq!(super::install::files(&system), Vec::<PathBuf>::new());
}

#[test]
fn a_prefix_that_a_unit_cannot_contain_is_refused() {
    for prefix in ["/opt/a\"b", "/opt/$HOME", "/opt/a\\b", "/opt/a\nb"] {
        let output = Command::new(INSTALL).arg("install").env("PREFIX", prefix).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{prefix}");
        assert!(stderr_text(&output).contains("expected paths without"), "{prefix}");
    }
}
