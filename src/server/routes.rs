//! Which addresses the server answers itself, at which listener, and which files of `STATIC_DIR` have the same ones.

use mio::Token;

use super::Server;
use super::accept::Listener;
use super::assets::{Asset, Assets};
use super::pages::{DASHBOARD, PLAY, Page, Pages, is_dashboard_path};
use crate::config::Config;

const METRICS: [&str; 2] = ["/metrics", "/metrics/prometheus"];

/// Whether this listener serves what says more about the server than players are to know. Operators with a listener of
/// their own find it there alone, and at the other one its addresses are free for files.
fn serves_admin(config: &Config, listener: Listener) -> bool {
    listener == Listener::Admin || config.admin_addr.is_none()
}

/// Whether the server itself answers at exactly this address, files of its pages aside. A slash at the end makes no
/// difference to these.
pub(super) fn is_builtin(config: &Config, listener: Listener, path: &str) -> bool {
    match path {
        "/health" => true,
        "/ws" | PLAY => listener == Listener::Public,
        _ => (METRICS.contains(&path) || path == DASHBOARD) && serves_admin(config, listener),
    }
}

/// The page of the server's own that is found at a path.
pub(super) fn page_at<'a>(
    pages: &'a Pages,
    config: &Config,
    listener: Listener,
    path: &str,
) -> Option<&'a Page> {
    let is_here = match listener {
        Listener::Public => serves_admin(config, listener) || !is_dashboard_path(path),
        Listener::Admin => is_dashboard_path(path),
    };
    if is_here { pages.lookup(path, config.static_dir.is_none()) } else { None }
}

/// The file that is found at a path. Operators have none.
pub(super) fn file_at<'a>(assets: &'a Assets, listener: Listener, path: &str) -> Option<&'a Asset> {
    match listener {
        Listener::Public => assets.lookup(path),
        Listener::Admin => None,
    }
}

impl Server {
    /// Whether a path is that of metrics at this listener.
    pub(super) fn is_metrics(&self, listener: Listener, path: &str) -> bool {
        METRICS.contains(&path) && serves_admin(&self.config, listener)
    }

    /// The listener at which a connection came in.
    pub(super) fn listener_of(&self, token: Token) -> Listener {
        self.table.get(token).map_or(Listener::Public, |connection| connection.listener)
    }
}

/// Writes to the log, in one line, which files give way to the server's own resources at an address.
pub fn log_shadowed_files(config: &Config, assets: &Assets) {
    let own = ["/health", "/ws", PLAY, DASHBOARD].into_iter().chain(METRICS);
    let shadowed =
        shadowed_files(own.filter(|address| is_builtin(config, Listener::Public, address)), assets);
    if !shadowed.is_empty() {
        let shadowed: Vec<String> =
            shadowed.iter().map(|(address, file)| format!("{address} before {file}")).collect();
        log::warn!("STATIC_DIR: the server's own resources come first: {}", shadowed.join(", "));
    }
}

/// Of these addresses those that files have as well, with the files. A folder's file has the folder's address too.
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
