//! Signals that must not end the process: SIGHUP before the server is ready, and the signals that failed writes raise.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::process::send_signal;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, fifo_in, folder, free_port, proc};

/// Mask of the signals that a process blocks.
fn blocked_signals(pid: u32) -> u64 {
    let mask = proc::status_field(pid, "SigBlk");
    mask.map_or(0, |mask| u64::from_str_radix(&mask, 16).expect("a mask"))
}

#[test]
fn sighup_during_the_start_is_handled_afterwards() {
    let folder = folder("early-signal");
    let fifo = fifo_in(&folder);
    // While the FIFO has a writer but no data, the server blocks at the start.
    let writer = fs::File::options().read(true).write(true).open(&fifo).expect("both ends");
    let log = folder.join("server.log");
    let mut command = Settings::new().set("LOG_FILE", log.to_str().expect("text")).command();
    command.arg("--env-file").arg(&fifo).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let hang_up = 1 << (Signal::SIGHUP as u64 - 1);
    wait_until("the signals to be blocked", || blocked_signals(child.id()) & hang_up != 0);
    send_signal(child.id(), Signal::SIGHUP);
    // Data in a FIFO without a reader is lost when the writer closes it.
    wait_until("the file to be opened", || proc::has_open(child.id(), &fifo));
    (&writer).write_all(b"LOG_LEVEL=info\n").expect("written");
    drop(writer);
    let read = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the reload to end", || read().contains("reload: nothing changes"));
    assert!(read().contains("listening on"), "{}", read());
    send_signal(child.id(), Signal::SIGTERM);
    assert_eq!(child.wait().expect("a status").code(), Some(0));
}

/// Runs a command on a new terminal, with the server's program as `$0`. Killing it hangs up the terminal.
fn terminal(server: &Command, command: &str) -> Child {
    let program = server.get_program().to_str().expect("text");
    let mut terminal = Command::new("script");
    terminal
        .args(["--quiet", "--return", "--command", &format!("exec sh -c '{command}' {program}"), "/dev/null"])
        .env_clear()
        .envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh");
    terminal.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("script starts")
}

#[test]
fn a_closed_terminal_ends_the_server_on_it() {
    let port = free_port();
    let server = Settings::new().set("PORT", port).command();
    let mut terminal = terminal(&server, r#"exec "$0""#);
    let is_there = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until("the server", is_there);
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    wait_until("the server to exit", || !is_there());
}

#[test]
fn a_server_in_its_own_session_handles_sighup_after_its_terminal_closed() {
    let folder = folder("detached");
    let log = folder.join("server.log");
    let server = Settings::new().set("LOG_FILE", log.to_str().expect("text")).command();
    // In its own session, as with `setsid` and systemd, the server gets no SIGHUP when the terminal closes.
    let mut terminal = terminal(&server, r#"exec setsid --wait "$0""#);
    let read = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the server", || read().contains("listening on"));
    let pid = proc::pid_with_open(&log);
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    send_signal(pid, Signal::SIGHUP);
    wait_until("the reload to end", || read().contains("files are served") || read().contains("stopping"));
    assert!(!read().contains("stopping"), "{}", read());
    send_signal(pid, Signal::SIGTERM);
    wait_until("the server to exit", || read().contains("stopped"));
}

/// Lets a player join and leave, which writes to the log and the store.
fn visit(server: &Server) {
    Client::join(server).reset();
}

#[test]
fn a_file_size_limit_only_loses_log_lines_and_sessions() {
    let folder = folder("file-size");
    let state = folder.to_str().expect("text");
    let log = folder.join("server.log");
    let settings = Settings::new().set("STATE_DIR", state).set("DEBUG", true);
    drop(settings.start());
    let settings = settings.set("LOG_FILE", log.to_str().expect("text"));
    // The limit is in the shell's blocks of 512 or 1024 bytes.
    let mut server = settings.start_without_log(&["sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\""]);
    wait_until("a log line and a store write to fail", || {
        visit(&server);
        server.count("log_lines_dropped_total") > 0 && server.count("resume_store_failures_total") > 0
    });
    server.assert_healthy();
    server.terminate();
    assert!(fs::metadata(&log).expect("a log").len() <= 1024);
}

#[test]
fn a_log_without_a_reader_only_loses_log_lines() {
    let folder = folder("reader-gone");
    let fifo = fifo_in(&folder);
    let reader = fs::File::options().read(true).write(true).open(&fifo).expect("both ends");
    let settings = Settings::new().set("LOG_FILE", fifo.to_str().expect("text")).set("DEBUG", true);
    let mut server = settings.start_without_log(&[]);
    visit(&server);
    drop(reader);
    wait_until("lines to be dropped", || {
        visit(&server);
        server.count("log_lines_dropped_total") > 0
    });
    let dropped = server.count("log_lines_dropped_total");
    // The FIFO can't be reopened without a reader; the server must not wait for one.
    server.signal(Signal::SIGHUP);
    wait_until("the failed reopen", || server.count("log_lines_dropped_total") > dropped);
    server.assert_healthy();
    server.terminate();
}
