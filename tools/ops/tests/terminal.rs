//! The dashboard on a real terminal: its end on a closed terminal or a signal, slow servers, and the table of players.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, LocalFlags, tcflow, tcgetattr};
use nix::unistd::Pid;

use crate::PROGRAM;

/// Longest wait for an expected event.
const DEADLINE: Duration = Duration::from_secs(30);

/// Longest CPU time of a short run, in the kernel's hundredths of a second.
const TICKS_MAX: u64 = 50;

/// A monitor on its own terminal.
struct TestTerminal {
    /// The user's side of the terminal.
    master: Option<File>,
    slave: File,
    child: Child,
    seen: String,
}

impl TestTerminal {
    /// Starts the monitor through `starter`, which gets the program and its flags as its last arguments.
    fn open(starter: &[&str], server: &str) -> TestTerminal {
        TestTerminal::with(starter, &["--server", server], ["24", "80"])
    }

    /// Starts it with these flags, on a terminal with these numbers of rows and columns.
    fn with(starter: &[&str], flags: &[&str], [rows, columns]: [&str; 2]) -> TestTerminal {
        // Close-on-exec: a side inherited by another test's program would keep the terminal open.
        let modes = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(modes).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let path = ptsname_r(&master).expect("its name");
        let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(path);
        let slave = slave.expect("its other side");
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let sized = Command::new("stty").args(["rows", rows, "cols", columns]).stdin(side()).status();
        assert!(sized.expect("stty runs").success());
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).args([PROGRAM, "monitor"]).args(flags);
        command.env_remove("SERVER").env_remove("INTERVAL").stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().expect("it starts");
        // Dropping the command closes its copies of the terminal.
        drop(command);
        TestTerminal { master: Some(OwnedFd::from(master).into()), slave, child, seen: String::new() }
    }

    /// Starts it with a controlling terminal, so that the kernel sends SIGHUP when the terminal closes.
    fn usual(server: &str) -> TestTerminal {
        TestTerminal::open(&["setsid", "--ctty"], server)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until these words have been drawn.
    fn see(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.seen.contains(words) {
            assert!(Instant::now() < deadline, "{words:?} is missing: {:?}", self.seen);
            self.look();
        }
    }

    /// Waits until these words are drawn contiguously: each time it continues, it draws the whole screen.
    fn see_whole(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.seen.clear();
            kill(self.pid(), Signal::SIGCONT).expect("it is there");
            for _ in 0..10 {
                self.look();
            }
            if self.seen.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "{words:?} is missing: {:?}", self.seen);
        }
    }

    /// Reads drawn output, if there is any within 20 ms.
    fn look(&mut self) {
        let Some(master) = &mut self.master else { return };
        let mut watched = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, PollTimeout::from(20u8)).expect("a poll") == 0 {
            return;
        }
        let mut bytes = [0; 16_384];
        if let Ok(count) = master.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.as_mut().expect("it is open").write_all(keys).expect("it takes keys");
    }

    /// Returns state and CPU time of the process, from `/proc/PID/stat`.
    fn stat(&self) -> (char, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is not reaped");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<u64>().expect("a count");
        (fields[0].chars().next().expect("a state"), ticks(11) + ticks(12))
    }

    fn wait_for_state(&mut self, wanted: char) -> u64 {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (state, ticks) = self.stat();
            if state == wanted {
                return ticks;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("the monitor is in state {state} instead of {wanted}, after {ticks} ticks");
            }
            self.look();
        }
    }

    /// Waits for the process to end. Returns its exit status and CPU time.
    fn end(&mut self) -> (ExitStatus, u64) {
        // Its CPU time is available until it is reaped.
        let ticks = self.wait_for_state('Z');
        self.look();
        (self.child.wait().expect("it has ended"), ticks)
    }

    /// Whether the terminal is back in line mode.
    fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("its modes").local_flags;
        modes.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

/// A server that responds with one byte a second, endlessly.
fn slow_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                while stream.write_all(b"H").is_ok() {
                    thread::sleep(Duration::from_secs(1));
                }
            });
        }
    });
    address
}

#[test]
fn a_closed_terminal_ends_it() {
    // With SIGHUP from the kernel, without it, and with the signal ignored.
    let ignoring = ["env", "--ignore-signal=HUP", "setsid", "--ctty"];
    for starter in [&["setsid", "--ctty"][..], &["setsid"], &ignoring] {
        let mut terminal = TestTerminal::open(starter, "127.0.0.1:1");
        terminal.see("UNREACHABLE");
        terminal.master = None;
        let (status, ticks) = terminal.end();
        assert_eq!(status.code(), Some(129), "{starter:?}: {status}");
        assert!(ticks < TICKS_MAX, "{starter:?}: {ticks} ticks");
    }
}

#[test]
fn signals_end_it_with_a_slow_server_and_restore_the_terminal() {
    let server = slow_server().to_string();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = TestTerminal::usual(&server);
        terminal.see("no response yet");
        kill(terminal.pid(), signal).expect("it is there");
        let (status, ticks) = terminal.end();
        assert_eq!(status.code(), Some(128 + signal as i32), "{signal}");
        assert!(terminal.is_restored(), "{signal}: raw mode is left on");
        assert!(
            terminal.seen.contains("\x1b[?1049l") && terminal.seen.contains("\x1b[?25h"),
            "{signal}: {:?}",
            terminal.seen
        );
        assert!(ticks < TICKS_MAX, "{signal}: {ticks} ticks");
    }
}

#[test]
fn a_signal_ends_it_while_the_terminal_is_stopped() {
    let mut terminal = TestTerminal::usual("127.0.0.1:1");
    terminal.see("UNREACHABLE");
    tcflow(&terminal.slave, FlowArg::TCOOFF).expect("Ctrl-S");
    // The key changes the drawing, so that the next draw blocks on the terminal.
    terminal.press(b"p");
    kill(terminal.pid(), Signal::SIGTERM).expect("it is there");
    let (status, _) = terminal.end();
    assert_eq!(status.code(), Some(143));
    assert!(terminal.is_restored());
}

#[test]
fn keys_work_while_a_server_is_slow() {
    let mut terminal = TestTerminal::usual(&slow_server().to_string());
    terminal.see("no response yet");
    terminal.press(b"p");
    terminal.see("PAUSED");
    terminal.press(b"p");
    terminal.see("the response timed out");
    terminal.press(b"\x1b[Aq");
    assert_eq!(terminal.end().0.code(), Some(0));
    assert!(terminal.is_restored());
}

#[test]
fn it_can_be_suspended_and_continued() {
    // Through a shell: without one that could continue it, the kernel does not stop it.
    let mut terminal = TestTerminal::open(
        &["setsid", "--ctty", "sh", "-mc", "\"$@\"; kill -STOP $$; fg >/dev/null", "sh"],
        "127.0.0.1:1",
    );
    terminal.see("UNREACHABLE");
    terminal.press(b"\x1a");
    terminal.wait_for_state('T');
    assert!(terminal.is_restored(), "the shell has its terminal while the monitor is stopped");
    terminal.seen.clear();
    kill(terminal.pid(), Signal::SIGCONT).expect("it is there");
    terminal.see("UNREACHABLE");
    assert!(!terminal.is_restored(), "it reads keys again");
    terminal.press(b"\x03");
    assert_eq!(terminal.end().0.code(), Some(0));
    assert!(terminal.is_restored());
}

#[test]
fn a_signal_received_while_stopped_ends_it() {
    let mut terminal = TestTerminal::usual("127.0.0.1:1");
    terminal.see("UNREACHABLE");
    kill(terminal.pid(), Signal::SIGSTOP).expect("it is there");
    terminal.wait_for_state('T');
    kill(terminal.pid(), Signal::SIGTERM).expect("it is there");
    kill(terminal.pid(), Signal::SIGCONT).expect("it is there");
    assert_eq!(terminal.end().0.code(), Some(143));
    assert!(terminal.is_restored());
}

/// A path for a control socket. An earlier run leaves one there.
fn socket(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("sock");
    let _ = fs::remove_file(&path);
    path
}

/// A server with this control socket, behind a trusted proxy.
fn controlled_server(socket: &Path) -> SocketAddr {
    let socket = socket.to_str().expect("UTF-8").to_owned().leak();
    crate::server::serve(vec![("CONTROL_SOCKET", &*socket), ("TRUSTED_PROXIES", "127.0.0.1")].leak())
}

/// A player whose address is reported by the proxy.
fn join(server: SocketAddr, address: &str) -> TcpStream {
    let mut player = TcpStream::connect(server).expect("a connection");
    player.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {server}\r\nX-Forwarded-For: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    player.write_all(request.as_bytes()).expect("it takes the request");
    read_until(&mut player, b"HTTP/1.1 101");
    player
}

/// Reads until these bytes were received.
fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let (mut received, mut buffer) = (Vec::new(), [0; 1_024]);
    while !received.windows(wanted.len()).any(|bytes| bytes == wanted) {
        let count = stream.read(&mut buffer).expect("it is not silent");
        assert!(count > 0, "{:?} ended without {wanted:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn a_player_is_kicked_and_an_address_is_banned() {
    let socket = socket("players");
    let server = controlled_server(&socket);
    let flags = ["--server", &server.to_string(), "--control", socket.to_str().expect("UTF-8")];
    for (size, last) in [(["24", "80"], 7), (["60", "200"], 8)] {
        let (kicked, banned) = (format!("198.51.100.{last}"), format!("203.0.113.{last}"));
        let mut players = [&banned, &kicked].map(|address| join(server, address));
        let mut terminal = TestTerminal::with(&["setsid", "--ctty"], &flags, size);
        terminal.press(b"l");
        terminal.see_whole(&kicked);
        assert!(terminal.seen.contains(&banned), "{:?}", terminal.seen);
        assert_eq!(terminal.seen.contains("governor"), last == 8, "figures are beside it if it is wide");
        terminal.press(b"/198.51.100.0/24\r");
        terminal.see_whole("x kick");
        let deadline = Instant::now() + DEADLINE;
        while terminal.seen.contains(&banned) {
            assert!(Instant::now() < deadline, "it is not filtered: {:?}", terminal.seen);
            terminal.see_whole(&kicked);
        }
        terminal.press(b"x");
        terminal.see_whole(&format!("of {kicked}? y/n"));
        terminal.press(b"y");
        read_until(&mut players[1], b"\x03\xf0kicked by an operator");
        terminal.see_whole("kicked player ");
        terminal.press(b"/\r");
        terminal.see_whole(&banned);
        terminal.press(b"b");
        terminal.see_whole(&format!("ban {banned} of player "));
        terminal.press(b"y");
        read_until(&mut players[0], b"\x03\xf0banned");
        terminal.see_whole(&format!("banned {banned} for 1 h, and kicked its players: 1"));
        terminal.press(b"\x1b");
        terminal.see_whole("l players");
        terminal.press(b"q");
        assert_eq!(terminal.end().0.code(), Some(0));
    }
}

#[test]
fn a_control_socket_that_is_not_the_servers_is_named() {
    let (other, broken) = (socket("other"), socket("broken"));
    let port = controlled_server(&other).port();
    let listener = UnixListener::bind(&broken).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream.write_all(b"{\"version\":1,\"error\":\"\\u001b[2J\"}\n");
        }
    });
    for (server, socket, problem) in [
        ("127.0.0.1:1", Path::new("/nowhere"), "no server answers at /nowhere".to_owned()),
        ("127.0.0.1:1", &other, format!(" belongs to port {port}; see --control")),
        ("127.0.0.1:1", &broken, "no players: \\u{1b}[2J".to_owned()),
        ("192.0.2.1:1", &other, "the server is on another machine".to_owned()),
    ] {
        let flags = ["--server", server, "--control", socket.to_str().expect("UTF-8")];
        let mut terminal = TestTerminal::with(&["setsid", "--ctty"], &flags, ["24", "200"]);
        terminal.see("l players");
        terminal.press(b"l");
        terminal.see_whole(&problem);
        terminal.press(b"q");
        assert_eq!(terminal.end().0.code(), Some(0));
    }
}
