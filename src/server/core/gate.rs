//! The gate: who may connect, and which connection is displaced for it. It counts every connection that is not a player.

use super::accept::Listeners;
use super::capacity::Capacity;
use super::displacement::HttpConnections;
use super::monitoring_connections::MonitoringConnections;
use super::peer_address::PeerAddresses;
use super::reserve_descriptors::ReserveDescriptors;
use crate::config::Config;
use crate::limits::ADMIN_CONNECTIONS_MAX;

/// Admission of connections.
#[derive(Debug)]
pub(super) struct Gate {
    pub listeners: Listeners,
    pub reserve_descriptors: ReserveDescriptors,
    pub peer_addresses: PeerAddresses,
    /// Connections of the public listener that are not players.
    pub http_connections: HttpConnections,
    /// Connections reserved for health checks and metrics.
    pub monitoring_connections: MonitoringConnections,
    /// Connections of the admin listener.
    pub admin_connections: HttpConnections,
}

impl Gate {
    pub fn new(config: &Config, capacity: Capacity) -> Self {
        Self {
            listeners: Listeners::new(config.admin_addr.is_some()),
            reserve_descriptors: ReserveDescriptors::new(),
            peer_addresses: PeerAddresses::new(config),
            http_connections: HttpConnections::new(capacity.regular_http()),
            monitoring_connections: MonitoringConnections::new(capacity.monitoring()),
            admin_connections: HttpConnections::new(ADMIN_CONNECTIONS_MAX),
        }
    }

    /// Changes the number of connections. Closes none.
    pub fn set_capacity(&mut self, capacity: Capacity) {
        self.http_connections.set_capacity(capacity.regular_http());
        self.monitoring_connections.set_capacity(capacity.monitoring());
    }
}
