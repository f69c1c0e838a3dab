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
pub type Reread = fn() -> Result<Config, ConfigError>;

/// The reloads of a server.
pub(super) struct Reload {
    /// What is configured, as opposed to what there is room for.
    configured: Config,
    reread: Reread,
    /// Where the answer of the one under way comes from.
    under_way: Option<Receiver<Answer>>,
    /// Asked for while one was under way, which may have read what has changed since.
    is_due: bool,
}

type Answer = Result<(Config, Assets), String>;

impl fmt::Debug for Reload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reload").field("is_due", &self.is_due).finish_non_exhaustive()
    }
}

impl Reload {
    pub(super) fn new(configured: Config, reread: Reread) -> Self {
        Self { configured, reread, under_way: None, is_due: false }
    }

    /// `served` is what is served until then.
    fn begin(&mut self, served: Arc<Assets>) -> io::Result<()> {
        let (answers, inbox) = sync_channel(1);
        let reread = self.reread;
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let answer = catch_panic(|| read(reread, &served))
                .unwrap_or_else(|| Err("the attempt panicked".to_owned()));
            // Before the answer: the loop is to hold the last of the old files.
            drop(served);
            // Nobody listens when the server has ended meanwhile.
            let _ = answers.send(answer);
        })?;
        self.under_way = Some(inbox);
        Ok(())
    }

    /// The answer of the reload under way, when there is one.
    fn take_answer(&mut self) -> Option<Answer> {
        let answer = match self.under_way.as_ref()?.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the attempt ended without an answer".to_owned()),
        };
        self.under_way = None;
        Some(answer)
    }
}

fn read(reread: Reread, served: &Assets) -> Answer {
    let config = reread().map_err(|error| error.to_string())?;
    let assets = Assets::configured(&config, served).map_err(|error| format!("STATIC_DIR: {error}"))?;
    Ok((config, assets))
}

impl Server {
    /// Begins to read configuration and files anew.
    pub(super) fn begin_reload(&mut self) {
        if self.reload.under_way.is_some() {
            self.reload.is_due = true;
        } else if let Err(error) = self.reload.begin(Arc::clone(&self.assets)) {
            log::error!("reload: nothing changes, no thread could be started: {error}");
        }
    }

    /// Takes over what was read, if anything was.
    pub(super) fn finish_reload(&mut self) {
        let Some(answer) = self.reload.take_answer() else { return };
        match answer {
            Ok((config, assets)) => self.take_over(config, assets),
            Err(problems) => {
                for problem in problems.lines() {
                    log::error!("reload: nothing changes: {problem}");
                }
            }
        }
        if std::mem::take(&mut self.reload.is_due) {
            self.begin_reload();
        }
    }

    fn take_over(&mut self, fresh: Config, assets: Assets) {
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
        self.follow_governor();
        log::set_max_level(self.config.log_level);
    }
}
