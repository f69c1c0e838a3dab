//! `demo.sh`: its output, and that it leaves no process behind.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::process::{output_text, send_signal, with_default_signals};
use crate::support::server::PROGRAM;
use crate::support::wait::wait_until;
use crate::support::{folder, free_port, proc};

fn demo(port: u16, report: &Path) -> Command {
    let programs = Path::new(PROGRAM).parent().expect("a file has a folder");
    assert!(
        programs.join("loadtest").exists(),
        "the workspace's programs are built by `cargo test --workspace`"
    );
    let mut command = with_default_signals(concat!(env!("CARGO_MANIFEST_DIR"), "/demo.sh"));
    command.env("DEMO_BIN", programs).env("DEMO_REPORT", report).env("PORT", port.to_string());
    command.env("DEMO_CLIENTS", "20").env("DEMO_SECONDS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether the demo has started its load test.
fn is_under_load(demo: &Child) -> bool {
    proc::children(demo.id()).into_iter().any(|child| proc::name(child) == "loadtest")
}

/// Starts a demo and waits for its load test.
fn running(name: &str) -> (Child, u16, PathBuf) {
    let (port, report) = (free_port(), folder(name).join("demo.html"));
    let child = demo(port, &report).env("DEMO_SECONDS", "600").spawn().expect("the script starts");
    wait_until("the load test", || is_under_load(&child));
    (child, port, report)
}

#[test]
fn the_demo_prints_figures_and_writes_a_report() {
    let (port, report) = (free_port(), folder("demo").join("demo.html"));
    let output = demo(port, &report).output().expect("the script runs");
    let text = output_text(&output);
    assert!(output.status.success(), "{text}");
    for words in ["20 players join", "ack", "ticks_total", "Report with charts: "] {
        assert!(text.contains(words), "{words:?} is missing: {text}");
    }
    assert!(fs::read_to_string(&report).expect("the report").contains("<html"));
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the server is gone");
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let output = demo(port, &folder("demo-taken").join("demo.html")).output().expect("the script runs");
    let text = output_text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("demo.sh: port {port} is taken; choose another: PORT=")), "{text}");
}

#[test]
fn a_signal_leaves_no_process_running() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let (child, port, _) = running(&format!("demo-{signal}"));
        send_signal(child.id(), signal);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(status), "{}", output_text(&output));
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the server is gone after {signal}");
    }
}

#[test]
fn invalid_numbers_are_named() {
    for (variable, value, allowed) in [
        ("DEMO_CLIENTS", "0", "1 to 19000"),
        ("DEMO_SECONDS", "1m", "1 to 3600"),
        ("PORT", "-1", "1 to 65535"),
    ] {
        let output = demo(1, Path::new("/nowhere")).env(variable, value).output().expect("the script runs");
        assert_eq!(output.status.code(), Some(2), "{}", output_text(&output));
        let problem = format!("demo.sh: {variable}={value}: expected a whole number from {allowed}");
        assert!(output_text(&output).contains(&problem), "{}", output_text(&output));
    }
}

#[test]
fn a_folder_without_the_programs_and_a_report_without_a_place_are_named() {
    for (variable, value, allowed) in [
        ("DEMO_BIN", "/nowhere", "a folder with the programs pixi-game-server and loadtest"),
        ("DEMO_BIN", "/bin", "a folder with the programs pixi-game-server and loadtest"),
        ("DEMO_REPORT", "/proc/demo/report.html", "a file that can be written"),
        ("DEMO_REPORT", "/proc", "a file that can be written"),
        ("DEMO_REPORT", "/tmp/pixi-game-demo/", "a file that can be written"),
        ("DEMO_REPORT", "/dev/full", "a file that can be written"),
    ] {
        let report = folder("demo-named").join("demo.html");
        let output = demo(1, &report).env(variable, value).output().expect("the script runs");
        let problem = format!("demo.sh: {variable}={value}: expected {allowed}\n");
        assert_eq!((output.status.code(), output_text(&output)), (Some(2), problem));
    }
}
