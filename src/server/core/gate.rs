//! The gate admits connections, and chooses the ones to displace for them. It counts every connection that is not a player.
//! It decides; the caller closes and inserts.
//!
//! Invariants: an open connection that is not a player is in `admin_connections`, in `monitoring_connections`, on a reserve
//! descriptor, or in `http_connections`, and in one of them only. No set exceeds its capacity, except for a reload that lowers it.

use serde::{Deserialize, Serialize};

use super::accept::Listeners;
use super::capacity::Capacity;
use super::connection::ConnectionClass;
use super::displacement::{Activity, HttpConnections};
use super::monitoring_connections::MonitoringConnections;
use super::peer_address::PeerAddresses;
use super::reserve_descriptors::ReserveDescriptors;
use super::system::Listener;
use super::table::Token;
use crate::admission::Network;
use crate::config::Config;
use crate::limits::ADMIN_CONNECTIONS_MAX;

/// Whether there is room for a connection, and of which class it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Free(ConnectionClass),
    /// There is room once this connection is closed, which has this activity.
    Displacing(Token, Activity, ConnectionClass),
    /// There is none.
    None,
}

/// Admission of connections.
#[derive(Debug, Serialize, Deserialize)]
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
    pub fn new(config: &Config, capacity: Capacity, seed: u64) -> Self {
        Self {
            listeners: Listeners::new(config.admin_addr.is_some()),
            reserve_descriptors: ReserveDescriptors::new(),
            peer_addresses: PeerAddresses::new(config, seed),
            http_connections: HttpConnections::new(capacity.regular_http()),
            monitoring_connections: MonitoringConnections::new(capacity.monitoring()),
            admin_connections: HttpConnections::new(ADMIN_CONNECTIONS_MAX),
        }
    }

    /// Returns the number of connections that are not players.
    pub fn len(&self) -> usize {
        self.http_connections.len()
            + self.monitoring_connections.len()
            + self.admin_connections.len()
            + self.reserve_descriptors.lent()
    }

    /// Continues in another process, which holds no reserve descriptors yet.
    pub fn resume(&mut self, config: &Config, processes: u32, capacity: Capacity) {
        self.listeners.resume();
        self.reserve_descriptors.resume();
        self.peer_addresses.resume(config, processes);
        self.set_capacity(capacity);
    }

    /// Changes the number of connections. Closes none.
    pub fn set_capacity(&mut self, capacity: Capacity) {
        self.http_connections.set_capacity(capacity.regular_http());
        self.monitoring_connections.set_capacity(capacity.monitoring());
    }

    /// Returns the room at the public listener: unused HTTP capacity, else that of a displaced connection, else that kept for
    /// monitoring. `open` is the number of all connections, `players_max` the limit of players.
    pub fn room(&self, open: usize, players_max: usize, now_ms: u64) -> Room {
        let open = open - self.admin_connections.len() - self.reserve_descriptors.lent();
        if !self.http_connections.is_full() && open < players_max + self.http_connections.capacity() {
            return Room::Free(ConnectionClass::Regular);
        }
        if let Some((token, activity)) = self.http_connections.next_displaced(now_ms) {
            return Room::Displacing(token, activity, ConnectionClass::Regular);
        }
        if !self.monitoring_connections.is_full() {
            return Room::Free(ConnectionClass::Monitoring);
        }
        self.monitoring_connections.next_displaced(now_ms).map_or(Room::None, |token| {
            Room::Displacing(token, Activity::ReadingHead, ConnectionClass::Monitoring)
        })
    }

    /// Returns the room at the admin listener, whose connections displace only each other.
    pub fn admin_room(&self, now_ms: u64) -> Room {
        let is_full = self.admin_connections.is_full();
        displacing(is_full, || self.admin_connections.next_displaced(now_ms))
    }

    /// Returns the room for a connection of this address; without a counted address there is always room.
    pub fn address_room(&self, network: Option<Network>, now_ms: u64) -> Room {
        let (connections, most) = (&self.http_connections, self.peer_addresses.http_connections_max());
        let full = network.filter(|&network| most > 0 && connections.count_of(network) >= most);
        displacing(full.is_some(), || connections.next_displaced_of(full?, now_ms))
    }

    /// Counts a connection that was just accepted. One on a reserve descriptor is lent there.
    pub fn insert(
        &mut self,
        token: Token,
        listener: Listener,
        class: ConnectionClass,
        network: Option<Network>,
        now_ms: u64,
    ) {
        match (listener, class) {
            (_, ConnectionClass::ReserveDescriptor) => self.reserve_descriptors.lend(token, now_ms),
            (_, ConnectionClass::Monitoring) => self.monitoring_connections.insert(token, now_ms),
            (Listener::Admin, _) => self.admin_connections.insert(token, None, now_ms),
            (Listener::Public, _) => self.http_connections.insert(token, network, now_ms),
        }
    }
}

/// Returns the room for a regular connection, after the displacement of the `next` one if there is no other.
fn displacing(is_full: bool, next: impl FnOnce() -> Option<(Token, Activity)>) -> Room {
    if !is_full {
        return Room::Free(ConnectionClass::Regular);
    }
    next().map_or(Room::None, |(token, activity)| Room::Displacing(token, activity, ConnectionClass::Regular))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HTTP_PROGRESS_MS, HTTP_RESERVED_HOLD_MS};

    const PLAYERS_MAX: usize = 10;

    /// A gate with room for two regular connections and one for monitoring.
    fn small_gate() -> Gate {
        let capacity = Capacity { players: PLAYERS_MAX, http: 3 };
        let mut gate = Gate::new(&Config::default(), capacity, 0);
        gate.http_connections.set_capacity(2);
        gate.monitoring_connections.set_capacity(1);
        gate
    }

    #[test]
    fn a_newcomer_takes_free_room_then_displaces_then_monitors() {
        let (regular, monitoring) = (ConnectionClass::Regular, ConnectionClass::Monitoring);
        let mut gate = small_gate();
        for token in [Token(1), Token(2)] {
            assert_eq!(gate.room(0, PLAYERS_MAX, 0), Room::Free(regular));
            gate.insert(token, Listener::Public, regular, None, 0);
        }
        let oldest = Room::Displacing(Token(1), Activity::ReadingHead, regular);
        assert_eq!(gate.room(2, PLAYERS_MAX, 0), oldest);
        for token in [Token(1), Token(2)] {
            gate.http_connections.set_activity(token, Activity::Answering, 0);
        }
        assert_eq!(gate.room(2, PLAYERS_MAX, 0), Room::Free(monitoring));
        gate.insert(Token(3), Listener::Public, monitoring, None, 0);
        assert_eq!(gate.room(3, PLAYERS_MAX, 0), Room::None);
        let displaced = Room::Displacing(Token(3), Activity::ReadingHead, monitoring);
        assert_eq!(gate.room(3, PLAYERS_MAX, HTTP_RESERVED_HOLD_MS), displaced);
        let stalled = Room::Displacing(Token(1), Activity::Answering, regular);
        assert_eq!(gate.room(3, PLAYERS_MAX, HTTP_PROGRESS_MS), stalled);
    }

    #[test]
    fn connections_of_the_admin_listener_displace_only_each_other() {
        let mut gate = small_gate();
        gate.insert(Token(1), Listener::Public, ConnectionClass::Regular, None, 0);
        for number in 0..ADMIN_CONNECTIONS_MAX {
            assert_eq!(gate.admin_room(1), Room::Free(ConnectionClass::Regular));
            gate.insert(Token(10 + number), Listener::Admin, ConnectionClass::Regular, None, 1);
        }
        let displaced = Room::Displacing(Token(10), Activity::ReadingHead, ConnectionClass::Regular);
        assert_eq!(gate.admin_room(1), displaced);
        let open = 1 + ADMIN_CONNECTIONS_MAX;
        assert_eq!(gate.room(open, 0, 1), Room::Free(ConnectionClass::Regular));
    }
}
