//! Collects warnings and errors instead of logging them, for `--check-config`.

use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Metadata, Record};

use super::is_ours;
use crate::limits::LOG_LINES_MAX;

/// Collected messages, at most [`LOG_LINES_MAX`]; later ones are discarded.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collector;

/// Collects warnings and errors for [`take_collected`] from now on; nothing is logged.
///
/// # Panics
/// A logger is already installed.
pub fn start_collecting() {
    log::set_logger(&Collector).expect("a configuration check installs no other logger");
    log::set_max_level(LevelFilter::Warn);
}

/// Returns the messages collected since the last call, in order.
pub fn take_collected() -> Vec<String> {
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
