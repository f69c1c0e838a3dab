//! Reload: SIGHUP makes the system read the configuration and the static files again, and the core applies them between two
//! ticks. If anything can't be read, nothing changes.

use std::sync::Arc;

use super::Core;
use super::cluster;
use super::pages::Page;
use super::routes::log_shadowed_files;
use super::system::System;
use crate::config::{Config, Reloaded};
use crate::server::core::assets::Assets;

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

    /// Returns the configuration as given, before it is limited to the available descriptors.
    pub fn configured(&self) -> &Config {
        &self.configured
    }

    /// Whether a reload is in progress.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }
}

/// Starts a reload, or schedules another one if one is in progress.
pub(super) fn begin_reload<S: System>(core: &mut Core<S>) {
    if core.lifecycle.reload.is_pending {
        core.lifecycle.reload.is_requested_again = true;
        return;
    }
    match core.system.begin_reload(Arc::clone(&core.site.assets)) {
        Ok(()) => core.lifecycle.reload.is_pending = true,
        Err(error) => log::error!("reload: nothing changes: starting a thread failed: {error}"),
    }
}

/// Applies the result of a reload once there is one.
pub(super) fn finish_reload<S: System>(core: &mut Core<S>) {
    let Some(result) = core.lifecycle.reload.is_pending.then(|| core.system.finish_reload()).flatten() else {
        return;
    };
    core.lifecycle.reload.is_pending = false;
    match result {
        Ok((config, assets, keys)) => {
            if keys.len() + core.accounts.keys.len() > 0 {
                log::info!("reload: {} keys verify tokens", keys.len());
            }
            core.accounts.keys = keys;
            apply_config(core, config, assets);
        }
        Err(problems) => {
            for problem in problems.lines() {
                log::error!("reload: nothing changes: {problem}");
            }
        }
    }
    if std::mem::take(&mut core.lifecycle.reload.is_requested_again) {
        begin_reload(core);
    }
}

/// Changes one live setting. Returns the change.
///
/// # Errors
/// No live setting has this name, or the value is not allowed.
pub(super) fn set<S: System>(core: &mut Core<S>, name: &str, value: &str) -> Result<String, String> {
    let fresh = core.lifecycle.reload.configured.with_setting(name, value)?;
    let Reloaded { config, changes, .. } = core.lifecycle.reload.configured.reloaded(fresh);
    apply_settings(core, config);
    Ok(changes.first().map_or_else(|| format!("{name}={value}, as before"), ToString::to_string))
}

fn apply_config<S: System>(core: &mut Core<S>, fresh: Config, assets: Assets) {
    let Reloaded { config, changes, needs_restart } = core.lifecycle.reload.configured.reloaded(fresh);
    for change in &changes {
        log::info!("reload: {change}");
    }
    for change in needs_restart {
        log::warn!("reload: {change}, effective at the next start");
    }
    assets.log_notices();
    core.site.assets = Arc::new(assets);
    log_shadowed_files(&config, &core.site.assets);
    log::info!(
        "reload: {} settings changed, {} files are served, {} of them read",
        changes.len(),
        core.site.assets.file_count(),
        core.site.assets.read_count()
    );
    apply_settings(core, config);
}

/// Applies the live settings.
fn apply_settings<S: System>(core: &mut Core<S>, config: Config) {
    let wanted = config.max_connections;
    let room = if wanted == core.lifecycle.reload.configured.max_connections {
        None
    } else {
        Some(core.system.capacity_for(wanted, config.reuse_port))
    };
    core.lifecycle.reload.configured = config.clone();
    core.config = Config { max_connections: core.config.max_connections, ..config };
    if let Some(room) = room {
        core.config.max_connections = room.players;
        core.gate.set_capacity(room);
    }
    core.gate.peer_addresses.reconfigure(&core.config, cluster::processes(core));
    core.engine.reconfigure(&core.config);
    core.site.rules = Page::rules(&core.config);
    core.sessions.store.set_ttl(core.config.resume_ttl_s);
    log::set_max_level(core.config.log_level);
}
