//! Waits that Ctrl-C ends, so that a tool can clean up.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::low_level::{exit, pipe};

use crate::failure::Failure;

/// Polling interval of a wait.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Base of a shell's exit status for a process that a signal ended: 128 plus the signal's number.
const SIGNALLED: i32 = 128;

/// A request to end the run.
#[derive(Debug)]
pub struct Interrupt {
    /// The last ending signal; 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Installs handlers that record ending signals instead of terminating the process. A SIGHUP that is ignored at
    /// the start (`nohup`) stays ignored.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub fn watch() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in ending_signals() {
            register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Self { signal })
    }

    /// Whether an ending signal has arrived.
    pub fn is_requested(&self) -> bool {
        self.signal().is_some()
    }

    /// Whether an ending signal has arrived since the last call.
    pub fn take(&self) -> bool {
        self.signal.swap(0, Ordering::Relaxed) != 0
    }

    /// The last ending signal.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }

    /// The exit status for that signal, as in a shell: 130 for Ctrl-C.
    pub fn status(&self) -> Option<u8> {
        self.signal().map(|number| (SIGNALLED + number) as u8)
    }

    /// Ends the process even if its main thread is blocked, for example on a terminal that accepts no output. After a
    /// signal and the grace period, runs `last` and exits with the signal's status.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub fn exit_within(&self, grace: Duration, last: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (mut noted, writer) = UnixStream::pair()?;
        let interrupt = Interrupt { signal: Arc::clone(&self.signal) };
        for number in ending_signals() {
            pipe::register(number, writer.try_clone()?)?;
        }
        thread::Builder::new().name("end".to_owned()).spawn(move || {
            let is_noted = noted.read_exact(&mut [0]).is_ok();
            sleep(grace);
            if is_noted {
                last();
                exit(interrupt.signal().map_or(SIGNALLED, |number| SIGNALLED + number));
            }
        })?;
        Ok(())
    }

    /// Sleeps.
    ///
    /// # Errors
    /// The wait was interrupted.
    pub fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        self.wait_for(duration, || Ok(None::<()>)).map(|_| ())
    }

    /// Polls until `poll` returns a value. Returns `None` after `timeout`.
    ///
    /// # Errors
    /// The wait was interrupted, or `poll` failed.
    pub fn wait_for<T>(
        &self,
        timeout: Duration,
        mut poll: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.is_requested() {
                return Err(Failure::Interrupted);
            }
            if let Some(found) = poll()? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(left.min(POLL_INTERVAL));
        }
    }

    /// Returns an interrupt without signal handlers. Tests share a process and would interrupt each other with signals.
    pub fn unwatched() -> Self {
        Self { signal: Arc::default() }
    }

    /// Requests the end, as a signal would.
    pub fn request(&self) {
        self.signal.store(SIGINT as usize, Ordering::Relaxed);
    }
}

/// The ending signals.
fn ending_signals() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&number| number != SIGHUP || !ignores(&status, number))
        .collect()
}

/// Whether a process ignores a signal, according to its `/proc/PID/status`.
fn ignores(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_process_status() {
        let status =
            "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t00000000000004ff\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT) && !ignores("", SIGHUP));
    }

    #[test]
    fn a_signal_maps_to_the_exit_status_of_a_shell() {
        let interrupt = Interrupt::unwatched();
        assert_eq!((interrupt.signal(), interrupt.status()), (None, None));
        interrupt.request();
        assert_eq!((interrupt.signal(), interrupt.status()), (Some(SIGINT), Some(130)));
    }
}
