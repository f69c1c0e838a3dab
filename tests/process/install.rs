//! `make install` and `make uninstall` with a folder as the root of the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::support::debian::program;
use crate::support::folder;
use crate::support::process::{stderr_text, stdout_text, succeed};

const SETTINGS: &str = "etc/pixi-game-server.env";
const USERS: &str = "usr/lib/sysusers.d/pixi-game-server.conf";
const UNIT: &str = "usr/lib/systemd/system/pixi-game-server.service";

// Serializes `make`, because its build products are shared.
static MAKE_LOCK: Mutex<()> = Mutex::new(());

/// Builds the programs as `cargo test --workspace` does, so that cargo does not compile them again.
const BUILT: &str = "INSTALLED=--workspace --tests";

/// Runs `make` with this system root and the programs built for tests; `words` are additional arguments.
pub fn make(target: &str, root: &Path, words: &[String]) -> String {
    let _one = MAKE_LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = succeed(
        Command::new("make")
            .args(["--no-print-directory", target, "PREFIX=/usr", "INSTALL_BUILD=debug", BUILT])
            .arg(format!("DESTDIR={}", root.display()))
            .args(words)
            .env_remove("MAKEFLAGS")
            .env_remove("SYSCONFDIR")
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    stdout_text(&output)
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn installed_programs_work_and_uninstall_removes_them() {
    let root = folder("installed");
    // A program of an earlier version, which this one replaces.
    fs::create_dir_all(root.join("usr/bin")).expect("a folder");
    fs::write(root.join("usr/bin/pixi-game-monitor"), "").expect("a file");
    make("install", &root, &[]);
    assert!(!root.join("usr/bin/pixi-game-monitor").exists());
    let installed = root.join("usr/bin/pixi-game-server");
    succeed(Command::new(&installed).arg("--check-config").arg("--env-file").arg(root.join(SETTINGS)));
    for tool in ["pixi-game-ops", "pixi-game-loadtest"] {
        let run_installed =
            |argument| Command::new(root.join("usr/bin").join(tool)).arg(argument).output().expect("it runs");
        assert_eq!(run_installed("--help").status.code(), Some(0), "{tool}");
        let version = String::from_utf8(run_installed("--version").stdout).expect("text");
        assert_eq!(version, format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
        let complaint = String::from_utf8(run_installed("--no-such-flag").stderr).expect("text");
        assert!(complaint.starts_with(&format!("{tool}: ")), "{complaint}");
    }
    let unit = fs::read_to_string(root.join(UNIT)).expect("the unit");
    assert!(
        unit.contains("\nExecStart=/usr/bin/pixi-game-server --env-file /etc/pixi-game-server.env\n"),
        "{unit}"
    );

    // logrotate and systemd accept the installed files.
    succeed(
        Command::new(program("logrotate")).arg("--debug").arg(root.join("etc/logrotate.d/pixi-game-server")),
    );
    let elsewhere = folder("users");
    fs::create_dir_all(elsewhere.join("etc")).expect("a folder");
    fs::copy(root.join(USERS), elsewhere.join("users.conf")).expect("copied");
    let in_root = format!("--root={}", elsewhere.display());
    succeed(Command::new(program("systemd-sysusers")).arg(in_root).arg(elsewhere.join("users.conf")));
    let users = fs::read_to_string(elsewhere.join("etc/passwd")).expect("users");
    assert!(users.contains("pixi-game-server:x:") && users.contains("/usr/sbin/nologin\n"), "{users}");
    for page in ["pixi-game-server.8", "pixi-game-ops.8", "pixi-game-loadtest.8"] {
        assert!(root.join("usr/share/man/man8").join(page).exists(), "{page}");
    }

    make("uninstall", &root, &[]);
    assert_eq!(files(&root), Vec::<PathBuf>::new());
}

#[test]
fn changed_settings_are_kept() {
    let root = folder("kept");
    make("install", &root, &[]);
    let settings = root.join(SETTINGS);
    fs::write(&settings, "PORT=8109\n").expect("changed");
    assert!(make("install", &root, &[]).contains("kept: /etc/pixi-game-server.env"));
    assert!(make("uninstall", &root, &[]).contains("kept: /etc/pixi-game-server.env"));
    assert_eq!(files(&root), std::slice::from_ref(&settings));
    assert_eq!(fs::read_to_string(settings).expect("the settings"), "PORT=8109\n");
}

#[test]
fn an_unknown_command_is_named() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/install.sh");
    let output = Command::new(script).arg("upgrade").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let problem = stderr_text(&output);
    assert_eq!(problem, "tools/install.sh: upgrade: expected install or uninstall\n");
}
