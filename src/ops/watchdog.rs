//! Aborts the process when the loop stands still: a thread of its own wakes up once a second and looks whether a tick was
//! made since.
//!
//! It counts its own wake-ups and not time: a suspended process does not wake it up either, so that a server that was
//! stopped for an hour goes on where it was. All the loop pays is one relaxed store a tick.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{fs, io, thread};

use crate::limits::{WATCHDOG_PERIOD_MS, WATCHDOG_WAKE_UPS_MAX};
use crate::ops::crash;

/// Threads named in the last line at most.
const THREADS_NAMED_MAX: usize = 32;

/// The ticks made so far, as the loop tells them.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A tick was made.
    pub fn beat(&self) {
        // The loop's thread alone writes: no read-modify-write needed.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The ticks made so far.
    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the watchdog knows: how often in a row it saw the same count.
#[derive(Debug, Default)]
struct Watch {
    beats: u64,
    wake_ups: u32,
}

impl Watch {
    /// Takes the count of a wake-up; whether the loop stands still. Before the first tick it has not begun.
    fn sees_standstill(&mut self, beats: u64) -> bool {
        if beats == 0 || beats != self.beats {
            *self = Self { beats, wake_ups: 0 };
            return false;
        }
        self.wake_ups += 1;
        self.wake_ups >= WATCHDOG_WAKE_UPS_MAX
    }
}

/// A watchdog at work; dropped, it is off.
#[derive(Debug)]
pub struct Watchdog {
    _leash: Sender<()>,
}

impl Watchdog {
    /// Starts watching; from the first beat on, [`WATCHDOG_WAKE_UPS_MAX`] wake-ups in a row without one abort the
    /// process.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(pulse: Pulse) -> io::Result<Self> {
        let (leash, held) = channel();
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let mut watch = Watch::default();
            while held.recv_timeout(Duration::from_millis(WATCHDOG_PERIOD_MS))
                == Err(RecvTimeoutError::Timeout)
            {
                if watch.sees_standstill(pulse.beats()) {
                    crash::abort(&obituary(pulse.beats()));
                }
            }
        })?;
        Ok(Self { _leash: leash })
    }
}

/// What happened, and what the kernel says about each thread: one that runs forever shows R, one that waits for
/// another thread or for a disk S or D.
fn obituary(beats: u64) -> String {
    let mut text = format!(
        "watchdog: no tick for {WATCHDOG_WAKE_UPS_MAX} seconds after {beats} ticks; aborting; threads:"
    );
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return text };
    for task in tasks.flatten().take(THREADS_NAMED_MAX) {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        if let Some((name, state)) = name_and_state(&stat) {
            let _ = write!(text, " {name} {state},");
        }
    }
    text.pop();
    text
}

/// The name and the state of a thread out of its line `pid (name) state ...`; the name may hold anything.
fn name_and_state(stat: &str) -> Option<(&str, char)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    Some((head.split_once(" (")?.1, tail.chars().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wake_ups_in_a_row_without_a_tick_are_a_standstill() {
        let mut watch = Watch::default();
        assert!(!watch.sees_standstill(60));
        for _ in 0..4 {
            assert!(!watch.sees_standstill(60));
        }
        assert!(watch.sees_standstill(60));
    }

    #[test]
    fn one_tick_starts_the_count_again() {
        let mut watch = Watch::default();
        for beats in 1..100 {
            for _ in 0..5 {
                assert!(!watch.sees_standstill(beats));
            }
        }
    }

    #[test]
    fn nothing_is_expected_before_the_first_tick() {
        let mut watch = Watch::default();
        for _ in 0..100 {
            assert!(!watch.sees_standstill(0));
        }
    }

    #[test]
    fn a_resumed_process_finds_one_wake_up_and_no_more() {
        // Stopped for an hour or a day, the watchdog was too: it wakes up once and sees what it saw before.
        let mut watch = Watch::default();
        assert!(!watch.sees_standstill(600));
        assert!(!watch.sees_standstill(600));
        assert!(!watch.sees_standstill(601));
    }

    #[test]
    fn beats_are_counted() {
        let pulse = Pulse::default();
        pulse.beat();
        pulse.beat();
        assert_eq!(pulse.beats(), 2);
    }

    #[test]
    fn a_thread_may_have_any_name() {
        assert_eq!(name_and_state("12 (pixi-game-serve) R 1 12"), Some(("pixi-game-serve", 'R')));
        assert_eq!(name_and_state("12 (a) (b) D 1"), Some(("a) (b", 'D')));
        assert_eq!(name_and_state("nothing"), None);
    }
}
