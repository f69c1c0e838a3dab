//! The server's part of `--check-config`: reports the errors and warnings that a start would log about
//! listeners, the cluster's URL and the state directory, without side effects.

use std::io;
use std::net::SocketAddr;

use super::accept::Acceptor;
use super::reconnect;
use crate::cluster::link::Address;
use crate::config::Config;

/// Returns the addresses to listen on, the public one first, each with the settings that define it.
pub(super) fn listen_addresses(config: &Config) -> Vec<(SocketAddr, String)> {
    let (host, port) = (config.host, config.port);
    let game = ((host, port).into(), format!("HOST={host} PORT={port}"));
    let admin = config.admin_addr.map(|address| (address, format!("ADMIN_ADDR={address}")));
    [game].into_iter().chain(admin).collect()
}

/// Returns all errors that would make [`Server::bind`](super::Server::bind) fail, and logs the warnings of a
/// start.
pub fn check(config: &Config) -> Vec<io::Error> {
    let addresses = listen_addresses(config).into_iter();
    let problems =
        addresses.filter_map(|(address, settings)| Acceptor::check(address, &settings).err()).collect();
    if let Some(Err(warning)) = config.cluster_url.as_ref().map(|url| Address::check(url.reveal())) {
        log::warn!("{warning}");
    }
    reconnect::check(config);
    problems
}
