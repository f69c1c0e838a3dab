//! Reload: SIGHUP makes a thread read the configuration and the static files again, and the event loop applies them between two
//! ticks. If anything can't be read, nothing changes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use super::routes::log_shadowed_files;
use super::{Server, configured_quality};
use crate::config::{Config, ConfigError, Reloaded};
use crate::ops::crash::catch_panic;
use crate::server::assets::Assets;
use crate::server::driver::capacity::Capacity;

/// Reads the configuration from the sources that were used at the start.
pub type ReadConfig = fn() -> Result<Config, ConfigError>;

/// State of the current reload, and the sources of the next one.
pub(super) struct Reload {
    /// The configuration as given, before it is limited to the available descriptors.
    configured: Config,
    read_config: ReadConfig,
    /// Receives the result of the reload in progress.
    pending: Option<Receiver<ReadResult>>,
    /// SIGHUP arrived during a reload, which may have read older contents: another reload follows.
    is_requested_again: bool,
}

type ReadResult = Result<(Config, Assets), String>;

impl fmt::Debug for Reload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reload")
            .field("is_requested_again", &self.is_requested_again)
            .finish_non_exhaustive()
    }
}

impl Reload {
    pub(super) fn new(configured: Config, read_config: ReadConfig) -> Self {
        Self { configured, read_config, pending: None, is_requested_again: false }
    }

    /// Starts the reload thread. `current` holds the files served until the reload succeeds.
    fn begin(&mut self, current: Arc<Assets>) -> io::Result<()> {
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
    fn take_result(&mut self) -> Option<ReadResult> {
        let result = match self.pending.as_ref()?.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the thread ended without a result".to_owned()),
        };
        self.pending = None;
        Some(result)
    }
}

fn read(read_config: ReadConfig, current: &Assets) -> ReadResult {
    let config = read_config().map_err(|error| error.to_string())?;
    let assets = Assets::configured(&config, current).map_err(|error| format!("STATIC_DIR: {error}"))?;
    Ok((config, assets))
}

impl Server {
    /// Starts a reload, or schedules another one if one is in progress.
    pub(super) fn begin_reload(&mut self) {
        if self.reload.pending.is_some() {
            self.reload.is_requested_again = true;
        } else if let Err(error) = self.reload.begin(Arc::clone(&self.assets)) {
            log::error!("reload: nothing changes: starting a thread failed: {error}");
        }
    }

    /// Applies the result of a reload once there is one.
    pub(super) fn finish_reload(&mut self) {
        let Some(result) = self.reload.take_result() else { return };
        match result {
            Ok((config, assets)) => self.apply_config(config, assets),
            Err(problems) => {
                for problem in problems.lines() {
                    log::error!("reload: nothing changes: {problem}");
                }
            }
        }
        if std::mem::take(&mut self.reload.is_requested_again) {
            self.begin_reload();
        }
    }

    fn apply_config(&mut self, fresh: Config, assets: Assets) {
        let Reloaded { config, changes, needs_restart } = self.reload.configured.reloaded(fresh);
        for change in &changes {
            log::info!("reload: {change}");
        }
        for change in needs_restart {
            log::warn!("reload: {change}, effective at the next start");
        }
        assets.log_notices();
        self.assets = Arc::new(assets);
        log_shadowed_files(&config, &self.assets);
        log::info!(
            "reload: {} settings changed, {} files are served, {} of them read",
            changes.len(),
            self.assets.file_count(),
            self.assets.read_count()
        );
        let wanted = config.max_connections;
        let room = if wanted == self.reload.configured.max_connections {
            None
        } else {
            Some(Capacity::raise_for(wanted))
        };
        self.reload.configured = config.clone();
        self.config = Config { max_connections: self.config.max_connections, ..config };
        if let Some(room) = room {
            self.config.max_connections = room.players;
            self.http_connections.set_capacity(room.regular_http());
            self.monitoring_connections.set_capacity(room.monitoring());
        }
        self.peer_addresses.reconfigure(&self.config);
        self.engine.reconfigure(&self.config);
        self.sessions.set_ttl(self.config.resume_ttl_s);
        self.governor.reconfigure(configured_quality(&self.config));
        self.apply_quality();
        log::set_max_level(self.config.log_level);
    }
}
