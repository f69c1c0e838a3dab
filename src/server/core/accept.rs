//! Accepts connections: enforces the cap on connections, displaces an old connection for a new one
//! (`displacement`), and handles exhaustion of descriptors and memory. A few connections are answered on
//! reserve descriptors; after that the server pauses accepting.

use std::io;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::connection::{Connection, ConnectionClass};
use super::displacement::Activity;
use super::gate::Room;
use super::http_budget::HttpSlice;
use super::http_queue::Alternation;
use super::peer_address::{PeerAddress, Rejection, TooManyRequests};
use super::system::{Accepted, Listener, Socket, System};
use super::table::Token;
use super::{Core, close, http};
use crate::admission::Network;
use crate::limits::{
    ACCEPT_PAUSE_MS, EXHAUSTION_LOG_INTERVAL_MS, HTTP_HEAD_BYTES_MAX, HTTP_TIMEOUT_MS,
    RESERVE_DESCRIPTOR_TIMEOUT_MS,
};
use crate::ops::metrics::{Refused, Truncation};
use crate::wire::http::{Response, Status};

/// Whether connections wait at the listeners.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listeners {
    public: Backlog,
    admin: Option<Backlog>,
    alternation: Alternation,
    /// Earliest time to log exhaustion again, in milliseconds of the loop's clock.
    log_exhaustion_at_ms: u64,
}

/// The connections that wait at a listener.
#[derive(Debug, Serialize, Deserialize)]
struct Backlog {
    /// The backlog may hold connections. As readiness is edge-triggered, only a blocking `accept` clears the flag.
    ready: bool,
    /// No accept before this time, in milliseconds of the loop's clock.
    paused_until_ms: u64,
    /// The socket does not listen: an accept would fail.
    is_closed: bool,
}

impl Backlog {
    const NEW: Self = Self { ready: true, paused_until_ms: 0, is_closed: false };

    fn is_ready(&self, now_ms: u64) -> bool {
        self.ready && !self.is_closed && now_ms >= self.paused_until_ms
    }
}

impl Listeners {
    /// Continues in another process, to which the next connections may have come already.
    pub(super) fn resume(&mut self) {
        self.public.ready = true;
        if let Some(admin) = &mut self.admin {
            admin.ready = true;
        }
    }

    pub(super) fn new(has_admin: bool) -> Self {
        let admin = has_admin.then_some(Backlog::NEW);
        Self { public: Backlog::NEW, admin, alternation: Alternation::default(), log_exhaustion_at_ms: 0 }
    }

    /// Whether the public socket listens.
    pub(super) fn is_listening(&self) -> bool {
        !self.public.is_closed
    }

    /// Records whether the public socket listens.
    pub(super) fn set_listening(&mut self, listens: bool) {
        self.public.is_closed = !listens;
        self.public.ready = listens;
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

/// Closes expired connections on reserve descriptors and reopens missing reserve descriptors.
pub(super) fn maintain_reserve_descriptors<S: System>(core: &mut Core<S>) {
    let now_ms = core.clock.now_ms();
    while let Some(token) = core.gate.reserve_descriptors.next_expired(now_ms) {
        core.metrics.refused[Refused::Descriptors] += 1;
        close::disconnect(core, token);
    }
    refill_reserve(core);
}

/// Reopens missing reserve descriptors.
fn refill_reserve<S: System>(core: &mut Core<S>) {
    core.gate.reserve_descriptors.refill(core.clock.now_ms(), || core.system.hold_descriptor());
}

/// Accepts from the next listener in turn, if the slice allows it. Returns whether there may be more.
pub(super) fn accept_next<S: System>(core: &mut Core<S>, slice: &mut HttpSlice) -> bool {
    let now_ms = core.clock.now_ms();
    for listener in core.gate.listeners.alternation.order() {
        if !core.gate.listeners.at(listener).is_some_and(|backlog| backlog.is_ready(now_ms)) {
            continue;
        }
        if !slice.take(core.system.monotonic_ns()) {
            return false;
        }
        let accepted = accept(core, listener);
        core.gate.listeners.alternation.served(listener);
        match accepted {
            Accepted::Connection(stream, peer) => admit(core, stream, peer, listener),
            Accepted::None => continue,
            Accepted::Aborted => {}
            Accepted::NoDescriptor(error) => accept_on_reserve_descriptor(core, listener, &error),
            Accepted::NoMemory(error) => pause(core, listener, &error),
        }
        return true;
    }
    false
}

/// Accepts up to `most` connections that wait at the public listener. Returns whether none waits any more.
pub(super) fn accept_waiting<S: System>(core: &mut Core<S>, most: usize) -> bool {
    for _ in 0..most {
        match accept(core, Listener::Public) {
            Accepted::Connection(stream, peer) => admit(core, stream, peer, Listener::Public),
            Accepted::None => return true,
            Accepted::Aborted => {}
            Accepted::NoDescriptor(_) | Accepted::NoMemory(_) => return false,
        }
    }
    false
}

fn accept<S: System>(core: &mut Core<S>, listener: Listener) -> Accepted<S::Socket> {
    let accepted = core.system.accept(listener);
    if let (Accepted::None, Some(backlog)) = (&accepted, core.gate.listeners.at_mut(listener)) {
        backlog.ready = false;
    }
    accepted
}

/// Frees the descriptor of an idle connection. If there is none, accepts the next connection on a reserve descriptor, so
/// that it gets a response before it is closed. Without either, new connections wait in the backlog.
fn accept_on_reserve_descriptor<S: System>(core: &mut Core<S>, listener: Listener, error: &io::Error) {
    let now_ms = core.clock.now_ms();
    if let Some((token, activity @ (Activity::Lingering | Activity::Idle))) =
        core.gate.http_connections.next_displaced(now_ms)
    {
        core.metrics.accept_exhausted_total += 1;
        return displace(core, token, activity);
    }
    if !core.gate.reserve_descriptors.release() {
        return pause(core, listener, error);
    }
    core.system.release_descriptor();
    match accept(core, listener) {
        Accepted::Connection(stream, peer) => {
            record_exhaustion(core, error);
            let admitted = check_new(core, stream, peer, listener);
            if let Some((stream, peer_address)) = admitted {
                insert(core, stream, peer_address, listener, ConnectionClass::ReserveDescriptor, None);
            }
        }
        // Linux reports exhaustion even if the backlog is empty.
        Accepted::None | Accepted::Aborted => {}
        Accepted::NoDescriptor(error) | Accepted::NoMemory(error) => pause(core, listener, &error),
    }
    refill_reserve(core);
}

fn pause<S: System>(core: &mut Core<S>, listener: Listener, error: &io::Error) {
    record_exhaustion(core, error);
    let until_ms = core.clock.now_ms() + ACCEPT_PAUSE_MS;
    if let Some(backlog) = core.gate.listeners.at_mut(listener) {
        backlog.paused_until_ms = until_ms;
    }
}

fn record_exhaustion<S: System>(core: &mut Core<S>, error: &io::Error) {
    core.metrics.accept_exhausted_total += 1;
    let now_ms = core.clock.now_ms();
    if now_ms >= core.gate.listeners.log_exhaustion_at_ms {
        log::warn!("cannot accept new connections: {error}");
        core.gate.listeners.log_exhaustion_at_ms = now_ms + EXHAUSTION_LOG_INTERVAL_MS;
    }
}

fn admit<S: System>(core: &mut Core<S>, stream: S::Socket, peer: IpAddr, listener: Listener) {
    let Some((stream, peer_address)) = check_new(core, stream, peer, listener) else { return };
    let now_ms = core.clock.now_ms();
    let network = core.gate.peer_addresses.counted(&peer_address);
    let room = core.gate.address_room(network, now_ms);
    if make_room(core, room).is_none() {
        core.gate.peer_addresses.release(peer_address);
        return reject_address(core, stream, &TooManyRequests::too_many_connections());
    }
    let room = match listener {
        Listener::Public => core.gate.room(core.connections.table.len(), core.config.max_connections, now_ms),
        Listener::Admin => core.gate.admin_room(now_ms),
    };
    let Some(class) = make_room(core, room) else {
        core.gate.peer_addresses.release(peer_address);
        return reject_full(core, stream);
    };
    insert(core, stream, peer_address, listener, class, network);
}

fn reject_address<S: System>(core: &mut Core<S>, stream: S::Socket, refusal: &TooManyRequests) {
    core.metrics.refused[refusal.reason] += 1;
    let date = core.date();
    reject(stream, |answer| refusal.write(answer, None, false, &date));
}

fn reject_full<S: System>(core: &mut Core<S>, stream: S::Socket) {
    core.metrics.refused[Refused::Full] += 1;
    let line = "too many pending handshakes; try again\n";
    let response =
        Response { headers: &[("Retry-After", "1")], ..Response::text(Status::ServiceUnavailable, line) };
    let date = core.date();
    reject(stream, |answer| response.write(answer, &date));
}

/// Counts a connection for the address in its PROXY header. Returns `false` if the address is at its
/// limit and none of its connections can be displaced.
pub(super) fn count_for_address<S: System>(
    core: &mut Core<S>,
    token: Token,
    network: Option<Network>,
) -> bool {
    let room = core.gate.address_room(network, core.clock.now_ms());
    let has_room = make_room(core, room).is_some();
    if let Some(network) = network {
        core.gate.http_connections.set_network(token, network);
    }
    has_room
}

/// Closes the connection that is displaced, if there is one. Returns the class of the new connection; `None` without room.
fn make_room<S: System>(core: &mut Core<S>, room: Room) -> Option<ConnectionClass> {
    match room {
        Room::Free(class) => Some(class),
        Room::Displacing(token, activity, class) => {
            displace(core, token, activity);
            Some(class)
        }
        Room::None => None,
    }
}

fn displace<S: System>(core: &mut Core<S>, token: Token, activity: Activity) {
    match activity {
        Activity::Lingering | Activity::Idle => core.metrics.idle_displaced_total += 1,
        Activity::ReadingHead => core.metrics.refused[Refused::HandshakeDisplaced] += 1,
        Activity::Answering => core.metrics.responses_truncated[Truncation::Displaced] += 1,
    }
    close::disconnect(core, token);
    // The new connection needs the descriptor immediately.
    close::reap(core);
}

/// Checks the address of a new connection. Answers and drops a refused connection.
fn check_new<S: System>(
    core: &mut Core<S>,
    stream: S::Socket,
    peer: IpAddr,
    listener: Listener,
) -> Option<(S::Socket, PeerAddress)> {
    core.metrics.connections_accepted_total += 1;
    if listener == Listener::Public && core.gate.peer_addresses.is_client(peer) && is_banned(core, peer) {
        core.metrics.refused[Refused::Banned] += 1;
        let date = core.date();
        reject(stream, |answer| http::banned(false).write(answer, &date));
        return None;
    }
    let result = match listener {
        Listener::Public => core.gate.peer_addresses.check_peer(&stream, peer, core.clock.now_ns()),
        Listener::Admin => Ok(PeerAddress::Unknown),
    };
    match result {
        Ok(peer_address) => Some((stream, peer_address)),
        Err(Rejection::Respond(refusal)) => {
            reject_address(core, stream, &refusal);
            None
        }
        Err(Rejection::Drop) => {
            core.metrics.refused[Refused::ProxyHeader] += 1;
            None
        }
    }
}

/// Whether an operator has banned this address.
pub(super) fn is_banned<S: System>(core: &Core<S>, address: IpAddr) -> bool {
    let bans = &core.operations.bans;
    !bans.is_empty() && bans.contains(address, core.system.unix_time().as_secs())
}

/// Adds a connection to the table and to the gate, and registers it with the system.
fn insert<S: System>(
    core: &mut Core<S>,
    mut stream: S::Socket,
    peer_address: PeerAddress,
    listener: Listener,
    class: ConnectionClass,
    network: Option<Network>,
) {
    let (now_ms, system) = (core.clock.now_ms(), &mut core.system);
    let time_ms =
        if class == ConnectionClass::Monitoring { RESERVE_DESCRIPTOR_TIMEOUT_MS } else { HTTP_TIMEOUT_MS };
    let inserted = core.connections.table.insert_with(|token| {
        system.register(&mut stream, token)?;
        let mut connection = Connection::new(stream, now_ms, now_ms + time_ms);
        (connection.listener, connection.class) = (listener, class);
        Ok::<_, io::Error>(connection)
    });
    match inserted {
        Ok(token) => {
            core.gate.peer_addresses.insert(token, peer_address);
            core.gate.insert(token, listener, class, network, now_ms);
        }
        Err(error) => {
            core.gate.peer_addresses.release(peer_address);
            log::warn!("connection dropped: registering it with the poll failed: {error}");
        }
    }
}

/// Frees the share of a reserve that a closed connection used. Its descriptor must already be closed.
pub(super) fn release_reserves<S: System>(core: &mut Core<S>, token: Token, class: ConnectionClass) {
    match class {
        ConnectionClass::ReserveDescriptor => {
            core.gate.reserve_descriptors.reclaim(token, core.clock.now_ms());
            refill_reserve(core);
            core.gate.listeners.end_pauses();
        }
        ConnectionClass::Monitoring => core.gate.monitoring_connections.remove(token),
        ConnectionClass::Regular => {}
    }
}

/// Answers a new connection and drops it.
fn reject(mut stream: impl Socket, write: impl FnOnce(&mut Vec<u8>)) {
    // Closing a socket with unread input resets the connection, and the peer may lose the response.
    let _ = stream.read(&mut [0; HTTP_HEAD_BYTES_MAX]);
    let mut answer = Vec::new();
    write(&mut answer);
    // A new socket's send buffer holds a few hundred bytes. If the write fails, the peer is gone.
    let _ = stream.write(&answer);
}
