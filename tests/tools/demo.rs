//! `demo.sh`: what it shows, and that it leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::pump::wait_until;
use crate::support::server::PROGRAM;
use crate::support::{folder, free_port};

fn demo(port: u16, report: &Path) -> Command {
    let programs = Path::new(PROGRAM).parent().expect("a file has a folder");
    assert!(
        programs.join("loadtest").exists(),
        "the workspace's programs are built by `cargo test --workspace`"
    );
    // Tests that run in the background ignore some of the signals, and a shell can't trap what it was started to ignore.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo.sh"));
    command.env("DEMO_BIN", programs).env("DEMO_REPORT", report).env("PORT", port.to_string());
    command.env("DEMO_CLIENTS", "20").env("DEMO_SECONDS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Processes below this one that run, with their names.
fn children(pid: u32) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let name = |child: &str| fs::read_to_string(format!("/proc/{child}/comm")).ok();
    list.split_whitespace().filter_map(name).map(|name| name.trim().to_owned()).collect()
}

/// A demo whose load test runs.
fn running(name: &str) -> (Child, u16, PathBuf) {
    let (port, report) = (free_port(), folder(name).join("demo.html"));
    let child = demo(port, &report).env("DEMO_SECONDS", "600").spawn().expect("the script starts");
    wait_until("the load test", || children(child.id()).contains(&"loadtest".to_owned()));
    (child, port, report)
}

#[test]
fn it_shows_figures_and_writes_a_report() {
    let (port, report) = (free_port(), folder("demo").join("demo.html"));
    let output = demo(port, &report).output().expect("the script runs");
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for words in ["20 players come", "ack", "ticks_total", "The report with its charts: "] {
        assert!(said.contains(words), "{words:?} is missing: {said}");
    }
    assert!(fs::read_to_string(&report).expect("the report").contains("<html"));
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the server is gone");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let output = demo(port, &folder("demo-taken").join("demo.html")).output().expect("the script runs");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("demo.sh: port {port} is taken; choose another: PORT=")), "{said}");
}

#[test]
fn a_signal_in_the_middle_leaves_nothing_running() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let (child, port, _) = running(&format!("demo-{signal}"));
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(status), "{}", said(&output));
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the server is gone after {signal}");
    }
}

#[test]
fn wrong_figures_are_named() {
    for (variable, value, allowed) in [
        ("DEMO_CLIENTS", "0", "1 to 19000"),
        ("DEMO_SECONDS", "1m", "1 to 3600"),
        ("PORT", "-1", "1 to 65535"),
    ] {
        let output = demo(1, Path::new("/nowhere")).env(variable, value).output().expect("the script runs");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let problem = format!("demo.sh: {variable}={value}: expected a whole number from {allowed}");
        assert!(said(&output).contains(&problem), "{}", said(&output));
    }
}
