//! Warnings and errors that a check collects instead of logging them.

use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Metadata, Record};

use super::is_ours;
use crate::limits::LOG_LINES_MAX;

/// Warnings and errors so far, at most [`LOG_LINES_MAX`].
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collector;

/// From here on warnings and errors are kept for [`collected`], and nothing is logged.
///
/// # Panics
/// When the process logs already.
pub fn collect() {
    log::set_logger(&Collector).expect("a process that checks does not log");
    log::set_max_level(LevelFilter::Warn);
}

/// The messages since the last call, in their order.
pub fn collected() -> Vec<String> {
    std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

impl log::Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata) && metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if self.enabled(record.metadata()) && lines.len() < LOG_LINES_MAX {
            lines.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}
