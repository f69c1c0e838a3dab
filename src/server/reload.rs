//! Another configuration, and other files, for a server that runs: asked for by SIGHUP, read by a thread of its own,
//! taken over between two ticks. What can't be read as a whole changes nothing.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use super::assets::Assets;
use super::capacity::Capacity;
use super::routes::log_shadowed_files;
use super::{Server, configured_quality};
use crate::config::{Config, ConfigError, Reloaded};
use crate::ops::crash::catch_panic;

/// Reads the configuration once more, from where the server got its own.
pub type ReadConfig = fn() -> Result<Config, ConfigError>;

/// The reloads of a server.
pub(super) struct Reload {
    /// What is configured, as opposed to what there is room for.
    configured: Config,
    read_config: ReadConfig,
    /// Where the answer of the one under way comes from.
    pending: Option<Receiver<ReadResult>>,
    /// Asked for while one was under way, which may have read what has changed since.
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

    /// `served` is what is served until then.
    fn begin(&mut self, current: Arc<Assets>) -> io::Result<()> {
        let (sender, receiver) = sync_channel(1);
        let read_config = self.read_config;
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let result = catch_panic(|| read(read_config, &current))
                .unwrap_or_else(|| Err("the attempt panicked".to_owned()));
            // Before the answer: the loop is to hold the last of the old files.
            drop(current);
            // Nobody listens when the server has ended meanwhile.
            let _ = sender.send(result);
        })?;
        self.pending = Some(receiver);
        Ok(())
    }

    /// The answer of the reload under way, when there is one.
    fn take_result(&mut self) -> Option<ReadResult> {
        let result = match self.pending.as_ref()?.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the attempt ended without an answer".to_owned()),
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
    /// Begins to read configuration and files anew.
    pub(super) fn begin_reload(&mut self) {
        if self.reload.pending.is_some() {
            self.reload.is_requested_again = true;
        } else if let Err(error) = self.reload.begin(Arc::clone(&self.assets)) {
            log::error!("reload: nothing changes, no thread could be started: {error}");
        }
    }

    /// Takes over what was read, if anything was.
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
        let Reloaded { config, changes, waiting } = self.reload.configured.reloaded(fresh);
        for change in &changes {
            log::info!("reload: {change}");
        }
        for change in waiting {
            log::warn!("reload: {change}, at the next start");
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
