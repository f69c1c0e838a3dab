//! Special files as settings: FIFOs, devices, closed or full streams. The start never waits for a FIFO's other end.

use std::fs::{self, File};
use std::process::{Command, Output};

use super::{run, stderr, stdout, value};
use crate::support::http::get;
use crate::support::server::{PROGRAM, program};
use crate::support::wait::wait_until;
use crate::support::{Settings, fifo_in, folder};

fn bash(script: &str) -> Output {
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .arg(PROGRAM)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("bash runs")
}

#[test]
fn a_log_fifo_without_a_reader_is_refused() {
    let folder = folder("log-fifo");
    let fifo = fifo_in(&folder);
    let output =
        Settings::new().set("LOG_FILE", fifo.to_str().expect("text")).command().output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let expected = format!("LOG_FILE={}: can't be written: it is a FIFO without a reader", fifo.display());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
}

#[test]
fn a_log_fifo_with_a_reader_works() {
    let folder = folder("log-fifo-read");
    let fifo = fifo_in(&folder);
    let text = folder.join("text");
    let reader = Command::new("sh").args(["-c", "exec cat <\"$0\" >\"$1\""]).arg(&fifo).arg(&text).spawn();
    let mut reader = reader.expect("cat runs");
    // Opens both ends, so that the server finds a reader before cat has opened its end.
    let both = File::options().read(true).write(true).open(&fifo).expect("both ends");
    let server = Settings::new().set("LOG_FILE", fifo.to_str().expect("text")).start_without_log(&[]);
    drop(both);
    wait_until("the line in the copy", || {
        fs::read_to_string(&text).is_ok_and(|log| log.contains("listening on"))
    });
    drop(server);
    reader.wait().expect("cat exits at the end of the log");
}

#[test]
fn a_log_may_be_a_device() {
    for device in ["/dev/null", "/dev/stderr"] {
        let server = Settings::new().set("LOG_FILE", device).start_without_log(&[]);
        assert_eq!(get(server.address(), "/health").status, 200, "{device}");
    }
}

#[test]
fn settings_may_be_read_from_a_pipe() {
    let output = bash("\"$0\" --print-config --env-file <(sleep 0.1; echo PORT=9; echo TICK_RATE=30)");
    assert_eq!(value(stdout(&output), "TICK_RATE"), Some("30"), "{}", stderr(&output));
    let output = bash("echo PORT=9 | \"$0\" --print-config --env-file /dev/stdin");
    assert_eq!(value(stdout(&output), "PORT"), Some("9"), "{}", stderr(&output));
    let folder = folder("env-fifo");
    let fifo = fifo_in(&folder);
    let output = run(&[], &["--check-config", "--env-file", fifo.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("can't be read: it is a FIFO without a writer"), "{}", stderr(&output));
}

#[test]
fn the_status_is_right_without_standard_error() {
    for (arguments, status) in
        [("--port x", 2), ("--log-file /dev/null/x", 2), ("--static-dir /nowhere", 2), ("--help", 0)]
    {
        for closed in
            ["2>&-", ">&- 2>&-", "</dev/full >/dev/full 2>/dev/full", "2>&1 | true; exit ${PIPESTATUS[0]}"]
        {
            let output = bash(&format!("\"$0\" {arguments} {closed}"));
            assert_eq!(output.status.code(), Some(status), "{arguments} {closed}");
        }
    }
}

#[test]
fn a_fifo_in_the_site_is_not_served() {
    let folder = folder("static-fifo");
    fifo_in(&folder);
    fs::write(folder.join("index.html"), "a page").expect("a file");
    let server = Settings::new().set("STATIC_DIR", folder.to_str().expect("text")).start();
    assert_eq!(get(server.address(), "/").text(), "a page");
    assert_eq!(get(server.address(), "/fifo").status, 404);
    assert!(server.log().contains("not served"), "{}", server.log());
}

#[test]
fn a_fifo_as_a_directory_is_refused() {
    let folder = folder("dir-fifo");
    let fifo = fifo_in(&folder);
    for name in ["STATIC_DIR", "STATE_DIR"] {
        let output = program().env(name, &fifo).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
}
