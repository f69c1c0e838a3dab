//! Peer addresses of connections, and the limits of each address.
//!
//! The address is known at accept. For a trusted proxy it comes from the PROXY header at the start of the
//! connection. Without the PROXY protocol it comes from the header fields of each request, since a proxy may
//! send requests of different clients on one connection.
//!
//! Players are counted from their upgrade on, by [`AddressLimiter`]. Other connections are counted by
//! `displacement`, and each connection and each request counts towards the rate of HTTP requests. Connections
//! of trusted proxies are exempt; a request that a proxy forwards counts for the address that it reports.
//!
//! With the PROXY protocol, only trusted proxies are served. The exception is a peer on this machine, which
//! may send a header without an address (`UNKNOWN`): the server's own health check needs no proxy.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::connection::Phase;
use super::system::{Socket, System};
use super::table::Token;
use super::table::index_of;
use super::{Core, accept, close, http};
use crate::admission::buckets::{Buckets, Rate, RateExceeded};
use crate::admission::limiter::{AddressLimiter, AddressLimits, Permit, Refusal, TakeoverPermit};
use crate::admission::port_group::part_of;
use crate::admission::trust::TrustedProxies;
use crate::admission::{Client, Network};
use crate::config::{
    Config, HTTP_CONNS_PER_IP_DEFAULT, HTTP_RATE_DEFAULT, IP_CONN_RATE_DEFAULT, MAX_CONNS_PER_IP_DEFAULT,
};
use crate::ops::metrics::{Metrics, Refused};
use crate::wire::forwarded::{forwarded, forwarded_is_https, proto_is_https, x_forwarded_for};
use crate::wire::http::{Date, Method, Request, Response, Status};
use crate::wire::proxy_protocol::{Parsed, parse};

/// `Retry-After` for an address with too many connections, in seconds.
const TOO_MANY_RETRY_S: u64 = 5;

/// The peer address of a connection, as far as it is known, and how it is counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum PeerAddress {
    /// Unknown, or no longer counted.
    #[default]
    Unknown,
    /// A connection from this client that is not a player.
    HttpClient(Client),
    /// A player, counted for its address.
    Player(Permit),
    /// A pending handshake whose address is at its limit: it must take over one of the address's connections.
    Takeover(TakeoverPermit),
    /// A trusted proxy; each request reports its client.
    Proxy(IpAddr),
    /// The PROXY header is incomplete.
    AwaitingHeader {
        peer: IpAddr,
        /// Whether the peer may report another address.
        is_trusted: bool,
    },
}

/// Peer addresses of all connections, and the limits by address.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PeerAddresses {
    #[serde(skip)]
    trusted: TrustedProxies,
    proxy_protocol: bool,
    limiter: AddressLimiter,
    /// Rate of HTTP requests by address.
    http_rate: Rate,
    requests: Buckets,
    /// Maximum number of non-player connections of one address; `None` is the default, with loopback exempt.
    http_conns_per_ip: Option<u32>,
    /// Processes that share the port, this one included.
    processes: u32,
    /// By index in the connection table. Kept outside the table, since no player message needs it.
    by_index: Vec<PeerAddress>,
    /// Connections whose PROXY header reports TLS.
    tls: HashSet<Token>,
}

impl PeerAddresses {
    pub(super) fn new(config: &Config, seed: u64) -> Self {
        Self {
            trusted: TrustedProxies::new(config.trusted_proxies.clone()),
            proxy_protocol: config.proxy_protocol,
            limiter: AddressLimiter::new(limits_of(config, 1), seed),
            http_rate: http_rate_of(config, 1),
            requests: Buckets::new(seed),
            http_conns_per_ip: config.http_conns_per_ip,
            processes: 1,
            by_index: Vec::new(),
            tls: HashSet::new(),
        }
    }

    /// Continues in another process, with its configuration.
    pub(super) fn resume(&mut self, config: &Config, processes: u32) {
        self.trusted = TrustedProxies::new(config.trusted_proxies.clone());
        self.proxy_protocol = config.proxy_protocol;
        self.reconfigure(config, processes);
    }

    /// Applies the limits of a configuration, for one of several processes that share the port.
    pub(super) fn reconfigure(&mut self, config: &Config, processes: u32) {
        self.limiter.set_limits(limits_of(config, processes));
        self.http_rate = http_rate_of(config, processes);
        self.http_conns_per_ip = config.http_conns_per_ip;
        self.processes = processes;
    }

    /// Sets the players of addresses on other processes that share the port.
    pub(super) fn set_elsewhere(&mut self, players: HashMap<Network, u32>) {
        self.limiter.set_elsewhere(players);
    }

    /// Returns the addresses with most players of this process, and their number: up to `most`.
    pub(super) fn most_held(&self, most: usize) -> Vec<(Network, u32)> {
        self.limiter.most_held(most)
    }

    /// Returns the maximum number of non-player connections of one address; 0 is unlimited.
    pub(super) fn http_connections_max(&self) -> usize {
        part_of(self.http_conns_per_ip.unwrap_or(HTTP_CONNS_PER_IP_DEFAULT), self.processes) as usize
    }

    /// Returns the number of addresses with players.
    pub(super) fn counted_addresses(&self) -> usize {
        self.limiter.tracked().0
    }

    /// Returns the network for which a connection counts, if it is counted.
    pub(super) fn counted(&self, peer_address: &PeerAddress) -> Option<Network> {
        let PeerAddress::HttpClient(client) = peer_address else { return None };
        let is_spared = self.http_conns_per_ip.is_none() && client.is_loopback();
        (!is_spared).then(|| Network::of(client.address))
    }

    fn charge(&mut self, client: Client, now_ns: u64) -> Result<(), TooManyRequests> {
        if self.http_rate.exempts_loopback && client.is_loopback() {
            return Ok(());
        }
        let charged = self.requests.charge(Network::of(client.address), self.http_rate, now_ns);
        charged.map_err(|RateExceeded { retry_after_s }| {
            TooManyRequests::new(Refused::RequestRate, "too many requests from your address\n", retry_after_s)
        })
    }

    /// Records the peer address of an accepted connection.
    pub(super) fn insert(&mut self, token: Token, peer_address: PeerAddress) {
        let index = index_of(token);
        if self.by_index.len() <= index {
            self.by_index.resize_with(index + 1, PeerAddress::default);
        }
        self.by_index[index] = peer_address;
    }

    /// Removes a closed connection and releases its permit.
    pub(super) fn remove(&mut self, token: Token) {
        if let Some(peer_address) = self.by_index.get_mut(index_of(token)) {
            let peer_address = std::mem::take(peer_address);
            self.release(peer_address);
        }
        if !self.tls.is_empty() {
            self.tls.remove(&token);
        }
    }

    /// Releases the permit of a connection that is not recorded.
    pub(super) fn release(&mut self, peer_address: PeerAddress) {
        match peer_address {
            PeerAddress::Player(permit) => self.limiter.release(permit),
            PeerAddress::Takeover(permit) => self.limiter.release_takeover(permit),
            PeerAddress::Unknown
            | PeerAddress::HttpClient(_)
            | PeerAddress::Proxy(_)
            | PeerAddress::AwaitingHeader { .. } => {}
        }
    }

    /// Moves the permit of `old` to `new`, which takes over its session from the same address without a permit.
    pub(super) fn replace(&mut self, old: Token, new: Token) {
        let (old, new) = (index_of(old), index_of(new));
        let is_exchange = match (self.by_index.get(old), self.by_index.get(new)) {
            (Some(PeerAddress::Player(permit)), Some(PeerAddress::Takeover(takeover))) => {
                takeover.is_for_same_address(permit)
            }
            _ => false,
        };
        if is_exchange {
            let permit = std::mem::take(&mut self.by_index[old]);
            let takeover = std::mem::replace(&mut self.by_index[new], permit);
            self.release(takeover);
        }
    }

    /// Gives a connection above its address's limit a free regular permit. Returns whether it is within the limit.
    pub(super) fn promote(&mut self, token: Token) -> bool {
        let Some(peer_address) = self.by_index.get_mut(index_of(token)) else { return true };
        if let PeerAddress::Takeover(takeover) = peer_address
            && let Some(permit) = self.limiter.promote(takeover)
        {
            *peer_address = PeerAddress::Player(permit);
        }
        !matches!(peer_address, PeerAddress::Takeover(_))
    }

    /// Whether the client uses `https`, as reported by the trusted proxy in front of this connection.
    pub(super) fn is_https(&self, token: Token, request: &Request) -> bool {
        match self.by_index.get(index_of(token)) {
            Some(PeerAddress::Proxy(_)) => {
                request.x_forwarded_proto.as_deref().is_some_and(proto_is_https)
                    || request.forwarded.as_deref().is_some_and(forwarded_is_https)
            }
            _ => self.tls.contains(&token),
        }
    }

    /// Returns the client that a trusted proxy reports. If both header fields are present they must agree: a
    /// proxy that sets one of them may pass on a forged value of the other.
    fn client_of(&self, proxy: IpAddr, request: &Request) -> Option<IpAddr> {
        let by_old =
            request.x_forwarded_for.as_deref().map(|v| self.trusted.client(proxy, x_forwarded_for(v)));
        let by_rfc = request.forwarded.as_deref().map(|v| self.trusted.client(proxy, forwarded(v)));
        match (by_old, by_rfc) {
            (None, None) => Some(proxy),
            (Some(client), None) | (None, Some(client)) => client,
            (Some(by_old), Some(by_rfc)) => by_old.filter(|_| by_old == by_rfc),
        }
    }

    /// Returns the network of a player; `None` if the connection is no player.
    pub(super) fn player_network(&self, token: Token) -> Option<Network> {
        match self.by_index.get(index_of(token))? {
            PeerAddress::Player(permit) => Some(permit.network()),
            _ => None,
        }
    }

    /// Whether the peer of a new connection is its client: no trusted proxy that reports another one.
    pub(super) fn is_client(&self, peer: IpAddr) -> bool {
        !self.proxy_protocol && !self.trusted.contains(peer.to_canonical())
    }

    /// Returns the client that sent a request, as a trusted proxy reports it if there is one; `None` if it is unclear.
    pub(super) fn client(&self, token: Token, request: &Request) -> Option<IpAddr> {
        match self.by_index.get(index_of(token)) {
            Some(PeerAddress::HttpClient(client)) => Some(client.address),
            Some(&PeerAddress::Proxy(proxy)) => self.client_of(proxy, request),
            _ => None,
        }
    }

    /// Checks a new connection by the address of its peer.
    pub(super) fn check_peer(
        &mut self,
        socket: &impl Socket,
        peer: IpAddr,
        now_ns: u64,
    ) -> Result<PeerAddress, Rejection> {
        let peer = peer.to_canonical();
        let is_trusted = self.trusted.contains(peer);
        if self.proxy_protocol {
            let may_report = is_trusted || is_this_machine(socket, peer);
            return if may_report {
                Ok(PeerAddress::AwaitingHeader { peer, is_trusted })
            } else {
                Err(Rejection::Drop)
            };
        }
        if is_trusted {
            return Ok(PeerAddress::Proxy(peer));
        }
        self.charge_connection(Client::known(peer), now_ns).map_err(Rejection::Respond)
    }

    /// Counts a connection as a request of its address, since a connection without requests costs as much.
    fn charge_connection(&mut self, client: Client, now_ns: u64) -> Result<PeerAddress, TooManyRequests> {
        self.charge(client, now_ns).map(|()| PeerAddress::HttpClient(client))
    }

    /// Counts a request for its client's address. Requests of the trusted proxy itself are not counted.
    pub(super) fn check_request_rate(
        &mut self,
        token: Token,
        request: &Request,
        now_ns: u64,
    ) -> Result<(), TooManyRequests> {
        let client = match self.by_index.get(index_of(token)) {
            Some(&PeerAddress::HttpClient(client)) => client,
            Some(&PeerAddress::Proxy(proxy)) => match self.client_of(proxy, request) {
                Some(client) if client == proxy => return Ok(()),
                Some(client) => Client::known(client),
                None => Client::behind(proxy),
            },
            _ => return Ok(()),
        };
        self.charge(client, now_ns)
    }

    /// Whether the peer of a connection is a trusted proxy.
    pub(super) fn is_proxied(&self, token: Token) -> bool {
        matches!(self.by_index.get(index_of(token)), Some(PeerAddress::Proxy(_)))
    }

    /// Counts an upgrade for its client's address; behind a trusted proxy, the address that the proxy reports. An
    /// upgrade above the limit is refused unless it may take over a connection.
    pub(super) fn check_upgrade(
        &mut self,
        token: Token,
        request: &Request,
        may_take_over: bool,
        now_ns: u64,
        metrics: &mut Metrics,
    ) -> Result<(), TooManyRequests> {
        let client = match self.by_index.get(index_of(token)) {
            Some(&PeerAddress::HttpClient(client)) => client,
            Some(&PeerAddress::Proxy(proxy)) => self.client_of(proxy, request).map_or_else(
                || {
                    metrics.forwarding_unclear_total += 1;
                    Client::behind(proxy)
                },
                Client::known,
            ),
            _ => return Ok(()),
        };
        let peer_address = self.admit_upgrade(client, may_take_over, now_ns)?;
        self.insert(token, peer_address);
        Ok(())
    }

    /// Counts a connection for its address. A connection above the limit may be admitted as a takeover.
    fn admit_upgrade(
        &mut self,
        client: Client,
        may_take_over: bool,
        now_ns: u64,
    ) -> Result<PeerAddress, TooManyRequests> {
        let admitted = match self.limiter.admit(client, now_ns) {
            Err(Refusal::TooManyConnections) if may_take_over => {
                self.limiter.admit_takeover(client, now_ns).map(PeerAddress::Takeover)
            }
            admitted => admitted.map(PeerAddress::Player),
        };
        admitted.map_err(|refusal| match refusal {
            Refusal::TooManyConnections => TooManyRequests::too_many_connections(),
            Refusal::RateExceeded { retry_after_s } => {
                let line = "too many connections from your address\n";
                TooManyRequests::new(Refused::AddressRate, line, retry_after_s)
            }
        })
    }
}

/// Returns the limits of players by address. Their number is that of all processes, and the rate a part of it.
fn limits_of(config: &Config, processes: u32) -> AddressLimits {
    AddressLimits {
        connections_max: config.max_conns_per_ip.unwrap_or(MAX_CONNS_PER_IP_DEFAULT),
        exempts_loopback: config.max_conns_per_ip.is_none(),
        rate: Rate {
            per_s: part_of(config.ip_conn_rate.unwrap_or(IP_CONN_RATE_DEFAULT), processes),
            burst: part_of(config.ip_conn_burst, processes),
            exempts_loopback: config.ip_conn_rate.is_none(),
        },
    }
}

fn http_rate_of(config: &Config, processes: u32) -> Rate {
    Rate {
        per_s: part_of(config.http_rate.unwrap_or(HTTP_RATE_DEFAULT), processes),
        burst: part_of(config.http_burst, processes),
        exempts_loopback: config.http_rate.is_none(),
    }
}

/// The 429 response to a connection or request over the limits of its address.
pub(super) struct TooManyRequests {
    /// The limit.
    pub reason: Refused,
    line: &'static str,
    retry_after_s: String,
}

impl TooManyRequests {
    fn new(reason: Refused, line: &'static str, retry_after_s: u64) -> Self {
        Self { reason, line, retry_after_s: retry_after_s.to_string() }
    }

    /// The address has too many connections.
    pub(super) fn too_many_connections() -> Self {
        Self::new(Refused::AddressConnections, "too many connections from your address\n", TOO_MANY_RETRY_S)
    }

    /// Appends the response. `request` is the request it answers, if one was read: a response to HEAD has no
    /// body, or the next response on the connection would start inside it.
    pub(super) fn write(&self, out: &mut Vec<u8>, request: Option<&Request>, keep_alive: bool, date: &Date) {
        let response = Response {
            headers: &[("Retry-After", &self.retry_after_s)],
            head_only: request.is_some_and(|request| request.method == Method::Head),
            keep_alive,
            ..Response::text(Status::TooManyRequests, self.line)
        };
        response.write(out, date);
    }
}

/// Why a new connection is rejected.
pub(super) enum Rejection {
    /// The address is over a limit: respond, then close.
    Respond(TooManyRequests),
    /// The peer is not allowed to send a PROXY header: close without a response.
    Drop,
}

/// Consumes a required PROXY header. Returns whether the bytes after it may be parsed.
pub(super) fn take_proxy_header<S: System>(core: &mut Core<S>, token: Token) -> bool {
    let Some(&PeerAddress::AwaitingHeader { peer, is_trusted }) =
        core.gate.peer_addresses.by_index.get(index_of(token))
    else {
        return true;
    };
    let Some(connection) = core.connections.get_mut(token) else { return false };
    let Phase::Http(http) = &mut connection.phase else { return false };
    let address = match parse(http.head.bytes()) {
        Ok(Parsed::Incomplete) => return false,
        Ok(Parsed::Complete { source, consumed, is_tls }) if is_trusted || source.is_none() => {
            if is_tls && is_trusted {
                core.gate.peer_addresses.tls.insert(token);
            }
            http.head.consume(consumed);
            source.unwrap_or(peer)
        }
        Ok(Parsed::Complete { .. }) | Err(_) => {
            core.metrics.refused[Refused::ProxyHeader] += 1;
            close::disconnect(core, token);
            return false;
        }
    };
    if accept::is_banned(core, address) {
        http::refuse_banned(core, token, None);
        close::start_close(core, token, false);
        return false;
    }
    let now_ns = core.clock.now_ns();
    let charged = core.gate.peer_addresses.charge_connection(Client::known(address), now_ns);
    let peer_address = charged.and_then(|peer_address| {
        let counted = core.gate.peer_addresses.counted(&peer_address);
        if accept::count_for_address(core, token, counted) {
            Ok(peer_address)
        } else {
            Err(TooManyRequests::too_many_connections())
        }
    });
    match peer_address {
        Ok(peer_address) => {
            core.gate.peer_addresses.insert(token, peer_address);
            true
        }
        Err(refusal) => {
            http::refuse_address(core, token, None, &refusal, false);
            close::start_close(core, token, false);
            false
        }
    }
}

/// Whether the peer runs on this machine.
fn is_this_machine(stream: &impl Socket, peer: IpAddr) -> bool {
    peer.is_loopback() || stream.local_ip().is_some_and(|own| own.to_canonical() == peer)
}
