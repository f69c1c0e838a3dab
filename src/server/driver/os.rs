//! Linux interfaces: clocks, the tick timer, signals, listening sockets, the limit of open files, and memory.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpListener;
use nix::libc::SI_KERNEL;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
    shutdown, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::time::{ClockId as Clock, clock_gettime};
use nix::unistd::{Pid, getsid};

use crate::limits::SEND_BUFFER_BYTES;

/// Returns the time of the monotonic clock, which the tick timer uses, in nanoseconds.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(Clock::CLOCK_MONOTONIC).expect("Linux has a monotonic clock");
    Duration::from(now).as_nanos() as u64
}

/// Returns the CPU time of this thread, in nanoseconds.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn thread_cpu_ns() -> u64 {
    let used = clock_gettime(Clock::CLOCK_THREAD_CPUTIME_ID).expect("Linux has a CPU clock for each thread");
    Duration::from(used).as_nanos() as u64
}

/// Returns the CPU time of this process, in nanoseconds.
///
/// # Panics
/// Never on Linux, which always has this clock.
pub fn process_cpu_ns() -> u64 {
    let used =
        clock_gettime(Clock::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has a CPU clock for each process");
    Duration::from(used).as_nanos() as u64
}

/// A timer for absolute deadlines. mio's own timeouts are rounded up to a millisecond.
#[derive(Debug)]
pub struct TickTimer {
    timer: TimerFd,
}

impl TickTimer {
    /// Creates an unarmed timer.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)? })
    }

    /// Arms the timer to fire once at this time of [`monotonic_ns`]; a time in the past fires immediately.
    ///
    /// # Errors
    /// None for a valid descriptor.
    pub fn arm(&self, deadline_ns: u64) -> io::Result<()> {
        let at = TimeSpec::from_duration(Duration::from_nanos(deadline_ns));
        Ok(self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Returns the descriptor to poll.
    pub fn raw_fd(&self) -> i32 {
        self.timer.as_fd().as_raw_fd()
    }
}

/// The request that a signal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// Shut down; the signal's number.
    Stop(u32),
    /// Reopen the log file, which may have been renamed, and reload configuration and files.
    Reload,
}

/// The signals that a server handles.
const SERVER_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Signals whose default action would end the process when a write fails. While they are blocked, the write
/// fails with an ordinary error (`EFBIG`, `EPIPE`). They are never read: a pending one has no effect.
const WRITE_SIGNALS: [Signal; 2] = [Signal::SIGXFSZ, Signal::SIGPIPE];

/// The handled signals of a process, read from a descriptor.
#[derive(Debug)]
pub struct Signals {
    pending: SignalFd,
    /// Whether standard error was a terminal at the start, and no signal has reported its hangup since.
    is_on_terminal: Cell<bool>,
    /// The session leader, usually a shell. `None` outside this PID namespace, as in a container's `exec`.
    session_leader: Option<u32>,
}

/// Returns the id of a process, unless it is outside this PID namespace: the kernel reports such a process as 0.
fn visible_pid(pid: Pid) -> Option<u32> {
    u32::try_from(pid.as_raw()).ok().filter(|pid| *pid > 0)
}

impl Signals {
    /// Handles SIGTERM and SIGINT, for programs without a reload. Blocks their default action, and that of
    /// [`WRITE_SIGNALS`], for this thread and all threads that it spawns later.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn for_shutdown() -> io::Result<Self> {
        Self::of([Signal::SIGTERM, Signal::SIGINT])
    }

    /// Also handles SIGHUP, for programs with a reload.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn for_server() -> io::Result<Self> {
        Self::of(SERVER_SIGNALS)
    }

    /// Blocks the signals of [`Signals::for_server`] for this thread and all threads that it spawns later.
    /// Called first, so that a signal during startup stays pending and does not end the process.
    ///
    /// # Errors
    /// None on Linux.
    pub fn block() -> io::Result<()> {
        Ok(SERVER_SIGNALS.into_iter().chain(WRITE_SIGNALS).collect::<SigSet>().thread_block()?)
    }

    /// Undoes [`Signals::block`] for a program that is no server. [`WRITE_SIGNALS`] stay blocked.
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
        let session_leader = getsid(None).ok().and_then(visible_pid);
        Ok(Self { pending, is_on_terminal: Cell::new(io::stderr().is_terminal()), session_leader })
    }

    /// Returns the next pending signal's request. SIGHUP is a reload, unless the terminal of the start hung up.
    pub fn next(&self) -> Option<SignalRequest> {
        let info = self.pending.read_signal().ok().flatten()?;
        if info.ssi_signo != Signal::SIGHUP as u32 {
            return Some(SignalRequest::Stop(info.ssi_signo));
        }
        // Only the kernel and the shell report a hangup. A server that outlived its terminal (`setsid`,
        // `disown`) may be reloaded by any process.
        let is_hang_up = info.ssi_code == SI_KERNEL || Some(info.ssi_pid) == self.session_leader;
        let has_lost_terminal = is_hang_up && self.is_on_terminal.get() && !io::stderr().is_terminal();
        if has_lost_terminal {
            // Kernel and shell may both send SIGHUP; the second signal must not cut the drain short.
            self.is_on_terminal.set(false);
            return Some(SignalRequest::Stop(info.ssi_signo));
        }
        Some(SignalRequest::Reload)
    }

    /// Returns the descriptor to poll.
    pub fn raw_fd(&self) -> i32 {
        self.pending.as_raw_fd()
    }
}

/// The largest backlog. The kernel caps it at `net.core.somaxconn`, which the operator sets; the `SOMAXCONN` of the C library
/// may be lower.
const BACKLOG: Backlog = Backlog::MAXALLOWABLE;

/// Creates a non-blocking listener whose backlog absorbs a burst of joins. Processes of one user that all share the address may listen
/// on it together.
///
/// # Errors
/// The address is in use, not local, or not permitted; the error is the kernel's.
pub fn listen_on(host: IpAddr, port: u16, is_shared: bool) -> io::Result<TcpListener> {
    let descriptor = bound_to(host, port, is_shared)?;
    listen(&descriptor, BACKLOG)?;
    Ok(TcpListener::from_std(std::net::TcpListener::from(descriptor)))
}

/// Binds a non-blocking socket without listening; [`listen_again`] does.
///
/// # Errors
/// As for [`listen_on`].
pub fn bind_only(host: IpAddr, port: u16, is_shared: bool) -> io::Result<TcpListener> {
    let descriptor = bound_to(host, port, is_shared)?;
    Ok(TcpListener::from_std(std::net::TcpListener::from(descriptor)))
}

/// Checks whether [`listen_on`] would get the address. Does not listen, and frees the address immediately.
///
/// # Errors
/// As for [`listen_on`].
pub fn check_address(host: IpAddr, port: u16, is_shared: bool) -> io::Result<()> {
    bound_to(host, port, is_shared).map(drop)
}

/// Stops listening, without giving up the address: the kernel refuses new connections, or gives them to other processes that
/// share the port. Connections that wait to be accepted are closed, unless `net.ipv4.tcp_migrate_req` is 1.
///
/// # Errors
/// The listener does not listen.
pub fn stop_listening(listener: &TcpListener) -> io::Result<()> {
    Ok(shutdown(listener.as_raw_fd(), Shutdown::Read)?)
}

/// Listens after [`stop_listening`] or [`bind_only`].
///
/// # Errors
/// Another process listens at the address without sharing it.
pub fn listen_again(listener: &TcpListener) -> io::Result<()> {
    Ok(listen(&listener.as_fd(), BACKLOG)?)
}

fn bound_to(host: IpAddr, port: u16, is_shared: bool) -> io::Result<OwnedFd> {
    let family = if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor: OwnedFd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    setsockopt(&descriptor, sockopt::ReusePort, &is_shared)?;
    // Accepted sockets inherit the size.
    setsockopt(&descriptor, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(host, port)))?;
    Ok(descriptor)
}

/// Raises the limit of open files to `wanted`, as far as permitted. Returns the effective limit.
///
/// # Errors
/// The kernel does not report the limit.
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

/// Makes the kernel's table of this process's open files large enough for `open_files`. The kernel doubles the table when it is
/// full, and with several threads each doubling waits for a grace period of all cores: some 10 ms in the event loop.
///
/// # Errors
/// The limit of open files is lower, or the kernel is out of memory.
pub fn size_descriptor_table(open_files: u64) -> io::Result<()> {
    let highest = i32::try_from(open_files).map_err(io::Error::other)? - 1;
    // A descriptor of that number, closed at once.
    rustix::io::fcntl_dupfd_cloexec(io::stderr(), highest)?;
    Ok(())
}

/// Returns the resident memory of this process in bytes; 0 if the kernel does not report it.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * page_bytes()
}

/// Returns the size of a memory page, in bytes: 4 KiB on `x86_64`, up to 64 KiB on `aarch64`.
pub fn page_bytes() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.map_or(4096, |bytes| bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_the_pid_namespace_has_no_id() {
        assert_eq!(visible_pid(Pid::from_raw(0)), None);
        assert_eq!(visible_pid(Pid::from_raw(7)), Some(7));
    }
}
