//! Routes: the built-in paths of each listener, and the files of `STATIC_DIR` that they shadow.

use super::Core;
use super::pages::{DASHBOARD, PLAY, Page, RULES, is_dashboard_path};
use super::site::Site;
use super::system::Listener;
use super::system::System;
use super::table::Token;
use crate::config::Config;
use crate::server::core::assets::{Asset, Assets};

pub(super) const METRICS: [&str; 2] = ["/metrics", "/metrics/prometheus"];

/// Whether this listener serves metrics and the dashboard, which players should not see. With an admin
/// listener they are served only there, and their paths at the public one are free for files.
fn serves_admin(config: &Config, listener: Listener) -> bool {
    listener == Listener::Admin || config.admin_addr.is_none()
}

/// Whether the server itself handles exactly this path, with or without a trailing slash; page files excluded.
pub(super) fn is_builtin(config: &Config, listener: Listener, path: &str) -> bool {
    match path {
        "/health" => true,
        "/ws" | PLAY | RULES => listener == Listener::Public,
        _ => (METRICS.contains(&path) || path == DASHBOARD) && serves_admin(config, listener),
    }
}

/// Returns the built-in page or page file at a path.
pub(super) fn page_at<'a>(
    site: &'a Site,
    config: &Config,
    listener: Listener,
    path: &str,
) -> Option<&'a Page> {
    if path == RULES {
        return (listener == Listener::Public).then_some(&site.rules);
    }
    let is_here = match listener {
        Listener::Public => serves_admin(config, listener) || !is_dashboard_path(path),
        Listener::Admin => is_dashboard_path(path),
    };
    if is_here { site.pages.lookup(path, config.static_dir.is_none()) } else { None }
}

/// Returns the static file at a path. The admin listener serves none.
pub(super) fn file_at<'a>(assets: &'a Assets, listener: Listener, path: &str) -> Option<&'a Asset> {
    match listener {
        Listener::Public => assets.lookup(path),
        Listener::Admin => None,
    }
}

/// Whether this path serves metrics at this listener.
pub(super) fn is_metrics<S: System>(core: &Core<S>, listener: Listener, path: &str) -> bool {
    METRICS.contains(&path) && serves_admin(&core.config, listener)
}

/// Returns the listener that accepted a connection.
pub(super) fn listener_of<S: System>(core: &Core<S>, token: Token) -> Listener {
    core.connections.get(token).map_or(Listener::Public, |connection| connection.listener)
}

/// Logs, in one line, the static files that are shadowed by built-in paths.
pub fn log_shadowed_files(config: &Config, assets: &Assets) {
    let own = ["/health", "/ws", PLAY, RULES, DASHBOARD].into_iter().chain(METRICS);
    let shadowed =
        shadowed_files(own.filter(|address| is_builtin(config, Listener::Public, address)), assets);
    if !shadowed.is_empty() {
        let shadowed: Vec<String> =
            shadowed.iter().map(|(address, file)| format!("{address} before {file}")).collect();
        log::warn!("STATIC_DIR: files shadowed by built-in paths: {}", shadowed.join(", "));
    }
}

/// Returns the built-in paths that are also paths of files or folders with an index, each with its file.
fn shadowed_files<'a>(own: impl Iterator<Item = &'a str>, assets: &Assets) -> Vec<(&'a str, String)> {
    let mut shadowed: Vec<(&str, String)> = own
        .flat_map(|address| {
            let key = address.trim_start_matches('/');
            [key.to_owned(), format!("{key}/index.html")].map(|key| (address, key))
        })
        .filter(|(_, key)| assets.has(key))
        .collect();
    shadowed.sort_unstable();
    shadowed
}
