//! Reload: SIGHUP makes the system read the configuration and the static files again, and the core applies them between two
//! ticks. If anything can't be read, nothing changes.

use std::sync::Arc;

use super::routes::log_shadowed_files;
use super::system::System;
use super::{Core, configured_quality};
use crate::config::{Config, Reloaded};
use crate::server::assets::Assets;

/// State of the current reload.
#[derive(Debug)]
pub(super) struct Reload {
    /// The configuration as given, before it is limited to the available descriptors.
    configured: Config,
    is_pending: bool,
    /// SIGHUP arrived during a reload, which may have read older contents: another reload follows.
    is_requested_again: bool,
}

impl Reload {
    pub(super) fn new(configured: Config) -> Self {
        Self { configured, is_pending: false, is_requested_again: false }
    }
}

impl<S: System> Core<S> {
    /// Starts a reload, or schedules another one if one is in progress.
    pub fn begin_reload(&mut self) {
        if self.reload.is_pending {
            self.reload.is_requested_again = true;
            return;
        }
        match self.system.begin_reload(Arc::clone(&self.assets)) {
            Ok(()) => self.reload.is_pending = true,
            Err(error) => log::error!("reload: nothing changes: starting a thread failed: {error}"),
        }
    }

    /// Applies the result of a reload once there is one.
    pub(super) fn finish_reload(&mut self) {
        let Some(result) = self.reload.is_pending.then(|| self.system.finish_reload()).flatten() else {
            return;
        };
        self.reload.is_pending = false;
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
            Some(self.system.capacity_for(wanted))
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
