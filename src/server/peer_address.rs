//! Where connections come from, and whether their address may have another one. The address is known at accept, or, from
//! a trusted proxy, from the PROXY header that the connection begins with, or else from the header fields of each
//! request: a proxy's plain requests may be anybody's, one after the other on the same connection.
//!
//! Players count from their upgrade on, by [`AddressLimiter`]. What is no player counts by its place (`places`), and each
//! connection and each request by the rate of HTTP requests. Connections of trusted proxies are exempt; a request that one
//! forwards counts for the address it names.
//!
//! With the PROXY protocol, nobody but trusted proxies is served, with one exception: a peer on this very machine may
//! send a header that claims nothing, so that the server's own health check needs no proxy.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use mio::Token;
use mio::net::TcpStream;

use super::Server;
use super::connection::Phase;
use super::table::index_of;
use crate::admission::buckets::{Buckets, Rate, RateExceeded};
use crate::admission::limiter::{AddressLimiter, AddressLimits, Permit, Refusal, TakeoverPermit};
use crate::admission::trust::TrustedProxies;
use crate::admission::{Client, Network};
use crate::config::{
    Config, HTTP_CONNS_PER_IP_DEFAULT, HTTP_RATE_DEFAULT, IP_CONN_RATE_DEFAULT, MAX_CONNS_PER_IP_DEFAULT,
};
use crate::ops::metrics::Refused;
use crate::wire::forwarded::{forwarded, forwarded_is_https, proto_is_https, x_forwarded_for};
use crate::wire::http::{Date, Method, Request, Response, Status};
use crate::wire::proxy_protocol::{Parsed, parse};

/// When an address that holds too many connections may ask again, in seconds.
const TOO_MANY_RETRY_S: u64 = 5;

/// Whom a connection counts for, as far as that is known.
#[derive(Debug, Default)]
pub(super) enum PeerAddress {
    /// Nothing, or nothing that counts any more.
    #[default]
    Unknown,
    /// No player yet, of this address.
    HttpClient(Client),
    /// A player, which counts for an address.
    Player(Permit),
    /// A player to be, whose address holds all that it may: it must take over one of those connections.
    Takeover(TakeoverPermit),
    /// A trusted proxy's: each request tells.
    Proxy(IpAddr),
    /// Its PROXY header has not arrived whole.
    AwaitingHeader {
        peer: IpAddr,
        /// Whether the peer may speak for others.
        is_trusted: bool,
    },
}

/// Whom all connections count for, and the limits of their addresses.
#[derive(Debug)]
pub(super) struct PeerAddresses {
    trusted: TrustedProxies,
    proxy_protocol: bool,
    limiter: AddressLimiter,
    /// How fast addresses may ask.
    http_rate: Rate,
    requests: Buckets,
    /// Connections of one address that are no players; `None` exempts loopback.
    http_conns_per_ip: Option<u32>,
    /// By place in the table of connections, beside which they lie: no move of a player needs them.
    by_index: Vec<PeerAddress>,
    /// Connections whose PROXY header says that the client speaks TLS.
    tls: HashSet<Token>,
}

impl PeerAddresses {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            trusted: TrustedProxies::new(config.trusted_proxies.clone()),
            proxy_protocol: config.proxy_protocol,
            limiter: AddressLimiter::new(limits_of(config), RandomState::new().hash_one(0)),
            http_rate: http_rate_of(config),
            requests: Buckets::new(RandomState::new().hash_one(1)),
            http_conns_per_ip: config.http_conns_per_ip,
            by_index: Vec::new(),
            tls: HashSet::new(),
        }
    }

    /// Takes over the limits of another configuration.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.limiter.set_limits(limits_of(config));
        self.http_rate = http_rate_of(config);
        self.http_conns_per_ip = config.http_conns_per_ip;
    }

    /// Most connections of one address that are no players; 0 is without limit.
    pub(super) fn http_connections_max(&self) -> usize {
        self.http_conns_per_ip.unwrap_or(HTTP_CONNS_PER_IP_DEFAULT) as usize
    }

    /// The address that a connection's place counts for, if it counts.
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
            TooManyRequests::new("too many requests from your address\n", retry_after_s)
        })
    }

    /// Notes where a connection that was given its place comes from.
    pub(super) fn insert(&mut self, token: Token, peer_address: PeerAddress) {
        let index = index_of(token);
        if self.by_index.len() <= index {
            self.by_index.resize_with(index + 1, PeerAddress::default);
        }
        self.by_index[index] = peer_address;
    }

    /// A connection is gone, and counts for nobody any more.
    pub(super) fn remove(&mut self, token: Token) {
        if let Some(peer_address) = self.by_index.get_mut(index_of(token)) {
            let peer_address = std::mem::take(peer_address);
            self.release(peer_address);
        }
        if !self.tls.is_empty() {
            self.tls.remove(&token);
        }
    }

    /// One that was given no place counts for nobody.
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

    /// A connection takes the place of another one, whose permit it gets if it has none and both come from one address.
    pub(super) fn replace(&mut self, old: Token, new: Token) {
        let (old, new) = (index_of(old), index_of(new));
        let is_exchange = match (self.by_index.get(old), self.by_index.get(new)) {
            (Some(PeerAddress::Player(permit)), Some(PeerAddress::Takeover(over))) => {
                over.is_for_same_address(permit)
            }
            _ => false,
        };
        if is_exchange {
            let permit = std::mem::take(&mut self.by_index[old]);
            let over = std::mem::replace(&mut self.by_index[new], permit);
            self.release(over);
        }
    }

    /// A connection beyond its address's limit gets a permit if there is one by now. Returns whether it is within the limit.
    pub(super) fn promote(&mut self, token: Token) -> bool {
        let Some(peer_address) = self.by_index.get_mut(index_of(token)) else { return true };
        if let PeerAddress::Takeover(over) = peer_address
            && let Some(permit) = self.limiter.promote(over)
        {
            *peer_address = PeerAddress::Player(permit);
        }
        !matches!(peer_address, PeerAddress::Takeover(_))
    }

    /// Whether the client speaks `https` to the trusted proxy in front of this connection, by that proxy's word.
    pub(super) fn is_https(&self, token: Token, request: &Request) -> bool {
        match self.by_index.get(index_of(token)) {
            Some(PeerAddress::Proxy(_)) => {
                request.x_forwarded_proto.as_deref().is_some_and(proto_is_https)
                    || request.forwarded.as_deref().is_some_and(forwarded_is_https)
            }
            _ => self.tls.contains(&token),
        }
    }

    /// The client behind a trusted proxy, as the request tells. Both header fields may come only if they agree: a proxy
    /// that sets one of them may pass on what its client wrote into the other.
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
}

fn limits_of(config: &Config) -> AddressLimits {
    AddressLimits {
        connections_max: config.max_conns_per_ip.unwrap_or(MAX_CONNS_PER_IP_DEFAULT),
        exempts_loopback: config.max_conns_per_ip.is_none(),
        rate: Rate {
            per_s: config.ip_conn_rate.unwrap_or(IP_CONN_RATE_DEFAULT),
            burst: config.ip_conn_burst,
            exempts_loopback: config.ip_conn_rate.is_none(),
        },
    }
}

fn http_rate_of(config: &Config) -> Rate {
    Rate {
        per_s: config.http_rate.unwrap_or(HTTP_RATE_DEFAULT),
        burst: config.http_burst,
        exempts_loopback: config.http_rate.is_none(),
    }
}

/// The answer to a connection or a request that its address may not have.
pub(super) struct TooManyRequests {
    line: &'static str,
    retry_after_s: String,
}

impl TooManyRequests {
    fn new(line: &'static str, retry_after_s: u64) -> Self {
        Self { line, retry_after_s: retry_after_s.to_string() }
    }

    /// The address holds as many connections as it may.
    pub(super) fn too_many_connections() -> Self {
        Self::new("too many connections from your address\n", TOO_MANY_RETRY_S)
    }

    /// Appends it. `asked` is the request it answers, if that was read: HEAD gets no body, or the next answer on the same
    /// connection would begin with it.
    pub(super) fn write(&self, out: &mut Vec<u8>, asked: Option<&Request>, keep_alive: bool, date: &Date) {
        let response = Response {
            headers: &[("Retry-After", &self.retry_after_s)],
            head_only: asked.is_some_and(|request| request.method == Method::Head),
            keep_alive,
            ..Response::text(Status::TooManyRequests, self.line)
        };
        response.write(out, date);
    }
}

/// Why a fresh connection is not taken.
pub(super) enum Rejection {
    /// Its address may not have another one.
    Respond(TooManyRequests),
    /// It is nobody's who could send a PROXY header.
    Drop,
}

impl Server {
    /// Judges a fresh connection, as far as its peer's address tells anything.
    pub(super) fn check_peer(&mut self, stream: &TcpStream, peer: IpAddr) -> Result<PeerAddress, Rejection> {
        let peer = peer.to_canonical();
        let is_trusted = self.peer_addresses.trusted.contains(peer);
        if self.peer_addresses.proxy_protocol {
            if is_trusted || is_this_machine(stream, peer) {
                return Ok(PeerAddress::AwaitingHeader { peer, is_trusted });
            }
            self.metrics.refused[Refused::ProxyHeader] += 1;
            return Err(Rejection::Drop);
        }
        if is_trusted {
            return Ok(PeerAddress::Proxy(peer));
        }
        self.client_address(Client::known(peer)).map_err(Rejection::Respond)
    }

    /// Counts a connection of this address as a request: connections without requests are no cheaper.
    fn client_address(&mut self, client: Client) -> Result<PeerAddress, TooManyRequests> {
        let charged = self.peer_addresses.charge(client, self.now_ns);
        self.metrics.refused[Refused::RequestRate] += u64::from(charged.is_err());
        charged.map(|()| PeerAddress::HttpClient(client))
    }

    /// Counts a request for the address it comes from. A trusted proxy's own requests are free.
    pub(super) fn check_request_rate(
        &mut self,
        token: Token,
        request: &Request,
    ) -> Result<(), TooManyRequests> {
        let client = match self.peer_addresses.by_index.get(index_of(token)) {
            Some(&PeerAddress::HttpClient(client)) => client,
            Some(&PeerAddress::Proxy(proxy)) => match self.peer_addresses.client_of(proxy, request) {
                Some(client) if client == proxy => return Ok(()),
                Some(client) => Client::known(client),
                None => Client::behind(proxy),
            },
            _ => return Ok(()),
        };
        let charged = self.peer_addresses.charge(client, self.now_ns);
        self.metrics.refused[Refused::RequestRate] += u64::from(charged.is_err());
        charged
    }

    /// Takes the PROXY header from the start of what a connection has sent, if it must have one. Returns whether what
    /// follows may be looked at.
    pub(super) fn take_proxy_header(&mut self, token: Token) -> bool {
        let Some(&PeerAddress::AwaitingHeader { peer, is_trusted }) =
            self.peer_addresses.by_index.get(index_of(token))
        else {
            return true;
        };
        let Some(connection) = self.table.get_mut(token) else { return false };
        let Phase::Http(http) = &mut connection.phase else { return false };
        let address = match parse(http.head.bytes()) {
            Ok(Parsed::Incomplete) => return false,
            Ok(Parsed::Complete { source, consumed, is_tls }) if is_trusted || source.is_none() => {
                if is_tls && is_trusted {
                    self.peer_addresses.tls.insert(token);
                }
                http.head.consume(consumed);
                source.unwrap_or(peer)
            }
            Ok(Parsed::Complete { .. }) | Err(_) => {
                self.metrics.refused[Refused::ProxyHeader] += 1;
                self.disconnect(token);
                return false;
            }
        };
        let client_address = self.client_address(Client::known(address)).and_then(|client_address| {
            let counted = self.peer_addresses.counted(&client_address);
            if self.count_for_address(token, counted) {
                Ok(client_address)
            } else {
                Err(TooManyRequests::too_many_connections())
            }
        });
        match client_address {
            Ok(client_address) => {
                self.peer_addresses.insert(token, client_address);
                true
            }
            Err(answer) => {
                let date = self.date();
                if let Some(connection) = self.table.get_mut(token) {
                    answer.write(connection.outbox.bytes(), None, false, &date);
                }
                self.start_close(token, false);
                false
            }
        }
    }

    /// Whether a connection is a trusted proxy's.
    pub(super) fn is_proxied(&self, token: Token) -> bool {
        matches!(self.peer_addresses.by_index.get(index_of(token)), Some(PeerAddress::Proxy(_)))
    }

    /// Counts an upgrade for its address; behind a proxy for the address that the proxy names.
    /// One too many is refused unless it may take over a connection.
    pub(super) fn check_upgrade(
        &mut self,
        token: Token,
        request: &Request,
        may_take_over: bool,
    ) -> Result<(), TooManyRequests> {
        let client = match self.peer_addresses.by_index.get(index_of(token)) {
            Some(&PeerAddress::HttpClient(client)) => client,
            Some(&PeerAddress::Proxy(proxy)) => self.peer_addresses.client_of(proxy, request).map_or_else(
                || {
                    self.metrics.forwarding_unclear_total += 1;
                    Client::behind(proxy)
                },
                Client::known,
            ),
            _ => return Ok(()),
        };
        let peer_address = self.admit_upgrade(client, may_take_over)?;
        self.peer_addresses.insert(token, peer_address);
        Ok(())
    }

    /// The answer to a connection of an address that holds all that it may.
    pub(super) fn too_many_connections(&mut self) -> TooManyRequests {
        self.metrics.refused[Refused::AddressConnections] += 1;
        TooManyRequests::too_many_connections()
    }

    /// Counts a connection for its address. One too many may be let in to take over another.
    fn admit_upgrade(&mut self, client: Client, may_take_over: bool) -> Result<PeerAddress, TooManyRequests> {
        let (limiter, now_ns) = (&mut self.peer_addresses.limiter, self.now_ns);
        let checked = match limiter.admit(client, now_ns) {
            Err(Refusal::TooManyConnections) if may_take_over => {
                limiter.admit_takeover(client, now_ns).map(PeerAddress::Takeover)
            }
            checked => checked.map(PeerAddress::Player),
        };
        checked.map_err(|refusal| {
            let (reason, answer) = match refusal {
                Refusal::TooManyConnections => {
                    (Refused::AddressConnections, TooManyRequests::too_many_connections())
                }
                Refusal::RateExceeded { retry_after_s } => {
                    let line = "too many connections from your address\n";
                    (Refused::AddressRate, TooManyRequests::new(line, retry_after_s))
                }
            };
            self.metrics.refused[reason] += 1;
            answer
        })
    }
}

/// Whether the peer is on the machine that the server runs on.
fn is_this_machine(stream: &TcpStream, peer: IpAddr) -> bool {
    peer.is_loopback() || stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == peer)
}
