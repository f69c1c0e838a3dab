//! Every target of the Makefile, run as a user runs it, with the programs built for the tests. Stubs for
//! cargo, docker and similar programs only print their arguments, and no browser is started. A target that
//! takes minutes gets an invalid setting, which its last program must report.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::http::get;
use crate::support::process::{output_text, send_signal, stderr_text, with_default_signals, write_script};
use crate::support::server::PROGRAM;
use crate::support::wait::wait_until;
use crate::support::{Server, folder, free_port, proc};

/// Programs replaced by a stub that prints its arguments.
const STUBBED: [&str; 4] = ["cargo", "docker", "cargo-deny", "cargo-fuzz"];

/// An environment to run targets in.
struct Environment {
    folder: PathBuf,
    server: Server,
}

impl Environment {
    fn new(name: &str) -> Environment {
        let folder = folder(name);
        let built = Path::new(PROGRAM).parent().expect("a file has a folder");
        fs::create_dir(folder.join("target")).expect("a folder");
        for profile in ["release", "profiling", "debug"] {
            symlink(built, folder.join("target").join(profile)).expect("a link");
        }
        fs::create_dir(folder.join("bin")).expect("a folder");
        for name in STUBBED {
            write_script(&folder.join("bin").join(name), "#!/bin/sh\necho \"NOTED ${0##*/} $*\"\n");
        }
        Environment { folder, server: Server::start() }
    }

    /// `PATH` with the stubs first.
    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.folder.join("bin").display())
    }

    fn make(&self, line: &str) -> Command {
        let mut command = Command::new("make");
        command
            .arg("--no-print-directory")
            .args(line.split(' ').map(|word| word.replace('+', " ")))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("PATH", self.path());
        command.env("PAGE_TESTS", "echo NOTED the pages");
        command.env("CARGO_TARGET_DIR", self.folder.join("target"));
        for inherited in ["CARGO", "MAKEFLAGS", "MAKELEVEL", "PORT", "RUSTDOCFLAGS", "RUST_TEST_THREADS"] {
            command.env_remove(inherited);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a target. A `+` in its arguments is a space within a word; SERVER is a running server's address.
    fn run(&self, line: &str) -> (Output, String) {
        let line = line.replace("SERVER", &format!("SERVER={}", self.server.address()));
        let output = self.make(&line).env("PORT", free_port().to_string()).output().expect("make runs");
        let text = output_text(&output);
        (output, text)
    }
}

/// Targets and their expected output. They must succeed, unless the output is an error.
const TARGETS: [(&str, &str); 40] = [
    ("help", "make run"),
    ("dev", "NOTED cargo run"),
    ("build", "NOTED cargo build --workspace --all-targets"),
    ("build-release", "NOTED cargo build --release"),
    ("test", "NOTED cargo test --workspace --no-fail-fast"),
    ("check", "NOTED cargo doc --workspace --no-deps --document-private-items --features"),
    ("fmt", "NOTED cargo fmt --all"),
    (
        "lint",
        "NOTED cargo clippy --workspace --all-targets --features pixi-game-server/profile-mem -- -D warnings",
    ),
    ("doc", "NOTED cargo doc --workspace --no-deps --document-private-items --features"),
    ("bench", "NOTED cargo bench"),
    ("clean", "NOTED cargo clean"),
    ("deny", "NOTED cargo deny"),
    ("fuzz FUZZ_SECONDS=1", "NOTED cargo fuzz run"),
    ("docker", "NOTED docker build --tag pixi-game-server:latest ."),
    ("docker-run PORT=9000", "--publish 9000:8108"),
    ("compose-up", "NOTED docker compose up --build --detach --wait"),
    ("compose-down", "NOTED docker compose down"),
    ("health SERVER", "\"status\":\"healthy\""),
    ("metrics SERVER", "ticks per second"),
    ("tune PLAYERS=100", "somaxconn"),
    ("test-protocol SERVER", "22 of 22 that the client needs"),
    ("load-test LOAD=--clients=5+--duration=1s+--warm-up=100ms", "nothing was lost or wrong"),
    ("load-test LOAD=--clients=many", "--clients many: expected"),
    ("demo DEMO_CLIENTS=many", "DEMO_CLIENTS=many: expected"),
    ("bench-load ROWS=z", "ROWS=z: expected"),
    ("bench-hostile PAIRS=0", "PAIRS=0: expected"),
    ("bench-amplification VIEWERS=0", "VIEWERS=0: expected"),
    ("bench-pairs PAIRS=0", "PAIRS=0: expected"),
    ("bench-cluster PARTS=all", "PARTS=all: expected"),
    ("bench-cores PAIRS=0", "PAIRS=0: expected"),
    ("bench-operators PAIRS=0", "PAIRS=0: expected"),
    ("bench-takeover TAKEOVERS=0", "TAKEOVERS=0: expected"),
    ("cluster-demo PORT=0", "PORT=0: expected"),
    ("cluster-demo PROCESSES=2 LOAD=--clients=20+--duration=1s+--warm-up=100ms", "nothing was lost or wrong"),
    ("soak SOAK_DURATION=never", "SOAK_DURATION=never: expected"),
    ("monitor SERVER=nowhere:x", "nowhere:x"),
    ("perf-check RUNS=0", "RUNS=0: expected"),
    ("profile-cpu PROFILE_SECONDS=0", "PROFILE_SECONDS=0: expected"),
    ("profile-mem PROFILE_SECONDS=0", "PROFILE_SECONDS=0: expected"),
    ("uninstall DESTDIR=ROOT", ""),
];

/// Targets tested elsewhere: in `install`, in `package`, in tests below, with Artillery's players, by `make test`, or by
/// hand (one of these installs a program, and one measures the speed of a browser).
const ELSEWHERE: [&str; 10] = [
    "install", "deb", "run", "takeover", "sbom", "artillery-test", "artillery-quick", "test-page",
    "test-systemd", "bench-page",
];

/// Threads that run targets, most of which wait.
const THREADS: usize = 4;

fn works(environment: &Environment, line: &str, words: &str) {
    let line = line.replace("ROOT", &environment.folder.display().to_string());
    let (output, text) = environment.run(&line);
    assert!(text.contains(words), "make {line}: {words:?} is missing:\n{text}");
    let complains = words.contains(": expected") || words == "nowhere:x";
    assert_eq!(output.status.success(), !complains, "make {line}: {}\n{text}", output.status);
}

#[test]
fn every_target_works() {
    let environment = Environment::new("targets");
    let next = Mutex::new(TARGETS.iter());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((line, words)) = take() {
                    works(&environment, line, words);
                }
            });
        }
    });
}

#[test]
fn every_target_has_help_and_a_test() {
    let makefile =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile")).expect("the Makefile");
    let (_, rest) = makefile.split_once(".PHONY: ").expect("a list of targets");
    let (names, _) = rest.split_once("\n\n").expect("the end of the list");
    let names: BTreeSet<&str> = names.split_whitespace().filter(|name| *name != "\\").collect();
    let tried: BTreeSet<&str> =
        TARGETS.iter().map(|(line, _)| line.split(' ').next().unwrap_or_default()).chain(ELSEWHERE).collect();
    assert_eq!(names, tried);
    let (_, help) = Environment::new("help").run("help");
    for name in names {
        assert!(help.lines().any(|line| line.split_whitespace().nth(1) == Some(name)), "{name} has no help");
    }
}

#[test]
fn make_run_builds_and_serves_and_make_takeover_continues() {
    let environment = Environment::new("run");
    let port = free_port();
    let start = |target| {
        let mut command = environment.make(target);
        command.env("PORT", port.to_string()).env("HOST", "127.0.0.1");
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("make runs")
    };
    let mut first = start("run");
    let address = ([127, 0, 0, 1], port).into();
    wait_until("the server", || std::net::TcpStream::connect(address).is_ok());
    assert_eq!(get(address, "/health").status, 200);
    let mut child = start("takeover");
    assert!(first.wait().expect("make ends").success());
    assert_eq!(get(address, "/health").status, 200);
    let [server] = proc::children(child.id())[..] else { panic!("make has one child") };
    send_signal(server, Signal::SIGTERM);
    child.wait().expect("make ends");
}

#[test]
fn a_port_in_use_is_named() {
    let environment = Environment::new("taken");
    let port = environment.server.address().port().to_string();
    let output =
        environment.make("load-test LOAD=--duration+1s").env("PORT", &port).output().expect("make runs");
    assert_eq!(output.status.code(), Some(2), "of make");
    let text = stderr_text(&output);
    assert!(
        text.starts_with(&format!("with-server.sh: port {port} is taken; choose another: PORT=")),
        "{text}"
    );
    assert_eq!(
        environment.server.metrics()["connections"]["upgraded_total"],
        0,
        "no client may connect to the other server"
    );
}

#[test]
fn a_signal_to_the_script_ends_the_server_and_the_command() {
    let environment = Environment::new("with-server");
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let started = environment.folder.join(format!("started-{signal}"));
        // Not as a child of the shell, which ignores SIGINT if the program that it waits for survives it.
        let beside = format!("echo $$ $SERVER_PID >'{}'; exec sleep 600", started.display());
        let mut command = with_default_signals("tools/with-server.sh");
        command
            .args(["sh", "-c", &beside])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", environment.path());
        command
            .env("CARGO_TARGET_DIR", environment.folder.join("target"))
            .env("PORT", free_port().to_string());
        let script = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut script = script.expect("the script starts");
        let is_complete = || fs::read_to_string(&started).is_ok_and(|pids| pids.ends_with('\n'));
        wait_until("the wrapped command to start", is_complete);
        send_signal(script.id(), signal);
        assert!(!script.wait().expect("it ends").success());
        for pid in fs::read_to_string(&started).expect("process ids").split_whitespace() {
            wait_until("the process to exit", || !proc::exists(pid.parse().expect("a process id")));
        }
    }
}
