//! A panic of a thread on which others depend ends the process: status 70, and a last line that names thread, place and
//! message, on standard error and in `LOG_FILE`, after all that was logged before.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::fault::{Fault, send_request};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings, proc};

/// More bytes than any buffer of the server has: who believes that so many were read or written goes out of bounds.
const TOO_MANY: &str = "retval=1000000";

/// A file of this test's own for the log, not there yet.
fn log_file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("pixi-game-server-{}-{name}.log", std::process::id()));
    let _ = fs::remove_file(&file);
    file
}

fn assert_last_line(text: &str, thread: &str, message: &str) {
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("[ERROR]"), "the last line is no error:\n{text}");
    assert!(last.contains(&format!("thread '{thread}' panicked at ")), "{last}");
    assert!(last.contains(".rs:"), "no place in {last}");
    assert!(last.contains(message), "{last}");
}

/// Connects again and again, which makes every thread of the server work, until the server has ended.
fn knock_until_it_ends(server: &mut Server) -> i32 {
    wait_until("the server's end", || {
        send_request(server.address());
        server.exit_status().is_some()
    });
    server.wait_for_exit().code().expect("it ended by itself")
}

#[test]
fn a_panic_of_the_loop_ends_the_process_and_says_where() {
    let mut server = Server::start();
    let _fault = Fault::inject(server.pid(), &format!("recvfrom:{TOO_MANY}"));
    assert_eq!(knock_until_it_ends(&mut server), 70);
    server.wait_for_log("panicked");
    assert_last_line(&server.log(), "main", "1000000");
}

#[test]
fn the_last_line_follows_what_was_logged_to_the_file() {
    let file = log_file("loop");
    let mut server = Settings::new().start_logging_to(&file);
    let _fault = Fault::inject(server.pid(), &format!("recvfrom:{TOO_MANY}"));
    assert_eq!(knock_until_it_ends(&mut server), 70);
    let log = fs::read_to_string(&file).expect("the log");
    assert!(log.lines().count() > 1 && log.contains("listening on"), "{log}");
    assert_last_line(&log, "main", "1000000");
    // Who looks at the console finds it, too.
    server.wait_for_log("panicked");
    let _ = fs::remove_file(file);
}

#[test]
fn a_panic_of_the_logs_own_thread_is_told_all_the_same() {
    let file = log_file("log-thread");
    let mut server = Settings::new().start_logging_to(&file);
    let _fault = Fault::inject(proc::thread_id(server.pid(), "log"), &format!("write:{TOO_MANY}"));
    // It has something to write.
    server.signal(Signal::SIGTERM);
    let status = server.wait_for_exit().code();
    assert_eq!(status, Some(70));
    assert_last_line(&fs::read_to_string(&file).expect("the log"), "log", "1000000");
    let _ = fs::remove_file(file);
}
