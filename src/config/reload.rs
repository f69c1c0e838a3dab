//! Merges a newly read configuration into that of a running server.

use std::fmt;

use super::Config;
use super::render::values;
use super::settings::SETTINGS;
use super::sources;
use crate::ops::secret::without_credentials;

/// The result of a merge: live settings have their new values, the others are unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The configuration after the reload.
    pub config: Config,
    /// Applied changes.
    pub changes: Vec<Change>,
    /// Changes that need a restart.
    pub needs_restart: Vec<Change>,
}

/// A changed setting. Both values are written as an operator would write them, with secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting's variable.
    pub variable: &'static str,
    /// Its value before the reload.
    pub before: String,
    /// Its value in the new configuration.
    pub after: String,
}

impl Config {
    /// Merges the live settings of a valid configuration into this one.
    pub fn reloaded(&self, fresh: Config) -> Reloaded {
        let is_live = |change: &Change| {
            SETTINGS.iter().any(|setting| setting.variable == change.variable && setting.is_live)
        };
        let (changes, needs_restart) = self.changes_to(&fresh).into_iter().partition(is_live);
        Reloaded { config: self.with_live(fresh), changes, needs_restart }
    }

    fn changes_to(&self, fresh: &Config) -> Vec<Change> {
        let pairs = values(self).into_iter().zip(values(fresh));
        pairs
            .filter(|((_, before), (_, after))| before != after)
            .map(|((variable, before), (_, after))| Change::new(variable, &before, &after))
            .collect()
    }

    /// Returns the new configuration with every setting that isn't live taken from this one.
    fn with_live(&self, fresh: Config) -> Config {
        Config {
            host: self.host,
            port: self.port,
            admin_addr: self.admin_addr,
            workers: self.workers,
            trusted_proxies: self.trusted_proxies.clone(),
            proxy_protocol: self.proxy_protocol,
            tick_rate_hz: self.tick_rate_hz,
            player_speed: self.player_speed,
            world_width: self.world_width,
            world_height: self.world_height,
            spawn_min_x: self.spawn_min_x,
            spawn_max_x: self.spawn_max_x,
            spawn_min_y: self.spawn_min_y,
            spawn_max_y: self.spawn_max_y,
            spawn_seed: self.spawn_seed,
            attack_duration_ms: self.attack_duration_ms,
            state_dir: self.state_dir.clone(),
            cluster_url: self.cluster_url.clone(),
            cluster_secret: self.cluster_secret.clone(),
            cluster_world: self.cluster_world.clone(),
            node_name: self.node_name.clone(),
            read_buffer_bytes: self.read_buffer_bytes,
            log_file: self.log_file.clone(),
            log_format: self.log_format,
            ..fresh
        }
    }
}

impl Change {
    fn new(variable: &'static str, before: &str, after: &str) -> Self {
        let secrecy = sources::setting(variable).secrecy;
        let [before, after] =
            [before, after].map(|value| without_credentials(&secrecy.redacted(value)).into_owned());
        Self { variable, before, after }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was = if self.before.is_empty() { "unset" } else { &self.before };
        write!(out, "{}={}, was {was}", self.variable, self.after)
    }
}
