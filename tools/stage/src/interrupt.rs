//! Waiting that Ctrl-C ends, so that whoever waits can tidy up behind itself.

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

/// Time between two looks at what is waited for.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The exit status that a shell gives a process which a signal ended, less the signal's number.
const SIGNALLED: i32 = 128;

/// Whether the run is to end.
#[derive(Debug)]
pub struct Interrupt {
    /// The last signal that asked for it; 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on, signals that ask for an end are noted instead of ending the process. A SIGHUP that the process was
    /// started to ignore (`nohup`) stays ignored.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn watch() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in ending_signals() {
            register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Self { signal })
    }

    /// Whether a signal has asked for an end.
    pub fn is_requested(&self) -> bool {
        self.signal().is_some()
    }

    /// The last signal that asked for an end.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }

    /// The exit status for that signal, as a shell has it: 130 for Ctrl-C.
    pub fn status(&self) -> Option<u8> {
        self.signal().map(|number| (SIGNALLED + number) as u8)
    }

    /// Ends the process even when its main thread waits for what never comes, such as a terminal that takes nothing: that
    /// long after a signal it runs `last`, and exits with the signal's status.
    ///
    /// # Errors
    /// When the kernel refuses.
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
    /// Interrupted meanwhile.
    pub fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        self.wait_for(duration, || Ok(None::<()>)).map(|_| ())
    }

    /// Looks again and again until something is there; nothing once patience is at its end.
    ///
    /// # Errors
    /// Interrupted meanwhile, or what `look` finds wrong.
    pub fn wait_for<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            if self.is_requested() {
                return Err(Failure::Interrupted);
            }
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(left.min(POLL_INTERVAL));
        }
    }

    /// For tests, which share a process and would interrupt each other by signals.
    #[cfg(test)]
    pub(crate) fn unwatched() -> Self {
        Self { signal: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn request(&self) {
        self.signal.store(SIGINT as usize, Ordering::Relaxed);
    }
}

/// The signals that ask for an end.
fn ending_signals() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&number| number != SIGHUP || !ignores(&status, number))
        .collect()
}

/// Whether a process ignores a signal, by its `/proc/PID/status`.
fn ignores(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_stands_in_its_status() {
        let status =
            "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t00000000000004ff\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT) && !ignores("", SIGHUP));
    }

    #[test]
    fn a_signal_has_the_status_that_a_shell_gives_it() {
        let interrupt = Interrupt::unwatched();
        assert_eq!((interrupt.signal(), interrupt.status()), (None, None));
        interrupt.request();
        assert_eq!((interrupt.signal(), interrupt.status()), (Some(SIGINT), Some(130)));
    }
}
