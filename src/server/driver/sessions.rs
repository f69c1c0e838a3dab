//! The sessions of earlier processes, from the state directory.

use std::path::PathBuf;

use crate::config::Config;
use crate::server::core::table::Token;
use crate::sessions::Sessions;
use crate::sessions::store::{self, Store};

/// Creates the sessions for this configuration, and loads those that earlier processes stored.
pub(super) fn sessions_from(config: &Config) -> Sessions<Token> {
    let folder = state_dir(config);
    if config.cluster_url.is_some() {
        return Sessions::for_cluster(config.resume_ttl_s);
    }
    let open = |folder: &PathBuf| Store::open(folder, config.resume_ttl_s);
    let store = folder.map(open).transpose().unwrap_or_else(|why| {
        log_unsaved(&why);
        None
    });
    let mut sessions = Sessions::new(config.resume_ttl_s, store);
    sessions.load(0);
    sessions
}

/// Logs the errors that [`sessions_from`] would log about the state directory, without changing anything in it.
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
