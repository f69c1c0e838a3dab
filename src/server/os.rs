//! What only Linux can answer: the clock, the tick timer, signals, the listening socket, limits and memory.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpListener;
use nix::libc::SI_KERNEL;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::time::{ClockId as Clock, clock_gettime};
use rustix::process::getsid;

use crate::limits::SEND_BUFFER_BYTES;

/// Nanoseconds of the monotonic clock: the same clock the tick timer runs on.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(Clock::CLOCK_MONOTONIC).expect("Linux has a monotonic clock");
    Duration::from(now).as_nanos() as u64
}

/// Processor time this thread has used, in nanoseconds.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn thread_cpu_ns() -> u64 {
    let used = clock_gettime(Clock::CLOCK_THREAD_CPUTIME_ID).expect("Linux has a clock for each thread");
    Duration::from(used).as_nanos() as u64
}

/// Processor time this process has used, in nanoseconds.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn process_cpu_ns() -> u64 {
    let used = clock_gettime(Clock::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has a clock for each process");
    Duration::from(used).as_nanos() as u64
}

/// A timer that fires at absolute deadlines; mio's own timeouts are rounded up to a millisecond.
#[derive(Debug)]
pub struct TickTimer {
    timer: TimerFd,
}

impl TickTimer {
    /// A timer not armed yet.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)? })
    }

    /// Fires once at this moment of [`monotonic_ns`]; a moment that has passed fires at once.
    ///
    /// # Errors
    /// None for a valid descriptor.
    pub fn arm(&self, deadline_ns: u64) -> io::Result<()> {
        let at = TimeSpec::from_duration(Duration::from_nanos(deadline_ns));
        Ok(self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// The descriptor to poll.
    pub fn raw_fd(&self) -> i32 {
        use std::os::fd::AsFd;
        self.timer.as_fd().as_raw_fd()
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// To stop; the signal's number.
    Stop(u32),
    /// To open the log file anew, since it may have been renamed, and to read configuration and files again.
    Reload,
}

/// What a server takes note of.
const SERVER_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Their default ends the process for a write that fails; blocked, the write fails with an error like any other
/// (`EFBIG`, `EPIPE`). They are never read: one that stays pending has no effect.
const WRITE_SIGNALS: [Signal; 2] = [Signal::SIGXFSZ, Signal::SIGPIPE];

/// The signals a process takes note of, read from a descriptor.
#[derive(Debug)]
pub struct Signals {
    pending: SignalFd,
    /// Standard error was a terminal at the start, and no signal has said since that it has gone.
    is_on_terminal: Cell<bool>,
    /// The process that leads the session: a shell, as a rule.
    session_leader: Option<u32>,
}

impl Signals {
    /// Takes note of SIGTERM and SIGINT: for programs that can only be asked to stop. Blocks the signals' default effect
    /// for this thread and all it spawns from now on, and that of [`WRITE_SIGNALS`].
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn for_shutdown() -> io::Result<Self> {
        Self::of([Signal::SIGTERM, Signal::SIGINT])
    }

    /// Takes note of SIGHUP as well, for a program that can be reloaded.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn for_server() -> io::Result<Self> {
        Self::of(SERVER_SIGNALS)
    }

    /// Blocks the signals of [`Signals::for_server`] for this thread and all it spawns from now on: first of all, so that one
    /// that comes before the server is ready waits for it and does not end the process.
    ///
    /// # Errors
    /// None on Linux.
    pub fn block() -> io::Result<()> {
        Ok(SERVER_SIGNALS.into_iter().chain(WRITE_SIGNALS).collect::<SigSet>().thread_block()?)
    }

    /// Undoes [`Signals::block`] for a program that does not serve after all: what came meanwhile takes effect now. Those of
    /// writes stay blocked.
    ///
    /// # Errors
    /// None on Linux.
    pub fn unblock() -> io::Result<()> {
        Ok(SERVER_SIGNALS.into_iter().collect::<SigSet>().thread_unblock()?)
    }

    fn of(signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let mask: SigSet = signals.into_iter().collect();
        mask.thread_block()?;
        WRITE_SIGNALS.into_iter().collect::<SigSet>().thread_block()?;
        let pending = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let session_leader = getsid(None).ok().map(|leader| leader.as_raw_nonzero().get().cast_unsigned());
        Ok(Self { pending, is_on_terminal: Cell::new(io::stderr().is_terminal()), session_leader })
    }

    /// What the next pending signal asks for. SIGHUP asks for a reload, unless it says that the terminal has gone on which
    /// the server was started.
    pub fn next(&self) -> Option<SignalRequest> {
        let info = self.pending.read_signal().ok().flatten()?;
        if info.ssi_signo != Signal::SIGHUP as u32 {
            return Some(SignalRequest::Stop(info.ssi_signo));
        }
        // Only kernel and shell say so. A server that outlived its terminal (`setsid`, `disown`) is reloaded by others.
        let is_hang_up = info.ssi_code == SI_KERNEL || Some(info.ssi_pid) == self.session_leader;
        let has_lost_terminal = is_hang_up && self.is_on_terminal.get() && !io::stderr().is_terminal();
        if has_lost_terminal {
            // Both may say so; the second signal does not cut the drain short.
            self.is_on_terminal.set(false);
            return Some(SignalRequest::Stop(info.ssi_signo));
        }
        Some(SignalRequest::Reload)
    }

    /// The descriptor to poll.
    pub fn raw_fd(&self) -> i32 {
        self.pending.as_raw_fd()
    }
}

/// A non-blocking listener with a backlog that outlasts a burst of joins.
///
/// # Errors
/// The address is taken, not this machine's, or not allowed; the message is the kernel's.
pub fn listen_on(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    let descriptor = bound_to(host, port)?;
    // As long as the kernel allows, which is the operator's to say. A number may not exceed the C library's idea of it.
    listen(&descriptor, Backlog::MAXALLOWABLE)?;
    Ok(TcpListener::from_std(std::net::TcpListener::from(descriptor)))
}

/// Whether [`listen_on`] could have the address. It is not listened on, and free again at once.
///
/// # Errors
/// As those of `bind`.
pub fn check_address(host: IpAddr, port: u16) -> io::Result<()> {
    bound_to(host, port).map(drop)
}

fn bound_to(host: IpAddr, port: u16) -> io::Result<OwnedFd> {
    let family = if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor: OwnedFd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    // Accepted sockets take it over.
    setsockopt(&descriptor, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(host, port)))?;
    Ok(descriptor)
}

/// Raises the limit of open files to `wanted` as far as the hard limit, or the process's privileges, allow; returns the
/// limit in force.
///
/// # Errors
/// When the kernel does not tell the limit.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let reachable = wanted.min(hard);
    Ok(if setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).is_ok() { reachable } else { soft })
}

/// Memory of this process that is in RAM, in bytes; 0 when the kernel does not tell.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    pages.unwrap_or(0) * page_bytes as u64
}
