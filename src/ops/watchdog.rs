//! Aborts the process when the event loop stalls: a thread wakes up once a second and checks that the tick count has grown.
//!
//! The watchdog counts its own wake-ups instead of time. It does not wake up while the process is suspended, so it does not
//! abort a server that was stopped for an hour. The cost for the event loop is one relaxed store per tick.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{fs, io, thread};

use crate::limits::{WATCHDOG_PERIOD_MS, WATCHDOG_WAKE_UPS_MAX};
use crate::ops::crash;

/// Maximum number of threads listed in the stall report.
const THREADS_NAMED_MAX: usize = 32;

/// Ticks run so far, shared by the event loop and the watchdog.
#[derive(Debug, Clone, Default)]
pub struct TickCounter(Arc<AtomicU64>);

impl TickCounter {
    /// Counts a tick.
    pub fn increment(&self) {
        // The loop's thread is the only writer, so no read-modify-write is needed.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Returns the ticks counted so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts consecutive wake-ups that saw the same tick count.
#[derive(Debug, Default)]
struct StallDetector {
    ticks: u64,
    wake_ups: u32,
}

impl StallDetector {
    /// Takes the tick count at a wake-up and returns whether the loop has stalled. Never true before the first tick.
    fn is_stalled_at(&mut self, ticks: u64) -> bool {
        if ticks == 0 || ticks != self.ticks {
            *self = Self { ticks, wake_ups: 0 };
            return false;
        }
        self.wake_ups += 1;
        self.wake_ups >= WATCHDOG_WAKE_UPS_MAX
    }
}

/// A running watchdog thread; dropping it stops the thread.
#[derive(Debug)]
pub struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts the thread, which aborts the process after [`WATCHDOG_WAKE_UPS_MAX`] wake-ups in a row without a tick.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(ticks: TickCounter) -> io::Result<Self> {
        let (stop, stopped) = channel();
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let mut detector = StallDetector::default();
            while stopped.recv_timeout(Duration::from_millis(WATCHDOG_PERIOD_MS))
                == Err(RecvTimeoutError::Timeout)
            {
                if detector.is_stalled_at(ticks.count()) {
                    crash::abort(&stall_report(ticks.count()));
                }
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Describes the stall with the state of each thread: R runs (a busy loop), S or D waits (for a lock or a disk).
fn stall_report(ticks: u64) -> String {
    let mut text = format!(
        "watchdog: no tick for {WATCHDOG_WAKE_UPS_MAX} seconds after {ticks} ticks; aborting; threads:"
    );
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return text };
    for task in tasks.flatten().take(THREADS_NAMED_MAX) {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        if let Some((name, state)) = thread_name_and_state(&stat) {
            let _ = write!(text, " {name} {state},");
        }
    }
    text.pop();
    text
}

/// Parses name and state from a thread's stat line, `pid (name) state ...`; the name may contain any characters.
fn thread_name_and_state(stat: &str) -> Option<(&str, char)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    Some((head.split_once(" (")?.1, tail.chars().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wake_ups_in_a_row_without_a_tick_are_a_stall() {
        // The ticks at each wake-up, and the wake-up that detects a stall.
        let one_tick_in_five: Vec<u64> = (1..100).flat_map(|ticks| [ticks; 5]).collect();
        for (ticks, stall) in [
            (&[60; 6][..], Some(5)),
            (&one_tick_in_five, None),
            (&[0; 100], None),
            // A stopped process stops the watchdog too: it wakes up once and sees the same count.
            (&[600, 600, 601], None),
        ] {
            let mut detector = StallDetector::default();
            assert_eq!(ticks.iter().position(|&ticks| detector.is_stalled_at(ticks)), stall, "{ticks:?}");
        }
    }

    #[test]
    fn increments_are_counted() {
        let ticks = TickCounter::default();
        ticks.increment();
        ticks.increment();
        assert_eq!(ticks.count(), 2);
    }

    #[test]
    fn a_thread_name_may_contain_parentheses() {
        assert_eq!(thread_name_and_state("12 (pixi-game-serve) R 1 12"), Some(("pixi-game-serve", 'R')));
        assert_eq!(thread_name_and_state("12 (a) (b) D 1"), Some(("a) (b", 'D')));
        assert_eq!(thread_name_and_state("nothing"), None);
    }
}
