//! Support for operating the server: logging, metrics, crash handling, watchdog, kernel limits, secrets.

pub mod crash;
pub mod files;
#[cfg(feature = "profile-mem")]
pub mod heap_profile;
pub mod kernel_limits;
pub mod logging;
pub mod metrics;
pub mod printable;
pub mod secret;
pub mod watchdog;
