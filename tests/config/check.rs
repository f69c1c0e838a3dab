//! `--check-config` compared with a start: the same messages, the same status, and no side effects.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{stderr, stdout};
use crate::support::debian::is_root;
use crate::support::server::PROGRAM;
use crate::support::{Server, Settings, folder, free_port};

/// User id of an unprivileged user.
const NOBODY: u32 = 65_534;

/// A folder with the program that an unprivileged user can read. Removed on drop.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = env::temp_dir().join(format!("pixi-check-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(PROGRAM, folder.join("pixi-game-server")).expect("a copy of the server");
        Place(folder)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, "before\n").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// The program, run as an unprivileged user after `before`, a prefix of the shell command.
    fn command(&self, settings: &Settings, before: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before} exec \"$@\""), "sh"]);
        command.arg(self.0.join("pixi-game-server")).args(arguments).current_dir(&self.0).env_clear();
        command.envs(settings.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null());
        command
    }

    fn check(&self, settings: &Settings, before: &str) -> Output {
        self.command(settings, before, &["--check-config"]).output().expect("it runs")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(0o755));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(variables: &[(&str, &Path)]) -> Settings {
    variables
        .iter()
        .fold(Settings::new(), |settings, (name, path)| settings.set(name, path.to_str().expect("UTF-8")))
}

/// The line that contains these words, from the words on.
fn message<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.find(words).map(|at| &line[at..]))
}

#[test]
fn a_check_reports_the_same_error_and_status_as_a_start() {
    let place = Place::new("ends");
    let closed = place.folder("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("its mode");
    let hidden = place.folder("hidden");
    fs::set_permissions(&hidden, Permissions::from_mode(0o000)).expect("its mode");
    let site = place.folder("site");
    for name in ["a.js", "b.js", "c.js"] {
        fs::write(site.join(name), "x").expect("a file");
    }
    let links = place.folder("links");
    symlink("/nowhere/server.log", links.join("last")).expect("a link");
    symlink("last", links.join("first")).expect("a link");
    let log = "LOG_FILE=";
    let bind = "the server can't start: can't listen on ";
    let cases = [
        (set(&[("LOG_FILE", Path::new("/nowhere/server.log"))]), log, 2),
        (set(&[("LOG_FILE", Path::new("/dev/null/server.log"))]), log, 2),
        (set(&[("LOG_FILE", &closed.join("server.log"))]), log, 2),
        (set(&[("LOG_FILE", &links.join("first"))]), log, 2),
        (set(&[("LOG_FILE", &place.file("read-only.log", 0o444))]), log, 2),
        (set(&[("STATIC_DIR", &hidden)]), "STATIC_DIR: ", 1),
        (set(&[("STATIC_DIR", &site)]).set("STATIC_MAX_FILES", 2), "STATIC_DIR: ", 1),
        (set(&[("STATIC_DIR", Path::new("/nowhere"))]), "STATIC_DIR=", 2),
        (set(&[("STATE_DIR", Path::new("/dev/null"))]), "STATE_DIR=", 2),
        (Settings::new().set("HOST", "192.0.2.1"), bind, 1),
        (Settings::new().set("ADMIN_ADDR", "192.0.2.1:9"), bind, 1),
        (Settings::new().set("PORT", 9).set("ADMIN_ADDR", "[::]:9"), "ADMIN_ADDR=", 2),
        (Settings::new().set("CLUSTER_URL", "http://bus.example"), "CLUSTER_URL=", 2),
    ];
    for (settings, words, status) in cases {
        let start = place.command(&settings, "", &[]).output().expect("it runs");
        let ended_with = message(stderr(&start), words).unwrap_or_else(|| panic!("{words}: {start:?}"));
        let check = place.check(&settings, "");
        assert_eq!(message(stderr(&check), words), Some(ended_with));
        assert_eq!((start.status.code(), check.status.code()), (Some(status), Some(status)), "{ended_with}");
        assert_eq!(stdout(&check), "", "{ended_with}");
    }
}

#[test]
fn a_check_prints_the_warnings_of_a_start() {
    let place = Place::new("bears");
    let closed = place.folder("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("its mode");
    let occupied = place.folder("occupied");
    fs::create_dir(occupied.join("resume.redb")).expect("a folder");
    let bus = "redis://127.0.0.1:1";
    let unresolvable = "CLUSTER_URL: the bus at nowhere.invalid:6379/0 does not answer: ";
    let cases = [
        (set(&[("STATE_DIR", &closed)]), "", "STATE_DIR: "),
        (set(&[("STATE_DIR", &occupied)]), "", "STATE_DIR: "),
        (set(&[("STATE_DIR", &occupied)]).set("CLUSTER_URL", bus), "", "STATE_DIR has no effect"),
        (Settings::new().set("CLUSTER_URL", "redis://nowhere.invalid"), "", unresolvable),
        (Settings::new().set("MAX_CONNECTIONS", 5_000), "ulimit -n 256;", "MAX_CONNECTIONS=5000 needs "),
        (Settings::new().set("GOGC", 50), "", "GOGC has no effect"),
    ];
    for (settings, before, words) in cases {
        let server = Server::run(place.command(&settings, before, &[]));
        server.wait_for_log(words);
        let log = server.log();
        let check = place.check(&settings, before);
        assert_eq!(message(stdout(&check), words), message(&log, words), "{check:?}");
        assert_eq!((check.status.code(), stderr(&check)), (Some(0), ""), "{words}");
        assert!(stdout(&check).starts_with("configuration is valid\n"), "{words}");
    }
}

#[test]
fn a_check_reports_all_problems() {
    let site = folder("check-all");
    fs::write(site.join("a.js"), "x").expect("a file");
    fs::write(site.join("b.js"), "x").expect("a file");
    let settings = set(&[("STATIC_DIR", &site), ("LOG_FILE", Path::new("/nowhere/server.log"))])
        .set("STATIC_MAX_FILES", 1)
        .set("ADMIN_ADDR", "192.0.2.1:9")
        .set("GOGC", 50);
    let output = settings.command().arg("--check-config").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "the status of the first problem");
    for words in
        ["LOG_FILE=/nowhere/server.log: ", "STATIC_DIR: ", "ADMIN_ADDR=192.0.2.1:9: ", "GOGC has no effect"]
    {
        assert!(stderr(&output).contains(words), "{words} in {}", stderr(&output));
    }
    assert!(
        stderr(&output).lines().all(|line| line.starts_with("pixi-game-server: ")),
        "{}",
        stderr(&output)
    );
}

/// State of a folder and snapshot below it: kind and mode, size, times, content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, [i64; 4], Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let content = if metadata.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
        if metadata.is_dir() {
            waiting
                .extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        }
        found.insert(path, (metadata.mode(), metadata.len(), times, content));
    }
    found
}

#[test]
fn a_check_changes_no_file() {
    let folder = folder("check-traces");
    let state = folder.join("state");
    fs::create_dir(&state).expect("a folder");
    let old = folder.join("old.log");
    fs::write(&old, "before\n").expect("a file");
    fs::set_permissions(&old, Permissions::from_mode(0o640)).expect("its mode");
    let old_state = folder.join("old-state");
    fs::create_dir(&old_state).expect("a folder");
    fs::write(old_state.join("resume.redb"), "no store").expect("a file");
    let before = snapshot(&folder);
    for log in ["new.log", "old.log"] {
        for state in [&state, &old_state] {
            let settings =
                set(&[("LOG_FILE", &folder.join(log)), ("STATE_DIR", state), ("STATIC_DIR", &folder)]);
            let output = settings.command().arg("--check-config").output().expect("it runs");
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            assert_eq!(snapshot(&folder), before);
        }
    }
}

#[test]
fn a_check_succeeds_while_the_server_runs() {
    let folder = folder("check-beside");
    let log = folder.join("server.log");
    let settings = set(&[("STATE_DIR", &folder)]).set("PORT", free_port());
    let server = settings.clone().start_logging_to(&log);
    let before = fs::read(&log).expect("a log");
    let settings = settings.set("LOG_FILE", log.to_str().expect("UTF-8"));
    let output = settings.command().arg("--check-config").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("is in use, by the running server"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("STATE_DIR"), "{}", stdout(&output));
    server.assert_healthy();
    assert_eq!(fs::read(&log).expect("a log"), before);
}
