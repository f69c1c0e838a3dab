//! The log file when it is unwritable, renamed and reopened, truncated, or on a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use game_client::Vector;
use nix::sys::signal::Signal;

use crate::support::debian::program;
use crate::support::process::{stderr_text, succeed, unshared};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, folder, proc, wait_for_acks};

/// Size of the disk that a test fills, in bytes.
const DISK_BYTES: usize = 64 * 1024;

/// Settings of a server that logs joins and leaves to this file.
fn logging_to(path: &Path) -> Settings {
    Settings::new().set("LOG_FILE", path.to_str().expect("a path of text")).set("DEBUG", true)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn wait_for_line(path: &Path, words: &str) {
    wait_until(&format!("{words:?} in {}", path.display()), || read(path).contains(words));
}

/// Lets a player join, play and leave. Returns the log line of its join.
fn visit(server: &Server) -> String {
    let mut player = [Client::join(server)];
    player[0].step(Vector::RIGHT);
    wait_for_acks(&mut player);
    format!("player {} joined", player[0].id())
}

/// A server that logs to a file, after one visit of a player.
fn visited(folder: &Path) -> (Server, PathBuf, String) {
    let path = folder.join("server.log");
    let server = logging_to(&path).start_without_log(&[]);
    let first = visit(&server);
    wait_for_line(&path, &first);
    (server, path, first)
}

#[test]
fn an_unwritable_log_file_is_a_configuration_error() {
    let folder = folder("unwritable");
    fs::write(folder.join("file"), "").expect("a file");
    for path in [folder.join("missing/server.log"), folder.join("file/server.log")] {
        let output = logging_to(&path).command().output().expect("the program runs");
        let problem = stderr_text(&output);
        assert_eq!(output.status.code(), Some(2), "{problem}");
        assert!(problem.contains(&format!("LOG_FILE={}: can't be written: ", path.display())), "{problem}");
    }
}

#[test]
fn sighup_reopens_a_renamed_log_without_losing_lines() {
    let (server, path, first) = visited(&folder("rotated"));
    let old = path.with_extension("log.1");
    fs::rename(&path, &old).expect("renamed");
    let second = visit(&server);
    wait_for_line(&old, &second);
    assert!(!path.exists(), "the server writes to the old file until the signal");
    server.signal(Signal::SIGHUP);
    wait_for_line(&path, "reload: reopening LOG_FILE");
    let third = visit(&server);
    wait_for_line(&path, &third);
    let (old, new) = (read(&old), read(&path));
    assert!(old.contains(&first) && old.contains(&second) && old.contains("listening on"), "{old}");
    assert!(!old.contains(&third) && !old.contains("SIGHUP") && old.ends_with('\n'), "{old}");
    assert!(!new.contains(&first) && !new.contains(&second), "{new}");
    assert_eq!(server.count("log_lines_dropped_total"), 0);
}

#[test]
fn a_failed_reopen_keeps_the_old_file() {
    let folder = folder("unopenable");
    let (server, path, _) = visited(&folder);
    let moved = folder.with_extension("moved");
    let _ = fs::remove_dir_all(&moved);
    fs::rename(&folder, &moved).expect("renamed");
    let old = moved.join("server.log");
    server.signal(Signal::SIGHUP);
    wait_for_line(
        &old,
        &format!("LOG_FILE={}: reopen failed; still writing to the old file", path.display()),
    );
    let line = visit(&server);
    wait_for_line(&old, &line);
    fs::create_dir(&folder).expect("the folder");
    server.signal(Signal::SIGHUP);
    let line = visit(&server);
    wait_for_line(&path, &line);
    fs::remove_dir_all(&moved).expect("tidied up");
}

#[test]
fn a_truncated_file_is_written_from_its_start() {
    let (server, path, first) = visited(&folder("cut"));
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("cut");
    let second = visit(&server);
    wait_for_line(&path, &second);
    let log = read(&path);
    assert!(!log.contains('\0') && !log.contains(&first), "{log:?}");
}

/// The installed logrotate rules, adapted to this file and process.
fn rules_for(path: &Path, pid: u32) -> String {
    let rules = include_str!("../../deploy/pixi-game-server.logrotate");
    let (files, command) =
        ("/var/log/pixi-game-server/*.log", "systemctl kill --signal=HUP pixi-game-server.service");
    assert!(rules.contains(files) && rules.contains(command), "{rules}");
    rules.replace(files, &path.display().to_string()).replace(command, &format!("kill -HUP {pid}"))
}

#[test]
fn the_installed_rules_work_with_logrotate() {
    let folder = folder("logrotate");
    let (server, path, first) = visited(&folder);
    let (rules, state) = (folder.join("rules"), folder.join("state"));
    fs::write(&rules, rules_for(&path, server.pid())).expect("a file");
    let mut later = vec![first];
    for generation in 1..=2 {
        succeed(Command::new(program("logrotate")).arg("--force").arg("--state").arg(&state).arg(&rules));
        wait_for_line(&path, "reload: reopening LOG_FILE");
        later.push(visit(&server));
        wait_for_line(&path, &later[generation]);
        // With `delaycompress`, a rotated file is compressed at the next rotation.
        let rotated = read(&folder.join("server.log.1"));
        assert!(
            rotated.contains(&later[generation - 1]) && !rotated.contains(&later[generation]),
            "{rotated}"
        );
        assert!(!read(&path).contains(&later[generation - 1]));
    }
    assert!(folder.join("server.log.2.gz").exists());
}

#[test]
fn a_log_on_a_full_disk_does_not_stop_the_server() {
    let mut server = logging_to(Path::new("/dev/full")).start_without_log(&[]);
    for _ in 0..5 {
        visit(&server);
    }
    wait_until("lines to be dropped", || server.count("log_lines_dropped_total") >= 5);
    server.assert_healthy();
    server.signal(Signal::SIGHUP);
    visit(&server);
    server.terminate();
}

#[test]
fn logging_resumes_with_whole_lines_after_a_full_disk() {
    let folder = folder("disk");
    let path = folder.join("server.log");
    let mount = format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs {} && exec \"$@\"", folder.display());
    let server = logging_to(&path).start_without_log(&unshared("--mount", &mount));
    // The disk is mounted only in the server's mount namespace.
    let inside = proc::root(server.pid());
    let on_disk = |path: &Path| inside.join(path.strip_prefix("/").expect("an absolute path"));
    let (log, filler) = (on_disk(&path), on_disk(&folder.join("filler")));
    wait_for_line(&log, "listening on");
    assert!(fs::write(&filler, vec![b'x'; 2 * DISK_BYTES]).is_err(), "the disk is full now");
    wait_until("a dropped line", || {
        visit(&server);
        server.count("log_lines_dropped_total") > 0
    });
    server.assert_healthy();
    fs::remove_file(&filler).expect("space on the disk");
    wait_until("the log to continue", || {
        visit(&server);
        read(&log).contains("log lines before this one could not be written")
    });
    let dropped = server.count("log_lines_dropped_total");
    let line = visit(&server);
    wait_for_line(&log, &line);
    assert_eq!(server.count("log_lines_dropped_total"), dropped, "no more lines are dropped");
    let text = read(&log);
    // Each line begins with its time, even if the full disk took only its first byte. No two lines are joined.
    let begins = |line: &str| line.starts_with("20") || line == "2";
    let times = |line: &str| line.matches("Z [").count();
    assert!(text.lines().all(|line| begins(line) && times(line) <= 1), "lines are joined: {text}");
}
