//! The server's part of `--check-config`: reports the errors and warnings that a start would log about
//! listeners, the keys, the cluster's URL and the state directory, without side effects.

use std::io;

use super::{keys, listener, sessions};
use crate::cluster::link::Address;
use crate::config::Config;

/// Returns all errors that would make [`Server::bind`](super::Server::bind) fail, and logs warnings.
pub fn check(config: &Config) -> Vec<io::Error> {
    let addresses = listener::places(config).into_iter().filter_map(|place| place.check().err());
    let problems = keys::load(config).err().map(io::Error::other).into_iter().chain(addresses).collect();
    if let Some(Err(warning)) = config.cluster_url.as_ref().map(|url| Address::check(url.reveal())) {
        log::warn!("{warning}");
    }
    sessions::check(config);
    problems
}
