//! Signals that must not end the process: one that comes before the server is ready, those of writes that fail.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::process::send_signal;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, folder, free_port, proc};

fn fifo_in(folder: &Path) -> PathBuf {
    let fifo = folder.join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    fifo
}

/// Mask of the signals that a process blocks.
fn blocked_signals(pid: u32) -> u64 {
    let mask = proc::status_field(pid, "SigBlk");
    mask.map_or(0, |mask| u64::from_str_radix(&mask, 16).expect("a mask"))
}

#[test]
fn one_that_comes_while_the_configuration_is_read_waits_for_the_server() {
    let folder = folder("early-signal");
    let fifo = fifo_in(&folder);
    // With a writer that writes nothing yet, the server is held up before anything else.
    let writer = fs::File::options().read(true).write(true).open(&fifo).expect("both ends");
    let log = folder.join("server.log");
    let mut command = Settings::new().set("LOG_FILE", log.to_str().expect("text")).command();
    command.arg("--env-file").arg(&fifo).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let hang_up = 1 << (Signal::SIGHUP as u64 - 1);
    wait_until("the signals to be blocked", || blocked_signals(child.id()) & hang_up != 0);
    send_signal(child.id(), Signal::SIGHUP);
    // What is written to a FIFO that nothing reads is lost with its writer.
    wait_until("the file to be opened", || proc::has_open(child.id(), &fifo));
    (&writer).write_all(b"LOG_LEVEL=info\n").expect("written");
    drop(writer);
    let read = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the reload", || read().contains("reload: nothing changes"));
    assert!(read().contains("listening on"), "{}", read());
    send_signal(child.id(), Signal::SIGTERM);
    assert_eq!(child.wait().expect("a status").code(), Some(0));
}

/// A terminal of its own with this command on it, which has the server's program as `$0`. Killed, it leaves nobody before it.
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
fn a_terminal_that_goes_ends_the_server_that_was_started_on_it() {
    let port = free_port();
    let server = Settings::new().set("PORT", port).command();
    let mut terminal = terminal(&server, r#"exec "$0""#);
    let is_there = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until("the server", is_there);
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    wait_until("the server's end", || !is_there());
}

#[test]
fn a_server_that_outlives_its_terminal_is_reloaded() {
    let folder = folder("detached");
    let log = folder.join("server.log");
    let server = Settings::new().set("LOG_FILE", log.to_str().expect("text")).command();
    // In a session of its own, as below `setsid` and systemd, no signal tells it that the terminal has gone.
    let mut terminal = terminal(&server, r#"exec setsid --wait "$0""#);
    let read = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the server", || read().contains("listening on"));
    let pid = proc::pid_with_open(&log);
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    send_signal(pid, Signal::SIGHUP);
    wait_until("the reload", || read().contains("files are served") || read().contains("stopping"));
    assert!(!read().contains("stopping"), "{}", read());
    send_signal(pid, Signal::SIGTERM);
    wait_until("the server's end", || read().contains("stopped"));
}

/// A player comes and goes; the log and the store are to tell of it.
fn visit(server: &Server) {
    Client::join(server).reset();
}

#[test]
fn a_limit_on_the_size_of_files_costs_lines_and_places_alone() {
    let folder = folder("file-size");
    let state = folder.to_str().expect("text");
    let log = folder.join("server.log");
    let settings = Settings::new().set("STATE_DIR", state).set("DEBUG", true);
    drop(settings.start());
    let settings = settings.set("LOG_FILE", log.to_str().expect("text"));
    // In the shell's blocks of 512 or 1024 bytes.
    let mut server = settings.start_without_log(&["sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\""]);
    wait_until("lines and a write to fail", || {
        visit(&server);
        server.count("log_lines_dropped_total") > 0 && server.count("resume_store_failures_total") > 0
    });
    server.assert_healthy();
    server.terminate();
    assert!(fs::metadata(&log).expect("a log").len() <= 1024);
}

#[test]
fn a_log_whose_reader_is_gone_costs_lines_alone() {
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
    // It can't be opened again without a reader, and the server does not wait for one.
    server.signal(Signal::SIGHUP);
    wait_until("the line about it", || server.count("log_lines_dropped_total") > dropped);
    server.assert_healthy();
    server.terminate();
}
