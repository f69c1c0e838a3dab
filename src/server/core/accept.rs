//! Accepts connections: enforces the cap on connections, displaces an old connection for a new one
//! (`displacement`), and handles exhaustion of descriptors and memory. A few connections are answered on
//! reserve descriptors; after that the server pauses accepting.

use std::io;
use std::net::IpAddr;

use super::Core;
use super::connection::{Connection, ConnectionClass, Http, Phase};
use super::displacement::Activity;
use super::http_budget::HttpSlice;
use super::http_queue::Alternation;
use super::peer_address::{PeerAddress, Rejection, TooManyRequests};
use super::system::{Accepted, Listener, Socket, System};
use super::table::Token;
use crate::admission::Network;
use crate::limits::{
    ACCEPT_PAUSE_MS, EXHAUSTION_LOG_INTERVAL_MS, HTTP_HEAD_BYTES_MAX, HTTP_TIMEOUT_MS,
    RESERVE_DESCRIPTOR_TIMEOUT_MS,
};
use crate::ops::metrics::{Refused, Truncation};
use crate::wire::http::{Response, Status};

/// Whether connections wait at the listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    public: Backlog,
    admin: Option<Backlog>,
    alternation: Alternation,
    /// Earliest time to log exhaustion again, in milliseconds of the loop's clock.
    log_exhaustion_at_ms: u64,
}

/// The connections that wait at a listener.
#[derive(Debug)]
struct Backlog {
    /// The backlog may hold connections. Readiness is edge-triggered, so the flag stays set until `accept`
    /// would block.
    ready: bool,
    /// No accept before this time, in milliseconds of the loop's clock.
    paused_until_ms: u64,
}

impl Backlog {
    const NEW: Self = Self { ready: true, paused_until_ms: 0 };

    fn is_ready(&self, now_ms: u64) -> bool {
        self.ready && now_ms >= self.paused_until_ms
    }
}

impl Listeners {
    pub(super) fn new(has_admin: bool) -> Self {
        let admin = has_admin.then_some(Backlog::NEW);
        Self { public: Backlog::NEW, admin, alternation: Alternation::default(), log_exhaustion_at_ms: 0 }
    }

    fn at(&self, listener: Listener) -> Option<&Backlog> {
        match listener {
            Listener::Public => Some(&self.public),
            Listener::Admin => self.admin.as_ref(),
        }
    }

    fn at_mut(&mut self, listener: Listener) -> Option<&mut Backlog> {
        match listener {
            Listener::Public => Some(&mut self.public),
            Listener::Admin => self.admin.as_mut(),
        }
    }

    pub(super) fn set_ready(&mut self, listener: Listener) {
        if let Some(backlog) = self.at_mut(listener) {
            backlog.ready = true;
        }
    }

    pub(super) fn is_any_ready(&self, now_ms: u64) -> bool {
        let is_ready = |listener| self.at(listener).is_some_and(|backlog| backlog.is_ready(now_ms));
        is_ready(Listener::Public) || is_ready(Listener::Admin)
    }

    fn end_pauses(&mut self) {
        for listener in [Listener::Admin, Listener::Public] {
            if let Some(backlog) = self.at_mut(listener) {
                backlog.paused_until_ms = 0;
            }
        }
    }
}

impl<S: System> Core<S> {
    /// Closes expired connections on reserve descriptors and reopens missing reserve descriptors.
    pub(super) fn maintain_reserve_descriptors(&mut self) {
        let now_ms = self.now_ms();
        while let Some(token) = self.reserve_descriptors.next_expired(now_ms) {
            self.metrics.refused[Refused::Descriptors] += 1;
            self.disconnect(token);
        }
        self.reserve_descriptors.refill(now_ms, || self.system.hold_descriptor());
    }

    /// Accepts a connection from the next listener in alternation, if the slice allows one more visit.
    /// Returns whether there may be more.
    pub(super) fn accept_next(&mut self, slice: &mut HttpSlice) -> bool {
        let now_ms = self.now_ms();
        for listener in self.listeners.alternation.order() {
            if !self.listeners.at(listener).is_some_and(|backlog| backlog.is_ready(now_ms)) {
                continue;
            }
            if !slice.take(self.system.monotonic_ns()) {
                return false;
            }
            let accepted = self.accept(listener);
            self.listeners.alternation.served(listener);
            match accepted {
                Accepted::Connection(stream, peer) => self.admit(stream, peer, listener),
                Accepted::None => continue,
                Accepted::Aborted => {}
                Accepted::NoDescriptor(error) => self.accept_on_reserve_descriptor(listener, &error),
                Accepted::NoMemory(error) => self.pause(listener, &error),
            }
            return true;
        }
        false
    }

    fn accept(&mut self, listener: Listener) -> Accepted<S::Socket> {
        let accepted = self.system.accept(listener);
        if let (Accepted::None, Some(backlog)) = (&accepted, self.listeners.at_mut(listener)) {
            backlog.ready = false;
        }
        accepted
    }

    /// Frees the descriptor of an idle connection. If there is none, accepts the next connection on a reserve
    /// descriptor, so that it gets a response before it is closed. Without either, new connections wait in the
    /// backlog.
    fn accept_on_reserve_descriptor(&mut self, listener: Listener, error: &io::Error) {
        let now_ms = self.now_ms();
        if let Some((token, activity @ (Activity::Lingering | Activity::Idle))) =
            self.http_connections.next_displaced(now_ms)
        {
            self.metrics.accept_exhausted_total += 1;
            return self.displace(token, activity);
        }
        if !self.reserve_descriptors.release() {
            return self.pause(listener, error);
        }
        self.system.release_descriptor();
        match self.accept(listener) {
            Accepted::Connection(stream, peer) => {
                self.record_exhaustion(error);
                let admitted = self.check_new(stream, peer, listener);
                if let Some((stream, peer_address)) = admitted
                    && let Some(token) =
                        self.insert(stream, peer_address, listener, ConnectionClass::ReserveDescriptor)
                {
                    self.reserve_descriptors.lend(token, now_ms);
                }
            }
            // Linux reports exhaustion even if the backlog is empty.
            Accepted::None | Accepted::Aborted => {}
            Accepted::NoDescriptor(error) | Accepted::NoMemory(error) => self.pause(listener, &error),
        }
        self.reserve_descriptors.refill(now_ms, || self.system.hold_descriptor());
    }

    fn pause(&mut self, listener: Listener, error: &io::Error) {
        self.record_exhaustion(error);
        let until_ms = self.now_ms() + ACCEPT_PAUSE_MS;
        if let Some(backlog) = self.listeners.at_mut(listener) {
            backlog.paused_until_ms = until_ms;
        }
    }

    fn record_exhaustion(&mut self, error: &io::Error) {
        self.metrics.accept_exhausted_total += 1;
        let now_ms = self.now_ms();
        if now_ms >= self.listeners.log_exhaustion_at_ms {
            log::warn!("cannot accept new connections: {error}");
            self.listeners.log_exhaustion_at_ms = now_ms + EXHAUSTION_LOG_INTERVAL_MS;
        }
    }

    fn admit(&mut self, stream: S::Socket, peer: IpAddr, listener: Listener) {
        let Some((stream, peer_address)) = self.check_new(stream, peer, listener) else { return };
        if listener == Listener::Admin {
            return self.admit_admin(stream, peer_address);
        }
        let network = self.peer_addresses.counted(&peer_address);
        if !self.free_address_capacity(network) {
            self.metrics.refused[Refused::AddressConnections] += 1;
            self.peer_addresses.release(peer_address);
            let date = self.date();
            return reject(stream, |answer| {
                TooManyRequests::too_many_connections().write(answer, None, false, &date);
            });
        }
        let Some(class) = self.free_capacity() else {
            self.peer_addresses.release(peer_address);
            return self.reject_full(stream);
        };
        let Some(token) = self.insert(stream, peer_address, listener, class) else { return };
        match class {
            ConnectionClass::Regular => self.http_connections.insert(token, network, self.now_ms()),
            _ => self.monitoring_connections.insert(token, self.now_ms()),
        }
    }

    /// Admits a connection to the admin listener. These displace only each other.
    fn admit_admin(&mut self, stream: S::Socket, peer_address: PeerAddress) {
        let now_ms = self.now_ms();
        if self.admin_connections.is_full() {
            let Some((token, activity)) = self.admin_connections.next_displaced(now_ms) else {
                return self.reject_full(stream);
            };
            self.displace(token, activity);
        }
        if let Some(token) = self.insert(stream, peer_address, Listener::Admin, ConnectionClass::Regular) {
            self.admin_connections.insert(token, None, now_ms);
        }
    }

    fn reject_full(&mut self, stream: S::Socket) {
        self.metrics.refused[Refused::Full] += 1;
        let line = "too many pending handshakes; try again\n";
        let response =
            Response { headers: &[("Retry-After", "1")], ..Response::text(Status::ServiceUnavailable, line) };
        let date = self.date();
        reject(stream, |answer| response.write(answer, &date));
    }

    /// Counts a connection for the address in its PROXY header. Returns `false` if the address is at its
    /// limit and none of its connections can be displaced.
    pub(super) fn count_for_address(&mut self, token: Token, network: Option<Network>) -> bool {
        let Some(network) = network else { return true };
        let has_room = self.free_address_capacity(Some(network));
        self.http_connections.set_network(token, network);
        has_room
    }

    /// Displaces a connection of an address that is at its limit. Returns `false` if none can be displaced.
    fn free_address_capacity(&mut self, network: Option<Network>) -> bool {
        let most = self.peer_addresses.http_connections_max();
        let Some(network) =
            network.filter(|&network| most > 0 && self.http_connections.count_of(network) >= most)
        else {
            return true;
        };
        let displaced = self.http_connections.next_displaced_of(network, self.now_ms());
        displaced.map(|(token, activity)| self.displace(token, activity)).is_some()
    }

    /// Finds capacity for another connection: unused HTTP capacity, else that of a displaced connection, else
    /// that kept for monitoring. `None` if there is none.
    fn free_capacity(&mut self) -> Option<ConnectionClass> {
        let now_ms = self.now_ms();
        let connections = self.table.len() - self.admin_connections.len() - self.reserve_descriptors.lent();
        let connections_max = self.config.max_connections + self.http_connections.capacity();
        if !self.http_connections.is_full() && connections < connections_max {
            return Some(ConnectionClass::Regular);
        }
        if let Some((token, activity)) = self.http_connections.next_displaced(now_ms) {
            self.displace(token, activity);
            return Some(ConnectionClass::Regular);
        }
        if self.monitoring_connections.is_full() {
            let token = self.monitoring_connections.next_displaced(now_ms)?;
            self.displace(token, Activity::ReadingHead);
        }
        Some(ConnectionClass::Monitoring)
    }

    fn displace(&mut self, token: Token, activity: Activity) {
        match activity {
            Activity::Lingering | Activity::Idle => self.metrics.idle_displaced_total += 1,
            Activity::ReadingHead => self.metrics.refused[Refused::HandshakeDisplaced] += 1,
            Activity::Answering => self.metrics.responses_truncated[Truncation::Displaced] += 1,
        }
        self.disconnect(token);
        // The new connection needs the descriptor immediately.
        self.reap();
    }

    /// Checks the address of a new connection. Answers and drops a refused connection.
    fn check_new(
        &mut self,
        stream: S::Socket,
        peer: IpAddr,
        listener: Listener,
    ) -> Option<(S::Socket, PeerAddress)> {
        self.metrics.connections_accepted_total += 1;
        let result = match listener {
            Listener::Public => self.check_peer(&stream, peer),
            Listener::Admin => Ok(PeerAddress::Unknown),
        };
        match result {
            Ok(peer_address) => Some((stream, peer_address)),
            Err(Rejection::Respond(refusal)) => {
                let date = self.date();
                reject(stream, |answer| refusal.write(answer, None, false, &date));
                None
            }
            Err(Rejection::Drop) => None,
        }
    }

    /// Adds a connection to the table and registers it with the poll.
    fn insert(
        &mut self,
        mut stream: S::Socket,
        peer_address: PeerAddress,
        listener: Listener,
        class: ConnectionClass,
    ) -> Option<Token> {
        let (now_ms, system) = (self.now_ms(), &mut self.system);
        let time_ms = if class == ConnectionClass::Monitoring {
            RESERVE_DESCRIPTOR_TIMEOUT_MS
        } else {
            HTTP_TIMEOUT_MS
        };
        let inserted = self.table.insert_with(|token| {
            system.register(&mut stream, token)?;
            let connection = Connection::new(stream, now_ms + time_ms);
            let http = Http { accepted_ms: now_ms, ..Http::default() };
            Ok::<_, io::Error>(Connection {
                listener,
                class,
                phase: Phase::Http(Box::new(http)),
                ..connection
            })
        });
        match inserted {
            Ok(token) => {
                self.peer_addresses.insert(token, peer_address);
                Some(token)
            }
            Err(error) => {
                self.peer_addresses.release(peer_address);
                log::warn!("connection dropped: registering it with the poll failed: {error}");
                None
            }
        }
    }

    /// Frees the share of a reserve that a closed connection used. Its descriptor must already be closed.
    pub(super) fn release_reserves(&mut self, token: Token, class: ConnectionClass) {
        match class {
            ConnectionClass::ReserveDescriptor => {
                let now_ms = self.now_ms();
                self.reserve_descriptors.reclaim(token, now_ms);
                self.reserve_descriptors.refill(now_ms, || self.system.hold_descriptor());
                self.listeners.end_pauses();
            }
            ConnectionClass::Monitoring => self.monitoring_connections.remove(token),
            ConnectionClass::Regular => {}
        }
    }
}

/// Answers a new connection and drops it.
fn reject(mut stream: impl Socket, write: impl FnOnce(&mut Vec<u8>)) {
    // Closing a socket with unread input resets the connection, and the peer may lose the response.
    let _ = stream.read(&mut [0; HTTP_HEAD_BYTES_MAX]);
    let mut answer = Vec::new();
    write(&mut answer);
    // The send buffer of a new socket holds a few hundred bytes. If the write fails, the peer has
    // disconnected.
    let _ = stream.write(&answer);
}
