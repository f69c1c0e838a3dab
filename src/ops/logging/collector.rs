//! Collects warnings and errors instead of logging them, for `--check-config`.

use std::sync::{Mutex, PoisonError};

use log::LevelFilter;
use simplelog::WriteLogger;

use super::line::{WholeLines, only_messages};
use crate::limits::LOG_LINES_MAX;

/// Collected messages, at most [`LOG_LINES_MAX`]; later ones are discarded.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects warnings and errors for [`take_collected`] from now on; nothing is logged.
///
/// # Panics
/// A logger is already installed.
pub fn start_collecting() {
    let lines = WholeLines::new(|line| {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LOG_LINES_MAX {
            lines.push(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
        }
    });
    WriteLogger::init(LevelFilter::Warn, only_messages().build(), lines)
        .expect("a configuration check installs no other logger");
}

/// Returns the messages collected since the last call, in order.
pub fn take_collected() -> Vec<String> {
    std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner))
}
