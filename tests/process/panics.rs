//! A panic of an essential thread ends the process with status 70. The last line, on standard error and in
//! `LOG_FILE`, names the thread, the source position and the message, after all earlier log lines.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::fault::{Fault, send_request};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings, proc};

/// A faked return value: more bytes than any buffer of the server holds. A thread that trusts it indexes out of bounds.
const TOO_MANY: &str = "retval=1000000";

/// Path for a log file, which does not exist yet.
fn log_file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("pixi-game-server-{}-{name}.log", std::process::id()));
    let _ = fs::remove_file(&file);
    file
}

fn assert_last_line(text: &str, thread: &str, message: &str) {
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("[ERROR]"), "the last line is not an error:\n{text}");
    assert!(last.contains(&format!("thread '{thread}' panicked at ")), "{last}");
    assert!(last.contains(".rs:"), "no source position in {last}");
    assert!(last.contains(message), "{last}");
}

/// Connects repeatedly, so that every thread of the server has work, until the server has exited.
fn connect_until_exit(server: &mut Server) -> i32 {
    wait_until("the server to exit", || {
        send_request(server.address());
        server.exit_status().is_some()
    });
    server.wait_for_exit().code().expect("an exit code")
}

#[test]
fn a_panic_of_the_event_loop_ends_the_process_with_its_position() {
    let mut server = Server::start();
    let _fault = Fault::inject(server.pid(), &format!("recvfrom:{TOO_MANY}"));
    assert_eq!(connect_until_exit(&mut server), 70);
    server.wait_for_log("panicked");
    assert_last_line(&server.log(), "main", "1000000");
}

#[test]
fn the_last_line_follows_all_earlier_lines_of_the_file() {
    let file = log_file("loop");
    let mut server = Settings::new().start_logging_to(&file);
    let _fault = Fault::inject(server.pid(), &format!("recvfrom:{TOO_MANY}"));
    assert_eq!(connect_until_exit(&mut server), 70);
    let log = fs::read_to_string(&file).expect("the log");
    assert!(log.lines().count() > 1 && log.contains("listening on"), "{log}");
    assert_last_line(&log, "main", "1000000");
    // The line is on standard error too.
    server.wait_for_log("panicked");
    let _ = fs::remove_file(file);
}

#[test]
fn a_panic_of_the_log_thread_is_logged_too() {
    let file = log_file("log-thread");
    let mut server = Settings::new().start_logging_to(&file);
    let _fault = Fault::inject(proc::thread_id(server.pid(), "log"), &format!("write:{TOO_MANY}"));
    // Gives the log thread a line to write.
    server.signal(Signal::SIGTERM);
    let status = server.wait_for_exit().code();
    assert_eq!(status, Some(70));
    assert_last_line(&fs::read_to_string(&file).expect("the log"), "log", "1000000");
    let _ = fs::remove_file(file);
}
