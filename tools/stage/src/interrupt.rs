//! Waiting that Ctrl-C ends, so that whoever waits can tidy up behind itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register;

use crate::failure::Failure;

/// Time between two looks at what is waited for.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Whether somebody wants the run to end.
#[derive(Debug)]
pub struct Interrupt {
    is_wanted: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on, signals that ask for an end are noted instead of ending the process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn watch() -> io::Result<Self> {
        let is_wanted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            register(signal, Arc::clone(&is_wanted))?;
        }
        Ok(Self { is_wanted })
    }

    /// Whether somebody has asked for an end.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
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
            if self.is_wanted() {
                return Err(Failure::Interrupted);
            }
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(left.min(LOOK_INTERVAL));
        }
    }
    /// For tests, which share a process and would interrupt each other by signals.
    #[cfg(test)]
    pub(crate) fn unwatched() -> Self {
        Self { is_wanted: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn ask_to_end(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }
}
