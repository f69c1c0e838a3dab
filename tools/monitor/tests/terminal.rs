//! The dashboard on a real terminal: how it ends when the terminal goes, when a signal comes, and when a server is slow.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, LocalFlags, tcflow, tcgetattr};
use nix::unistd::Pid;

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// CPU time that a short run may cost, in the hundredths of a second that the kernel counts.
const TICKS_MAX: u64 = 50;

/// A monitor on a terminal of its own.
struct Desk {
    /// The side of the person at the terminal.
    master: Option<File>,
    slave: File,
    child: Child,
    seen: String,
}

impl Desk {
    /// Starts it by these words, which get the program and its flags as their last arguments.
    fn open(starter: &[&str], server: &str) -> Desk {
        // Closed on exec: a side that another test's program had inherited would keep the terminal alive.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let path = ptsname_r(&master).expect("its name");
        let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(path);
        let slave = slave.expect("its other side");
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let sized = Command::new("stty").args(["rows", "24", "cols", "80"]).stdin(side()).status();
        assert!(sized.expect("stty runs").success());
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).args([env!("CARGO_BIN_EXE_monitor"), "--server", server]);
        command.env_remove("SERVER").env_remove("INTERVAL").stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().expect("it starts");
        // Stdio's copies of the terminal go with the command.
        drop(command);
        Desk { master: Some(OwnedFd::from(master).into()), slave, child, seen: String::new() }
    }

    /// With the terminal as its controlling one, so that the kernel sends SIGHUP when it goes.
    fn usual(server: &str) -> Desk {
        Desk::open(&["setsid", "--ctty"], server)
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

    /// Takes what has been drawn, if anything is within a moment.
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

    /// State and CPU time of the process, by its `/proc/PID/stat`.
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

    /// Waits for its end: how it ended, and the CPU time that it took.
    fn end(&mut self) -> (ExitStatus, u64) {
        // Before it is reaped, the kernel still tells what it has used.
        let ticks = self.wait_for_state('Z');
        self.look();
        (self.child.wait().expect("it has ended"), ticks)
    }

    /// Whether the terminal waits for whole lines, as it did before.
    fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("its modes").local_flags;
        modes.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

/// A server that answers every question with a byte a second, and never comes to an end.
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
fn a_terminal_that_goes_ends_it() {
    // Once the kernel says so by SIGHUP, once it does not, and once the signal is ignored.
    let ignoring = ["env", "--ignore-signal=HUP", "setsid", "--ctty"];
    for starter in [&["setsid", "--ctty"][..], &["setsid"], &ignoring] {
        let mut desk = Desk::open(starter, "127.0.0.1:1");
        desk.see("UNREACHABLE");
        desk.master = None;
        let (status, ticks) = desk.end();
        assert_eq!(status.code(), Some(129), "{starter:?}: {status}");
        assert!(ticks < TICKS_MAX, "{starter:?}: {ticks} ticks");
    }
}

#[test]
fn signals_end_it_while_a_server_is_slow_and_the_terminal_is_as_before() {
    let server = slow_server().to_string();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut desk = Desk::usual(&server);
        desk.see("no answer yet");
        kill(desk.pid(), signal).expect("it is there");
        let (status, ticks) = desk.end();
        assert_eq!(status.code(), Some(128 + signal as i32), "{signal}");
        assert!(desk.is_restored(), "{signal}: raw mode is left on");
        assert!(
            desk.seen.contains("\x1b[?1049l") && desk.seen.contains("\x1b[?25h"),
            "{signal}: {:?}",
            desk.seen
        );
        assert!(ticks < TICKS_MAX, "{signal}: {ticks} ticks");
    }
}

#[test]
fn a_signal_ends_it_while_the_terminal_takes_nothing() {
    let mut desk = Desk::usual("127.0.0.1:1");
    desk.see("UNREACHABLE");
    tcflow(&desk.slave, FlowArg::TCOOFF).expect("Ctrl-S");
    // Every press of the key changes what is drawn, so that the next drawing waits for the terminal.
    desk.press(b"p");
    kill(desk.pid(), Signal::SIGTERM).expect("it is there");
    let (status, _) = desk.end();
    assert_eq!(status.code(), Some(143));
    assert!(desk.is_restored());
}

#[test]
fn a_slow_server_is_unreachable_and_the_keys_work_meanwhile() {
    let mut desk = Desk::usual(&slow_server().to_string());
    desk.see("no answer yet");
    desk.press(b"p");
    desk.see("PAUSED");
    desk.press(b"p");
    desk.see("the response timed out");
    desk.press(b"\x1b[Aq");
    assert_eq!(desk.end().0.code(), Some(0));
    assert!(desk.is_restored());
}

#[test]
fn a_name_that_does_not_resolve_is_shown_as_unreachable() {
    let mut desk = Desk::usual("no-such-host.invalid");
    desk.see("no-such-host.invalid does");
    desk.press(b"\x03");
    assert_eq!(desk.end().0.code(), Some(0));
}

#[test]
fn it_is_suspended_and_continued() {
    // A shell between: without one the kernel stops nothing, since nothing could let it go on.
    let mut desk = Desk::open(
        &["setsid", "--ctty", "sh", "-mc", "\"$@\"; kill -STOP $$; fg >/dev/null", "sh"],
        "127.0.0.1:1",
    );
    desk.see("UNREACHABLE");
    desk.press(b"\x1a");
    desk.wait_for_state('T');
    assert!(desk.is_restored(), "the shell has its terminal while the monitor is stopped");
    desk.seen.clear();
    kill(desk.pid(), Signal::SIGCONT).expect("it is there");
    desk.see("UNREACHABLE");
    assert!(!desk.is_restored(), "it reads keys again");
    desk.press(b"\x03");
    assert_eq!(desk.end().0.code(), Some(0));
    assert!(desk.is_restored());
}

#[test]
fn a_signal_that_came_while_it_was_stopped_ends_it() {
    let mut desk = Desk::usual("127.0.0.1:1");
    desk.see("UNREACHABLE");
    kill(desk.pid(), Signal::SIGSTOP).expect("it is there");
    desk.wait_for_state('T');
    kill(desk.pid(), Signal::SIGTERM).expect("it is there");
    kill(desk.pid(), Signal::SIGCONT).expect("it is there");
    assert_eq!(desk.end().0.code(), Some(143));
    assert!(desk.is_restored());
}
