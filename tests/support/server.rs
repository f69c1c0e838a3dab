//! The server as a separate process, started with the settings of a test.

use std::fmt::{Display, Write as _};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::process::send_signal;
use super::wait::wait_until;
use super::{DEADLINE, folder, http, proc};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_pixi-game-server");

/// Environment variables that the server inherits. Any other variable would make tests depend on the machine.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"];

/// Text before the address in the last line of a start, which reports the public listener.
const LISTENING: &str = "listening on http://";

/// Text before the address that serves the metrics, in the same line.
const METRICS: &str = ", metrics at http://";

/// Log lines shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

/// A `PATH` with the program under test first and the system folders last.
pub fn path_with_program() -> String {
    let folder = Path::new(PROGRAM).parent().expect("a file has a folder");
    format!("{}:{}:/usr/sbin:/sbin", folder.display(), env::var("PATH").expect("a PATH"))
}

/// A command that runs the program under test without inherited settings.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear();
    for name in KEPT_VARIABLES {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Environment variables of a server under test.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Loopback, an ephemeral port, and defaults for everything else.
    pub fn new() -> Settings {
        Settings::default().set("HOST", "127.0.0.1").set("PORT", 0)
    }

    pub fn set(mut self, name: &str, value: impl Display + Copy) -> Settings {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn spawn_at(self, x: u16, y: u16) -> Settings {
        self.spawn_within(x, x + 1, y, y + 1)
    }

    pub fn spawn_anywhere(self) -> Settings {
        self.spawn_within(0, 2_000, 0, 2_000)
    }

    fn spawn_within(self, min_x: u16, max_x: u16, min_y: u16, max_y: u16) -> Settings {
        self.set("SPAWN_MIN_X", min_x)
            .set("SPAWN_MAX_X", max_x)
            .set("SPAWN_MIN_Y", min_y)
            .set("SPAWN_MAX_Y", max_y)
    }

    /// The command that starts a server with these settings.
    pub fn command(&self) -> Command {
        let mut command = program();
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The command that starts the server through a wrapper, whose last argument becomes the program.
    pub fn command_through(&self, wrapper: &[&str]) -> Command {
        let own = self.command();
        let Some((first, rest)) = wrapper.split_first() else { return own };
        let mut command = Command::new(first);
        command.args(rest).arg(PROGRAM).env_clear();
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Starts a server and waits until it listens.
    pub fn start(&self) -> Server {
        Server::run(self.command())
    }

    /// Starts a server that logs to a file and waits until it listens.
    pub fn start_logging_to(self, file: &Path) -> Server {
        Server::run_logging_to(self.set("LOG_FILE", file.to_str().expect("UTF-8")).command(), file)
    }

    /// Starts a server through a wrapper command, and waits until it listens.
    pub fn start_through(&self, wrapper: &[&str]) -> Server {
        Server::run(self.command_through(wrapper))
    }

    /// Starts a server whose site is `/file.bin`, of this length.
    pub fn start_with_file(self, name: &str, length: usize) -> Server {
        let site = folder(name);
        std::fs::write(site.join("file.bin"), vec![7; length]).expect("a file");
        self.set("STATIC_DIR", site.to_str().expect("UTF-8")).start()
    }

    /// Starts a server whose log is not on standard error, and waits until it listens.
    pub fn start_without_log(&self, wrapper: &[&str]) -> Server {
        Server::run_without_log(self.command_through(wrapper))
    }
}

/// A running server. It is killed on drop, and its log is printed if the test fails.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    pub fn start() -> Server {
        Settings::new().start()
    }

    /// Runs a command that becomes a server, and waits until it listens.
    pub fn run(command: Command) -> Server {
        let (mut child, log, ready) = spawn(command);
        match ready.recv_timeout(DEADLINE) {
            Ok(address) => Server { child, address, log },
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("the server's status");
                panic!("the server ended before it listened ({status}):\n{}", tail(&log))
            }
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not log its address:\n{}", tail(&log))
            }
        }
    }

    /// Runs a command that becomes a server and logs to a file.
    pub fn run_logging_to(command: Command, file: &Path) -> Server {
        let (child, log, _ready) = spawn(command);
        let mut address = None;
        wait_until("the server's address in its log", || {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            address = text.lines().find_map(address_in);
            address.is_some()
        });
        Server { child, address: address.expect("waited for"), log }
    }

    /// Runs a server that logs no address on standard error; reads the address from `/proc`.
    fn run_without_log(command: Command) -> Server {
        let (mut child, log, _ready) = spawn(command);
        let start = Instant::now();
        loop {
            if let Some(address) = proc::listening_address(child.id()) {
                return Server { child, address, log };
            }
            if let Some(status) = child.try_wait().expect("the server's status") {
                panic!("the server ended before it listened ({status}):\n{}", tail(&log));
            }
            assert!(start.elapsed() < DEADLINE, "the server does not listen");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Address of the admin listener, if `ADMIN_ADDR` is set.
    pub fn admin_address(&self) -> SocketAddr {
        let log = self.log();
        let (_, rest) = log.split_once(METRICS).expect("the log contains the admin address");
        rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address and a port")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("the log lock is never poisoned").join("\n")
    }

    pub fn descriptors(&self) -> usize {
        proc::descriptors(self.pid())
    }

    pub fn resident_bytes(&self) -> u64 {
        proc::resident_bytes(self.pid())
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Exit status, or `None` while the server runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the server's status")
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "the server did not exit");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends SIGTERM, and asserts that the server exits with status 0.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    pub fn assert_healthy(&self) {
        assert_eq!(http::get(self.address, "/health").status, 200);
    }

    pub fn wait_for_players(&self, count: u64) {
        wait_until(&format!("{count} players"), || self.count("players") == count);
    }

    pub fn wait_for_log(&self, words: &str) {
        wait_until(&format!("a log line with {words:?}"), || self.log().contains(words));
    }

    pub fn metrics(&self) -> Value {
        metrics_at(self.address)
    }

    pub fn admin_metrics(&self) -> Value {
        metrics_at(self.admin_address())
    }

    /// One counter of `/metrics`.
    pub fn count(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        metrics[name].as_u64().unwrap_or_else(|| panic!("{name} is not a counter in {metrics}"))
    }

    /// Reconnects so far with this outcome.
    pub fn reconnects(&self, outcome: &str) -> u64 {
        let metrics = self.metrics();
        metrics["resumes"][outcome].as_u64().unwrap_or_else(|| panic!("no {outcome} in {metrics}"))
    }

    pub fn protocol_errors(&self) -> u64 {
        sum(&self.metrics()["protocol_errors"])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the server's log ----\n{}", tail(&self.log));
        }
    }
}

/// Returns current metrics. The server caches its rendering for a fraction of a second, so this repeats the
/// request until a tick has passed since the first response was rendered.
fn metrics_at(address: SocketAddr) -> Value {
    let ask = || -> Value {
        let response = http::get(address, "/metrics");
        assert_eq!(response.status, 200, "/metrics: {response:?}");
        serde_json::from_slice(&response.body).expect("/metrics is JSON")
    };
    let first = ask();
    loop {
        let later = ask();
        if later["ticks_total"] != first["ticks_total"] {
            return later;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn sum(object: &Value) -> u64 {
    let counts = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    counts.values().map(|count| count.as_u64().expect("a count")).sum()
}

/// Starts a program, and a thread that collects its log and sends the address once it is logged.
fn spawn(mut command: Command) -> (Child, Log, Receiver<SocketAddr>) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the server's program starts");
    let stderr = child.stderr.take().expect("standard error is piped");
    let (log, (send, ready)) = (Log::default(), channel());
    let lines = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { return };
            let address = address_in(&line);
            lines.lock().expect("the log lock is never poisoned").push(line);
            if let Some(address) = address {
                let _ = send.send(address);
            }
        }
    });
    (child, log, ready)
}

/// The address in the log line that reports the public listener.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | '/' | '"')).next()?.parse().ok()
}

fn tail(log: &Mutex<Vec<String>>) -> String {
    let lines = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN);
    let mut text = String::new();
    for line in &lines[skipped..] {
        let _ = writeln!(text, "{line}");
    }
    text
}
