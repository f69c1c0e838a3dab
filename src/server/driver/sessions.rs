//! The sessions of earlier processes, from the state directory.

use std::path::PathBuf;

use crate::config::Config;
use crate::server::core::table::Token;
use crate::sessions::Sessions;
use crate::sessions::store::{self, Store};

/// Creates the sessions for this configuration, and loads those that earlier processes stored.
pub(super) fn load(config: &Config) -> Sessions<Token> {
    let mut sessions = open(config);
    sessions.load(0);
    sessions
}

/// Creates the sessions for this configuration without those that earlier processes stored.
pub(super) fn open(config: &Config) -> Sessions<Token> {
    let folder = state_dir(config);
    if config.cluster_url.is_some() {
        return Sessions::for_cluster(config.resume_ttl_s);
    }
    let open = |folder: &PathBuf| Store::open(folder, config.resume_ttl_s);
    let store = folder.map(open).transpose().unwrap_or_else(|why| {
        log_unsaved(&why);
        None
    });
    Sessions::new(config.resume_ttl_s, store)
}

/// Logs the errors that [`open`] would log about the state directory, without changing anything in it.
pub(super) fn check(config: &Config) {
    if let Some(Err(why)) = state_dir(config).map(|folder| store::check(folder)) {
        log_unsaved(&why);
    }
}

/// Returns the state directory if sessions are stored in a file.
fn state_dir(config: &Config) -> Option<&PathBuf> {
    if config.cluster_url.is_some() && config.state_dir.is_some() {
        log::warn!("STATE_DIR has no effect: in a cluster the bus keeps the sessions");
        return None;
    }
    config.state_dir.as_ref()
}

fn log_unsaved(why: &str) {
    log::error!("{why}; sessions will not survive a restart");
}
