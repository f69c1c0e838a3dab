//! The life of the process: its ticks for the watchdog, its reloads, its reports and its shutdown.

use super::close::Drain;
use super::reload::Reload;
use super::report::Report;
use crate::ops::watchdog::TickCounter;

/// What happens to the process as a whole.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// The shutdown in progress. Once it is set, no player is admitted.
    pub draining: Option<Drain>,
    pub reload: Reload,
    pub report: Report,
    /// Counts ticks for the watchdog.
    pub tick_counter: TickCounter,
}
