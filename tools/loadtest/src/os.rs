//! Linux-specific parts: sockets with a chosen source address, an exact timer, limits.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd::{SysconfVar, sysconf};

/// The run's monotonic clock: nanoseconds since its creation.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Returns a clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Returns the nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// Starts a non-blocking connect. The socket becomes writable when the connect has completed or failed.
///
/// # Errors
/// No descriptor or port is left, or the address is not this machine's.
pub fn begin_connect(
    server: SocketAddr,
    source: Option<Ipv4Addr>,
    receive_buffer_bytes: Option<usize>,
) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor: OwnedFd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&descriptor, sockopt::TcpNoDelay, &true)?;
    if let Some(bytes) = receive_buffer_bytes {
        setsockopt(&descriptor, sockopt::RcvBuf, &bytes)?;
    }
    if let Some(source) = source {
        // The kernel chooses the port at the connect, so that one port can serve several destinations.
        setsockopt(&descriptor, sockopt::IpBindAddressNoPort, &true)?;
        let address = SocketAddr::V4(SocketAddrV4::new(source, 0));
        bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    }
    match connect(descriptor.as_raw_fd(), &SockaddrStorage::from(server)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(descriptor.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes closing the socket send a reset: unsent data is dropped, and the port does not stay in `TIME_WAIT`.
///
/// # Errors
/// The connection has ended already.
pub fn reset_when_closed(stream: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?)
}

/// A timer with the kernel's full resolution; mio rounds poll timeouts up to a millisecond.
#[derive(Debug)]
pub struct Timer {
    timer: TimerFd,
    armed_ns: u64,
}

impl Timer {
    /// Returns a disarmed timer.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Timer { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, armed_ns: u64::MAX })
    }

    /// Arms the timer for a time of the clock. Does nothing if it is already armed for that time.
    ///
    /// # Errors
    /// Does not fail for a valid descriptor.
    pub fn arm(&mut self, clock: Clock, due_ns: u64) -> io::Result<()> {
        if due_ns == self.armed_ns {
            return Ok(());
        }
        self.armed_ns = due_ns;
        // Zero would disarm the timer.
        let wait_ns = due_ns.saturating_sub(clock.now_ns()).max(1);
        let wait = TimeSpec::from_duration(Duration::from_nanos(wait_ns));
        Ok(self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?)
    }

    /// Records that the timer has fired.
    pub fn fired(&mut self) {
        self.armed_ns = u64::MAX;
    }

    /// Returns the descriptor to poll, edge-triggered: every expiry is an edge and needs no read.
    pub fn raw_fd(&self) -> i32 {
        self.timer.as_fd().as_raw_fd()
    }
}

/// Raises the soft limit of open files to `wanted`, at most to the hard limit. Returns the effective limit.
///
/// # Errors
/// The limit cannot be read.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let reachable = wanted.min(hard);
    if soft >= reachable || setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).is_err() {
        return Ok(soft);
    }
    Ok(reachable)
}

/// Clock ticks of `/proc/PID/stat` in a second, and bytes of a page.
pub fn kernel_units() -> (f64, u64) {
    let ask = |variable, usual| sysconf(variable).ok().flatten().unwrap_or(usual);
    (ask(SysconfVar::CLK_TCK, 100) as f64, ask(SysconfVar::PAGE_SIZE, 4_096) as u64)
}
