//! New connections: a cap on all, room made for them (`places`), and what is done when the kernel has nothing left to give: a spare
//! descriptor each for a few that are answered and sent away, then a pause.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use nix::errno::Errno;

use super::connection::{Connection, ConnectionClass, Http, Phase};
use super::displacement::Activity;
use super::http_budget::HttpSlice;
use super::http_queue::Alternation;
use super::peer_address::{PeerAddress, Rejection, TooManyRequests};
use super::socket::Socket;
use super::{Server, os};
use crate::admission::Network;
use crate::limits::{
    ACCEPT_PAUSE_MS, EXHAUSTION_LOG_INTERVAL_MS, HTTP_HEAD_BYTES_MAX, HTTP_TIMEOUT_MS,
    RESERVE_DESCRIPTOR_TIMEOUT_MS,
};
use crate::ops::metrics::{Refused, Truncation};
use crate::wire::http::{Response, Status};

/// Where a connection came in, and so what it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `HOST` and `PORT`: the game, files, health, and metrics unless they have a listener of their own.
    Public,
    /// `ADMIN_ADDR`: metrics and health.
    Admin,
}

/// The listening sockets, and what is common to them.
#[derive(Debug)]
pub(super) struct Listeners {
    public: Acceptor,
    admin: Option<Acceptor>,
    alternation: Alternation,
    /// When a lack of descriptors or memory may be logged again, in milliseconds of the loop's clock.
    log_exhaustion_at_ms: u64,
}

/// A listening socket and whether it is worth asking.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    /// The kernel may have connections; edge-triggered, so it is remembered until it has none.
    ready: bool,
    /// Not before this moment, in milliseconds of the loop's clock.
    paused_until_ms: u64,
}

/// What came of one accept.
#[derive(Debug)]
enum Accepted {
    Connection(TcpStream, IpAddr),
    None,
    /// This one is gone already; the next may be well.
    Gone,
    /// The kernel lacks descriptors, so that a spare one helps.
    NoDescriptor(io::Error),
    /// The kernel lacks memory.
    NoMemory(io::Error),
}

impl Acceptor {
    /// Takes an address.
    ///
    /// # Errors
    /// The message names the settings that ask for the address, and what is in the way.
    pub(super) fn bind(address: SocketAddr, settings: &str) -> io::Result<Self> {
        match os::listen_on(address.ip(), address.port()) {
            Ok(listener) => Ok(Self { listener, ready: true, paused_until_ms: 0 }),
            Err(error) => Err(bind_error(&error, settings)),
        }
    }

    /// Checks whether [`Acceptor::bind`] could have the address, without listening there. One in use is a warning: a server
    /// that runs with this configuration has it.
    ///
    /// # Errors
    /// The same.
    pub(super) fn check(address: SocketAddr, settings: &str) -> io::Result<()> {
        match os::check_address(address.ip(), address.port()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                log::warn!("{settings} is in use at present, by the server that runs or by another program");
                Ok(())
            }
            result => result.map_err(|error| bind_error(&error, settings)),
        }
    }

    pub(super) fn source(&mut self) -> &mut TcpListener {
        &mut self.listener
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn is_ready(&self, now_ms: u64) -> bool {
        self.ready && now_ms >= self.paused_until_ms
    }

    fn accept(&mut self) -> Accepted {
        match self.listener.accept() {
            Ok((stream, peer)) => Accepted::Connection(stream, peer.ip()),
            Err(error) => {
                let accepted = classify(error);
                self.ready &= !matches!(accepted, Accepted::None);
                accepted
            }
        }
    }
}

fn classify(error: io::Error) -> Accepted {
    if error.kind() == ErrorKind::WouldBlock {
        return Accepted::None;
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => Accepted::NoDescriptor(error),
        Some(Errno::ENOBUFS | Errno::ENOMEM) => Accepted::NoMemory(error),
        // accept(2): errors of the new connection's network are reported here, and are its own.
        _ => Accepted::Gone,
    }
}

fn bind_error(error: &io::Error, settings: &str) -> io::Error {
    let problem = format!("can't listen on {settings}: {error}{}", advice(error.kind()));
    io::Error::new(error.kind(), problem)
}

/// What an operator can do about an address that can't be had.
fn advice(activity: ErrorKind) -> &'static str {
    match activity {
        ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        ErrorKind::PermissionDenied => {
            "; low ports are for root and for programs with CAP_NET_BIND_SERVICE: choose another port, or run: \
             setcap cap_net_bind_service=+ep pixi-game-server"
        }
        ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

impl Listeners {
    pub(super) fn new(public: Acceptor, admin: Option<Acceptor>) -> Self {
        Self { public, admin, alternation: Alternation::default(), log_exhaustion_at_ms: 0 }
    }

    pub(super) fn public(&self) -> &Acceptor {
        &self.public
    }

    pub(super) fn at(&self, listener: Listener) -> Option<&Acceptor> {
        match listener {
            Listener::Public => Some(&self.public),
            Listener::Admin => self.admin.as_ref(),
        }
    }

    fn at_mut(&mut self, listener: Listener) -> Option<&mut Acceptor> {
        match listener {
            Listener::Public => Some(&mut self.public),
            Listener::Admin => self.admin.as_mut(),
        }
    }

    pub(super) fn set_ready(&mut self, listener: Listener) {
        if let Some(acceptor) = self.at_mut(listener) {
            acceptor.ready = true;
        }
    }

    pub(super) fn is_any_ready(&self, now_ms: u64) -> bool {
        let is_ready = |listener| self.at(listener).is_some_and(|acceptor| acceptor.is_ready(now_ms));
        is_ready(Listener::Public) || is_ready(Listener::Admin)
    }

    fn end_pauses(&mut self) {
        for listener in [Listener::Admin, Listener::Public] {
            if let Some(acceptor) = self.at_mut(listener) {
                acceptor.paused_until_ms = 0;
            }
        }
    }
}

impl Server {
    /// Ends the time of connections on spare descriptors, and takes back what can be had.
    pub(super) fn maintain_reserve_descriptors(&mut self) {
        let now_ms = self.now_ms();
        while let Some(token) = self.reserve_descriptors.next_expired(now_ms) {
            self.metrics.refused[Refused::Descriptors] += 1;
            self.disconnect(token);
        }
        self.reserve_descriptors.refill(now_ms);
    }

    /// Takes the next connection of the listener whose turn it is, if there is one and the turn's slice allows it. Returns
    /// whether there may be more.
    pub(super) fn accept_next(&mut self, slice: &mut HttpSlice) -> bool {
        let now_ms = self.now_ms();
        for listener in self.listeners.alternation.order() {
            let Some(acceptor) = self.listeners.at_mut(listener) else { continue };
            if !acceptor.is_ready(now_ms) {
                continue;
            }
            if !slice.take(os::monotonic_ns()) {
                return false;
            }
            let accepted = acceptor.accept();
            self.listeners.alternation.served(listener);
            match accepted {
                Accepted::Connection(stream, peer) => self.admit(stream, peer, listener),
                Accepted::None => continue,
                Accepted::Gone => {}
                Accepted::NoDescriptor(error) => self.accept_on_reserve_descriptor(listener, &error),
                Accepted::NoMemory(error) => self.pause(listener, &error),
            }
            return true;
        }
        false
    }

    /// Frees the descriptor of an idle connection, or else takes the next connection on a spare one, so that it can be answered
    /// and sent away. Without a spare, new connections wait in the kernel's queue.
    fn accept_on_reserve_descriptor(&mut self, listener: Listener, error: &io::Error) {
        let now_ms = self.now_ms();
        if let Some((token, activity @ (Activity::Lingering | Activity::Idle))) =
            self.http_connections.next_displaced(now_ms)
        {
            self.metrics.accept_exhausted_total += 1;
            return self.displace(token, activity);
        }
        let Some(acceptor) = self.listeners.at_mut(listener) else { return };
        if !self.reserve_descriptors.release() {
            return self.pause(listener, error);
        }
        match acceptor.accept() {
            Accepted::Connection(stream, peer) => {
                self.record_exhaustion(error);
                let checked = self.check_new(stream, peer, listener);
                if let Some((stream, peer_address)) = checked
                    && let Some(token) =
                        self.insert(stream, peer_address, listener, ConnectionClass::ReserveDescriptor)
                {
                    self.reserve_descriptors.lend(token, now_ms);
                }
            }
            // Linux says that no descriptor is left also when nobody waits for one.
            Accepted::None | Accepted::Gone => {}
            Accepted::NoDescriptor(error) | Accepted::NoMemory(error) => self.pause(listener, &error),
        }
        self.reserve_descriptors.refill(now_ms);
    }

    fn pause(&mut self, listener: Listener, error: &io::Error) {
        self.record_exhaustion(error);
        let until_ms = self.now_ms() + ACCEPT_PAUSE_MS;
        if let Some(acceptor) = self.listeners.at_mut(listener) {
            acceptor.paused_until_ms = until_ms;
        }
    }

    fn record_exhaustion(&mut self, error: &io::Error) {
        self.metrics.accept_exhausted_total += 1;
        let now_ms = self.now_ms();
        if now_ms >= self.listeners.log_exhaustion_at_ms {
            log::warn!("no new connections can be taken at present: {error}");
            self.listeners.log_exhaustion_at_ms = now_ms + EXHAUSTION_LOG_INTERVAL_MS;
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: IpAddr, listener: Listener) {
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
                TooManyRequests::too_many_connections().write(answer, None, false, &date)
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

    /// Operators' connections make room for each other alone.
    fn admit_admin(&mut self, stream: TcpStream, peer_address: PeerAddress) {
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

    fn reject_full(&mut self, stream: TcpStream) {
        self.metrics.refused[Refused::Full] += 1;
        let line = "too many connections are waiting for their handshake; try again\n";
        let response =
            Response { headers: &[("Retry-After", "1")], ..Response::text(Status::ServiceUnavailable, line) };
        let date = self.date();
        reject(stream, |answer| response.write(answer, &date));
    }

    /// Counts a connection whose PROXY header has told its address among those of that address. False when the address has
    /// all it may have and none of its connections makes room.
    pub(super) fn count_for_address(&mut self, token: Token, network: Option<Network>) -> bool {
        let Some(network) = network else { return true };
        let has_room = self.free_address_capacity(Some(network));
        self.http_connections.set_network(token, network);
        has_room
    }

    /// Sees to it that an address may have another connection. False when it has all it may have and none makes room.
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

    /// What there is for another connection: a place, if need be that of a connection that makes room, or one of those kept.
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
        // Its descriptor is needed now.
        self.reap();
    }

    /// Judges a connection by where it comes from; one that may not come in is answered and gone.
    fn check_new(
        &mut self,
        stream: TcpStream,
        peer: IpAddr,
        listener: Listener,
    ) -> Option<(TcpStream, PeerAddress)> {
        self.metrics.connections_accepted_total += 1;
        let checked = match listener {
            Listener::Public => self.check_peer(&stream, peer),
            Listener::Admin => Ok(PeerAddress::Unknown),
        };
        match checked {
            Ok(peer_address) => Some((stream, peer_address)),
            Err(Rejection::Respond(refusal)) => {
                let date = self.date();
                reject(stream, |answer| refusal.write(answer, None, false, &date));
                None
            }
            Err(Rejection::Drop) => None,
        }
    }

    /// From here on the connection is polled.
    fn insert(
        &mut self,
        mut stream: TcpStream,
        peer_address: PeerAddress,
        listener: Listener,
        class: ConnectionClass,
    ) -> Option<Token> {
        // Fails only when the peer is gone already, which the first read will tell.
        let _ = stream.set_nodelay(true);
        let (now_ms, registry) = (self.now_ms(), self.poll.registry());
        let time_ms = if class == ConnectionClass::Monitoring {
            RESERVE_DESCRIPTOR_TIMEOUT_MS
        } else {
            HTTP_TIMEOUT_MS
        };
        let inserted = self.table.insert_with(|token| {
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let connection = Connection::new(Socket::new(stream), now_ms + time_ms);
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
                log::warn!("a connection could not be polled and was dropped: {error}");
                None
            }
        }
    }

    /// A connection is gone and its descriptor closed: what it took of a reserve is there again.
    pub(super) fn release_reserves(&mut self, token: Token, class: ConnectionClass) {
        match class {
            ConnectionClass::ReserveDescriptor => {
                self.reserve_descriptors.reclaim(token, self.now_ms());
                self.listeners.end_pauses();
            }
            ConnectionClass::Monitoring => self.monitoring_connections.remove(token),
            ConnectionClass::Regular => {}
        }
    }
}

/// Answers a fresh connection and drops it.
fn reject(mut stream: TcpStream, write: impl FnOnce(&mut Vec<u8>)) {
    // Closing over a request that was not read resets the connection, and the peer may lose the answer.
    let _ = stream.read(&mut [0; HTTP_HEAD_BYTES_MAX]);
    let mut answer = Vec::new();
    write(&mut answer);
    // A fresh socket's buffer holds a few hundred bytes; where it does not, there is nobody to tell.
    let _ = stream.write(&answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_told_apart() {
        let of = |errno: Errno| classify(io::Error::from(errno));
        assert!(matches!(of(Errno::EAGAIN), Accepted::None));
        assert!(matches!(of(Errno::EMFILE), Accepted::NoDescriptor(_)));
        assert!(matches!(of(Errno::ENFILE), Accepted::NoDescriptor(_)));
        assert!(matches!(of(Errno::ENOBUFS), Accepted::NoMemory(_)));
        assert!(matches!(of(Errno::ENOMEM), Accepted::NoMemory(_)));
        for errno in [Errno::ECONNABORTED, Errno::EINTR, Errno::EPROTO, Errno::ENETDOWN, Errno::EPERM] {
            assert!(matches!(of(errno), Accepted::Gone), "{errno}");
        }
    }
}
