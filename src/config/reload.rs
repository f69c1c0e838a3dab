//! Merges a newly read configuration into that of a running server.

use std::fmt;

use super::Config;
use super::settings::Setting;
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
        let pairs = self.values().into_iter().zip(fresh.values());
        let changed = pairs.filter(|((_, before), (_, after))| before != after);
        let (live, others): (Vec<_>, Vec<_>) = changed.partition(|((setting, _), _)| setting.is_live);
        let changes = |pairs: Vec<_>| pairs.into_iter().map(Change::new).collect();
        Reloaded { config: self.with_live(fresh), changes: changes(live), needs_restart: changes(others) }
    }
}

impl Change {
    fn new(((setting, before), (_, after)): ((&Setting, String), (&Setting, String))) -> Self {
        let [before, after] =
            [before, after].map(|value| without_credentials(&setting.secrecy.redacted(&value)).into_owned());
        Self { variable: setting.variable, before, after }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was = if self.before.is_empty() { "unset" } else { &self.before };
        write!(out, "{}={}, was {was}", self.variable, self.after)
    }
}
