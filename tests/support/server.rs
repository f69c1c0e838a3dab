//! The server as a process of its own, started with the settings a test needs.

use std::fmt::{Display, Write as _};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::process::send_signal;
use super::wait::wait_until;
use super::{DEADLINE, http, proc};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_pixi-game-server");

/// Variables of the surroundings the server process keeps; all others would make tests depend on the machine.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"];

/// The words before the address in the log line that says the server is ready.
const LISTENING: &str = "listening on http://";

/// The words before the address in the log line about the operators' listener.
const METRICS_AT: &str = "metrics are served on http://";

/// Log lines shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

/// A search path on which the program under test comes first, and those of administrators last.
pub fn path_with_program() -> String {
    let folder = Path::new(PROGRAM).parent().expect("a file has a folder");
    format!("{}:{}:/usr/sbin:/sbin", folder.display(), env::var("PATH").expect("a PATH"))
}

/// A command of the server's program without any setting from the surroundings.
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

/// The environment a server is started with.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Loopback, any free port, everything else as it comes.
    pub fn new() -> Settings {
        Settings::default().set("HOST", "127.0.0.1").set("PORT", 0)
    }

    /// Sets one variable.
    pub fn set(mut self, name: &str, value: impl Display + Copy) -> Settings {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Lets everybody spawn at one point.
    pub fn spawn_at(self, x: u16, y: u16) -> Settings {
        self.spawn_within(x, x + 1, y, y + 1)
    }

    /// Lets players spawn anywhere in the world.
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

    /// The command that starts a server through another one, which ends its words with the program to become.
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

    /// Starts a server through another command and waits until it listens.
    pub fn start_through(&self, wrapper: &[&str]) -> Server {
        Server::run(self.command_through(wrapper))
    }

    /// Starts a server whose log goes elsewhere, and waits until it listens.
    pub fn start_without_log(&self, wrapper: &[&str]) -> Server {
        Server::run_without_log(self.command_through(wrapper))
    }
}

/// A running server. Dropped, it is killed; its log is printed if the test fails.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server with nothing but the test's own address set.
    pub fn start() -> Server {
        Settings::new().start()
    }

    /// Starts a command that is or becomes a server, and waits until it listens.
    pub fn run(mut command: Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server's program starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let ready = follow(stderr, Arc::clone(&log));
        match ready.recv_timeout(DEADLINE) {
            Ok(address) => Server { child, address, log },
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("the server's status");
                panic!("the server ended before it listened ({status}):\n{}", tail(&log))
            }
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not say where it listens:\n{}", tail(&log))
            }
        }
    }

    /// Starts a command that is or becomes a server whose log goes to a file.
    pub fn run_logging_to(mut command: Command, file: &Path) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server's program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let _ready = follow(child.stderr.take().expect("standard error is piped"), Arc::clone(&log));
        let mut address = None;
        wait_until("the server's address in its log", || {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            address = text.lines().find_map(address_in);
            address.is_some()
        });
        Server { child, address: address.expect("waited for"), log }
    }

    /// Starts a server that does not say on standard error where it listens; the kernel knows.
    fn run_without_log(mut command: Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server's program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let _ready = follow(child.stderr.take().expect("standard error is piped"), Arc::clone(&log));
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

    /// Where operators are served, with `ADMIN_ADDR`.
    pub fn admin_address(&self) -> SocketAddr {
        let log = self.log();
        let (_, rest) = log.split_once(METRICS_AT).expect("the log tells the operators' address");
        rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address and a port")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with the log").join("\n")
    }

    /// Number of its open descriptors.
    pub fn descriptors(&self) -> usize {
        proc::descriptors(self.pid())
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        proc::resident_bytes(self.pid())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Its exit status, once it has exited.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the server's status")
    }

    /// Waits until it has exited by itself.
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

    /// Asserts that `/health` answers with 200.
    pub fn assert_healthy(&self) {
        assert_eq!(http::get(self.address, "/health").status, 200);
    }

    /// Waits until the server has this many players.
    pub fn wait_for_players(&self, count: u64) {
        wait_until(&format!("{count} players"), || self.count("players") == count);
    }

    /// Waits until the log contains these words.
    pub fn wait_for_log(&self, words: &str) {
        wait_until(&format!("a log line with {words:?}"), || self.log().contains(words));
    }

    /// `/metrics` as JSON.
    pub fn metrics(&self) -> Value {
        metrics_at(self.address)
    }

    /// `/metrics` as JSON from the operators' listener.
    pub fn admin_metrics(&self) -> Value {
        metrics_at(self.admin_address())
    }

    /// One count of `/metrics`.
    pub fn count(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        metrics[name].as_u64().unwrap_or_else(|| panic!("{name} is no count in {metrics}"))
    }

    /// Reconnects counted so far by this outcome.
    pub fn reconnects(&self, outcome: &str) -> u64 {
        let metrics = self.metrics();
        metrics["resumes"][outcome].as_u64().unwrap_or_else(|| panic!("no {outcome} in {metrics}"))
    }

    /// All protocol errors counted so far.
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

/// What is counted as of now: the server answers from a rendering that may be a fraction of a second old, so that this asks
/// until a tick has passed since the first answer was rendered.
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

/// The sum of an object's numbers.
pub fn sum(object: &Value) -> u64 {
    let counts = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    counts.values().map(|count| count.as_u64().expect("a count")).sum()
}

/// Keeps the log, and tells the address from the line that names it.
fn follow(stderr: ChildStderr, log: Arc<Mutex<Vec<String>>>) -> Receiver<SocketAddr> {
    let (send, ready) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { return };
            if let Some(address) = address_in(&line) {
                let _ = send.send(address);
            }
            log.lock().expect("nobody panics with the log").push(line);
        }
    });
    ready
}

/// The address in the line that says where the server listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    rest.split(|c: char| c.is_whitespace() || c == '/' || c == '"').next()?.parse().ok()
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
