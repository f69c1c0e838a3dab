//! The thread of a reload: it reads the configuration and the static files again, so that the event loop never waits for a disk.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use super::{assets, keys};
use crate::config::{Config, ConfigError};
use crate::ops::crash::catch_panic;
use crate::server::core::assets::Assets;
use crate::server::core::system::Reloaded;

/// Reads the configuration from the sources that were used at the start.
pub type ReadConfig = fn() -> Result<Config, ConfigError>;

/// The reload in progress, if there is one, and the source of the next one.
pub(super) struct ReloadThread {
    read_config: ReadConfig,
    pending: Option<Receiver<Reloaded>>,
}

impl fmt::Debug for ReloadThread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReloadThread").field("is_pending", &self.pending.is_some()).finish_non_exhaustive()
    }
}

impl ReloadThread {
    pub(super) fn new(read_config: ReadConfig) -> Self {
        Self { read_config, pending: None }
    }

    /// Starts the thread. `current` holds the files served until the reload succeeds.
    pub(super) fn begin(&mut self, current: Arc<Assets>) -> io::Result<()> {
        let (sender, receiver) = sync_channel(1);
        let read_config = self.read_config;
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let result = catch_panic(|| read(read_config, &current))
                .unwrap_or_else(|| Err("the attempt panicked".to_owned()));
            // Dropped before the result is sent, so that the event loop holds the last reference to the old files.
            drop(current);
            // The receiver is gone if the server has shut down meanwhile.
            let _ = sender.send(result);
        })?;
        self.pending = Some(receiver);
        Ok(())
    }

    /// Returns the result of the reload in progress once it has one.
    pub(super) fn take_result(&mut self) -> Option<Reloaded> {
        let result = match self.pending.as_ref()?.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the thread ended without a result".to_owned()),
        };
        self.pending = None;
        Some(result)
    }
}

fn read(read_config: ReadConfig, current: &Assets) -> Reloaded {
    let config = read_config().map_err(|error| error.to_string())?;
    let assets = assets::configured(&config, current).map_err(|error| format!("STATIC_DIR: {error}"))?;
    let keys = keys::load(&config)?;
    Ok((config, assets, keys))
}
