//! With `STATE_DIR`, sessions survive a restart. Any fault of the store costs the sessions at most.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::process::stderr_text;
use crate::support::wait::wait_until;
use crate::support::walker::{cookie_of_walked_client, walked_client};
use crate::support::{Client, Server, Settings, folder};

pub fn settings(folder: &Path) -> Settings {
    Settings::new().spawn_at(500, 500).set("STATE_DIR", folder.to_str().expect("UTF-8"))
}

pub fn store_in(folder: &Path) -> PathBuf {
    folder.join("resume.redb")
}

/// The session cookie of a player after a clean shutdown.
pub fn cookie_of_a_stopped_server(folder: &Path) -> String {
    let mut server = settings(folder).start();
    let client = walked_client(&server);
    let cookie = client.cookie();
    server.signal(Signal::SIGTERM);
    drop(client);
    assert_eq!(server.wait_for_exit().code(), Some(0));
    cookie
}

#[test]
fn players_keep_their_positions_after_a_restart() {
    let folder = folder("resume-restart");
    let cookie = cookie_of_a_stopped_server(&folder);
    let server = settings(&folder).start();
    assert_eq!(Client::reconnect(&server, &cookie).position(), (500, 540));
}

/// Waits until the store contains one player. Starts servers on copies of the store to count its players.
fn wait_until_written(folder: &Path) {
    let copy = crate::support::folder(&format!("{}-copy", folder.file_name().expect("a name").display()));
    wait_until("the player to be in the store", || {
        fs::copy(store_in(folder), store_in(&copy)).expect("a copy");
        settings(&copy).start().count("resumes_remembered") == 1
    });
}

#[test]
fn sessions_of_disconnected_players_survive_a_crash() {
    let folder = folder("resume-killed-empty");
    let server = settings(&folder).start();
    let cookie = cookie_of_walked_client(&server);
    wait_until_written(&folder);
    drop(server);
    assert_eq!(Client::reconnect(&settings(&folder).start(), &cookie).position(), (500, 540));
}

#[test]
fn sessions_of_connected_players_survive_a_crash() {
    let folder = folder("resume-killed");
    let server = settings(&folder).start();
    // It stands where it has joined, and is saved there within a second.
    let cookie = Client::join(&server).cookie();
    wait_until_written(&folder);
    drop(server);
    let server = settings(&folder).start();
    assert_eq!(Client::reconnect(&server, &cookie).position(), (500, 500));
    assert_eq!(server.reconnects("hit"), 1);
}

#[test]
fn an_invalid_store_is_set_aside() {
    let folder = folder("resume-broken");
    fs::write(store_in(&folder), "no store at all, but long enough to be taken for one".repeat(1000))
        .expect("a file");
    let server = settings(&folder).start();
    assert!(server.log().contains("set aside as"), "{}", server.log());
    assert!(folder.join("resume.redb.broken").exists());
    drop(server);
    let cookie = cookie_of_a_stopped_server(&folder);
    assert_eq!(Client::reconnect(&settings(&folder).start(), &cookie).position(), (500, 540));
}

#[test]
fn two_servers_do_not_share_a_file() {
    let folder = folder("resume-shared");
    let (_first, second) = (settings(&folder).start(), settings(&folder).start());
    assert!(second.log().contains("will not survive a restart"), "{}", second.log());
    assert_eq!(Client::join(&second).position(), (500, 500));
}

#[test]
fn a_full_disk_keeps_sessions_in_memory_and_logs_one_line() {
    // The limit of file sizes, in the shell's blocks of 512 or 1024 bytes.
    let folder = folder("resume-full");
    drop(settings(&folder).start());
    let server =
        settings(&folder).start_through(&["sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]);
    let client = walked_client(&server);
    let cookie = client.cookie();
    client.reset();
    wait_until("a failed write", || server.count("resume_store_failures_total") > 0);
    assert_eq!(Client::reconnect(&server, &cookie).position(), (500, 540), "the session is still in memory");
    assert_eq!(server.reconnects("hit"), 1);
    server.wait_for_log("can't be written");
    assert_eq!(server.log().matches("can't be written").count(), 1, "{}", server.log());
}

#[test]
fn a_missing_state_dir_is_a_configuration_error() {
    let output = Settings::new().set("STATE_DIR", "/nowhere").command().output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let error = stderr_text(&output);
    assert!(error.contains("STATE_DIR=/nowhere: expected the path of an existing directory"), "{error}");
}

#[test]
fn no_cookie_is_ever_logged() {
    let folder = folder("resume-log");
    let server: Server = settings(&folder).set("LOG_LEVEL", "trace").start();
    let cookie = cookie_of_walked_client(&server);
    drop(Client::reconnect(&server, &cookie));
    server.wait_for_players(0);
    let (_, value) = cookie.split_once('=').expect("a name and a value");
    wait_until("two joins in the log", || server.log().matches("joined").count() == 2);
    assert!(!server.log().contains(value));
}
