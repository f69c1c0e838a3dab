//! Joining the cluster: the connection to its bus, and the identity of this node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::{fs, io};

use mio::{Registry, Waker};

use super::BUS;
use crate::cluster::Node;
use crate::cluster::authentication::Authenticator;
use crate::cluster::bus::Bus as _;
use crate::cluster::link::{Address, Link};
use crate::cluster::message::NodeId;
use crate::cluster::status::port_group_of;
use crate::config::Config;
use crate::limits::NODE_NAME_BYTES_MAX;
use crate::server::core::cluster::Cluster;

/// Joins the configured cluster; `None` if none is configured. `id` is that of the process before, if there was one.
pub(super) fn join(
    config: &Config,
    registry: &Registry,
    id: Option<NodeId>,
) -> io::Result<Option<Cluster<Link>>> {
    let Some(url) = &config.cluster_url else { return Ok(None) };
    let id = id.map_or_else(|| getrandom::u64().map_err(io::Error::other), Ok)?;
    let address = Address::new(url.reveal(), &config.cluster_world, id)
        .ok_or_else(|| io::Error::other("CLUSTER_URL is not a Redis address"))?;
    let waker = Arc::new(Waker::new(registry, BUS)?);
    let wake = move || {
        // If waking fails, the next tick polls the link.
        let _ = waker.wake();
    };
    let node = Node::new(id, name_of(config), (config.world_width, config.world_height));
    let seal = config.cluster_secret.as_ref().map(Authenticator::new);
    let node = if seal.is_some() { node.require_fresh() } else { node };
    let port_group = port_group(config, seal.is_some());
    let link = Link::start(address, seal, wake)?;
    log::info!("cluster: joining world {} through the bus at {}", config.cluster_world, link.address());
    Ok(Some(Cluster::new(node, link, port_group)))
}

/// Returns the id of this node's port group; 0 without one. A group needs a secret, since any client of Redis could otherwise
/// make its nodes refuse players.
fn port_group(config: &Config, has_secret: bool) -> u64 {
    if !config.reuse_port {
        return 0;
    }
    if !has_secret {
        log::warn!(
            "REUSE_PORT without CLUSTER_SECRET: each process has its own limits, and none yields connections to others"
        );
        return 0;
    }
    // Containers have namespaces of their own.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let network = fs::read_link("/proc/self/ns/net").unwrap_or_default();
    let address = SocketAddr::new(config.host, config.port).to_string();
    port_group_of(&[&boot, &network.to_string_lossy(), &address])
}

fn name_of(config: &Config) -> String {
    config.node_name.clone().unwrap_or_else(|| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // Processes that share a port need different names.
        let process = if config.reuse_port { format!("-{}", std::process::id()) } else { String::new() };
        let port = format!(":{}{process}", config.port);
        // The host name is truncated and filtered, so that peers accept the name.
        let host = host
            .chars()
            .filter(|&sign| sign.is_ascii_alphanumeric() || ".-_".contains(sign))
            .take(NODE_NAME_BYTES_MAX - port.len());
        host.chain(port.chars()).collect()
    })
}
