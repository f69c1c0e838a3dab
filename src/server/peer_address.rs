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
use super::table::place_of;
use crate::admission::buckets::{Buckets, Rate, TooFast};
use crate::admission::limiter::{AddressLimiter, AddressLimits, OverSeat, Refusal, Seat};
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
pub(super) enum Attribution {
    /// Nothing, or nothing that counts any more.
    #[default]
    Unknown,
    /// No player yet, of this address.
    Visitor(Client),
    /// A player, which counts for an address.
    Seated(Seat),
    /// A player to be, whose address holds all that it may: it must take over one of those connections.
    Over(OverSeat),
    /// A trusted proxy's: each request tells.
    Proxy(IpAddr),
    /// Its PROXY header has not arrived whole.
    BeforeHeader {
        peer: IpAddr,
        /// Whether the peer may speak for others.
        is_trusted: bool,
    },
}

/// Whom all connections count for, and the limits of their addresses.
#[derive(Debug)]
pub(super) struct Attributions {
    trusted: TrustedProxies,
    proxy_protocol: bool,
    limiter: AddressLimiter,
    /// How fast addresses may ask.
    http_rate: Rate,
    requests: Buckets,
    /// Connections of one address that are no players; `None` exempts loopback.
    http_conns_per_ip: Option<u32>,
    /// By place in the table of connections, beside which they lie: no move of a player needs them.
    by_place: Vec<Attribution>,
    /// Connections whose PROXY header says that the client speaks TLS.
    tls: HashSet<Token>,
}

impl Attributions {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            trusted: TrustedProxies::new(config.trusted_proxies.clone()),
            proxy_protocol: config.proxy_protocol,
            limiter: AddressLimiter::new(limits_of(config), RandomState::new().hash_one(0)),
            http_rate: http_rate_of(config),
            requests: Buckets::new(RandomState::new().hash_one(1)),
            http_conns_per_ip: config.http_conns_per_ip,
            by_place: Vec::new(),
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
    pub(super) fn counted(&self, attribution: &Attribution) -> Option<Network> {
        let Attribution::Visitor(client) = attribution else { return None };
        let is_spared = self.http_conns_per_ip.is_none() && client.is_loopback();
        (!is_spared).then(|| Network::of(client.address))
    }

    fn charge(&mut self, client: Client, now_ns: u64) -> Result<(), TooManyRequests> {
        if self.http_rate.spares_loopback && client.is_loopback() {
            return Ok(());
        }
        let charged = self.requests.charge(Network::of(client.address), self.http_rate, now_ns);
        charged.map_err(|TooFast { retry_after_s }| {
            TooManyRequests::new("too many requests from your address\n", retry_after_s)
        })
    }

    /// Notes where a connection that was given its place comes from.
    pub(super) fn insert(&mut self, token: Token, attribution: Attribution) {
        let place = place_of(token);
        if self.by_place.len() <= place {
            self.by_place.resize_with(place + 1, Attribution::default);
        }
        self.by_place[place] = attribution;
    }

    /// A connection is gone, and counts for nobody any more.
    pub(super) fn remove(&mut self, token: Token) {
        if let Some(attribution) = self.by_place.get_mut(place_of(token)) {
            let attribution = std::mem::take(attribution);
            self.release(attribution);
        }
        if !self.tls.is_empty() {
            self.tls.remove(&token);
        }
    }

    /// One that was given no place counts for nobody.
    pub(super) fn release(&mut self, attribution: Attribution) {
        match attribution {
            Attribution::Seated(seat) => self.limiter.release(seat),
            Attribution::Over(seat) => self.limiter.release_over(seat),
            Attribution::Unknown
            | Attribution::Visitor(_)
            | Attribution::Proxy(_)
            | Attribution::BeforeHeader { .. } => {}
        }
    }

    /// A connection takes the place of another one, whose seat it gets if it has none and both come from one address.
    pub(super) fn replace(&mut self, old: Token, new: Token) {
        let (old, new) = (place_of(old), place_of(new));
        let is_exchange = match (self.by_place.get(old), self.by_place.get(new)) {
            (Some(Attribution::Seated(seat)), Some(Attribution::Over(over))) => over.is_of(seat),
            _ => false,
        };
        if is_exchange {
            let seat = std::mem::take(&mut self.by_place[old]);
            let over = std::mem::replace(&mut self.by_place[new], seat);
            self.release(over);
        }
    }

    /// A connection beyond its address's limit gets a seat if there is one by now. Returns whether it is within the limit.
    pub(super) fn settle(&mut self, token: Token) -> bool {
        let Some(attribution) = self.by_place.get_mut(place_of(token)) else { return true };
        if let Attribution::Over(over) = attribution
            && let Some(seat) = self.limiter.settle(over)
        {
            *attribution = Attribution::Seated(seat);
        }
        !matches!(attribution, Attribution::Over(_))
    }

    /// Whether the client speaks `https` to the trusted proxy in front of this connection, by that proxy's word.
    pub(super) fn is_https(&self, token: Token, request: &Request) -> bool {
        match self.by_place.get(place_of(token)) {
            Some(Attribution::Proxy(_)) => {
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
        connections_spare_loopback: config.max_conns_per_ip.is_none(),
        rate: Rate {
            per_s: config.ip_conn_rate.unwrap_or(IP_CONN_RATE_DEFAULT),
            burst: config.ip_conn_burst,
            spares_loopback: config.ip_conn_rate.is_none(),
        },
    }
}

fn http_rate_of(config: &Config) -> Rate {
    Rate {
        per_s: config.http_rate.unwrap_or(HTTP_RATE_DEFAULT),
        burst: config.http_burst,
        spares_loopback: config.http_rate.is_none(),
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
    pub(super) fn held() -> Self {
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
pub(super) enum Turned {
    /// Its address may not have another one.
    Away(TooManyRequests),
    /// It is nobody's who could send a PROXY header.
    Off,
}

impl Server {
    /// Judges a fresh connection, as far as its peer's address tells anything.
    pub(super) fn judge_peer(&mut self, stream: &TcpStream, peer: IpAddr) -> Result<Attribution, Turned> {
        let peer = peer.to_canonical();
        let is_trusted = self.attributions.trusted.contains(peer);
        if self.attributions.proxy_protocol {
            if is_trusted || is_this_machine(stream, peer) {
                return Ok(Attribution::BeforeHeader { peer, is_trusted });
            }
            self.metrics.refused[Refused::ProxyHeader] += 1;
            return Err(Turned::Off);
        }
        if is_trusted {
            return Ok(Attribution::Proxy(peer));
        }
        self.visitor(Client::known(peer)).map_err(Turned::Away)
    }

    /// Counts a connection of this address as a request: connections without requests are no cheaper.
    fn visitor(&mut self, client: Client) -> Result<Attribution, TooManyRequests> {
        let charged = self.attributions.charge(client, self.now_ns);
        self.metrics.refused[Refused::RequestRate] += u64::from(charged.is_err());
        charged.map(|()| Attribution::Visitor(client))
    }

    /// Counts a request for the address it comes from. A trusted proxy's own requests are free.
    pub(super) fn judge_request(&mut self, token: Token, request: &Request) -> Result<(), TooManyRequests> {
        let client = match self.attributions.by_place.get(place_of(token)) {
            Some(&Attribution::Visitor(client)) => client,
            Some(&Attribution::Proxy(proxy)) => match self.attributions.client_of(proxy, request) {
                Some(client) if client == proxy => return Ok(()),
                Some(client) => Client::known(client),
                None => Client::behind(proxy),
            },
            _ => return Ok(()),
        };
        let charged = self.attributions.charge(client, self.now_ns);
        self.metrics.refused[Refused::RequestRate] += u64::from(charged.is_err());
        charged
    }

    /// Takes the PROXY header from the start of what a connection has sent, if it must have one. Returns whether what
    /// follows may be looked at.
    pub(super) fn take_proxy_header(&mut self, token: Token) -> bool {
        let Some(&Attribution::BeforeHeader { peer, is_trusted }) =
            self.attributions.by_place.get(place_of(token))
        else {
            return true;
        };
        let Some(connection) = self.table.get_mut(token) else { return false };
        let Phase::Http(http) = &mut connection.phase else { return false };
        let address = match parse(http.head.bytes()) {
            Ok(Parsed::Incomplete) => return false,
            Ok(Parsed::Complete { source, consumed, is_tls }) if is_trusted || source.is_none() => {
                if is_tls && is_trusted {
                    self.attributions.tls.insert(token);
                }
                http.head.consume(consumed);
                source.unwrap_or(peer)
            }
            Ok(Parsed::Complete { .. }) | Err(_) => {
                self.metrics.refused[Refused::ProxyHeader] += 1;
                self.lose(token);
                return false;
            }
        };
        let visitor = self.visitor(Client::known(address)).and_then(|visitor| {
            let counted = self.attributions.counted(&visitor);
            if self.count_for_address(token, counted) { Ok(visitor) } else { Err(TooManyRequests::held()) }
        });
        match visitor {
            Ok(visitor) => {
                self.attributions.insert(token, visitor);
                true
            }
            Err(answer) => {
                let date = self.date();
                if let Some(connection) = self.table.get_mut(token) {
                    answer.write(connection.outbox.bytes(), None, false, &date);
                }
                self.start_closing(token, false);
                false
            }
        }
    }

    /// Whether a connection is a trusted proxy's.
    pub(super) fn is_proxied(&self, token: Token) -> bool {
        matches!(self.attributions.by_place.get(place_of(token)), Some(Attribution::Proxy(_)))
    }

    /// Counts an upgrade for its address; behind a proxy for the address that the proxy names.
    /// One too many is refused unless it may take over a connection.
    pub(super) fn judge_upgrade(
        &mut self,
        token: Token,
        request: &Request,
        may_take_over: bool,
    ) -> Result<(), TooManyRequests> {
        let client = match self.attributions.by_place.get(place_of(token)) {
            Some(&Attribution::Visitor(client)) => client,
            Some(&Attribution::Proxy(proxy)) => self.attributions.client_of(proxy, request).map_or_else(
                || {
                    self.metrics.forwarding_unclear_total += 1;
                    Client::behind(proxy)
                },
                Client::known,
            ),
            _ => return Ok(()),
        };
        let attribution = self.seat(client, may_take_over)?;
        self.attributions.insert(token, attribution);
        Ok(())
    }

    /// The answer to a connection of an address that holds all that it may.
    pub(super) fn too_many(&mut self) -> TooManyRequests {
        self.metrics.refused[Refused::AddressConnections] += 1;
        TooManyRequests::held()
    }

    /// Counts a connection for its address. One too many may be let in to take over another.
    fn seat(&mut self, client: Client, may_take_over: bool) -> Result<Attribution, TooManyRequests> {
        let (limiter, now_ns) = (&mut self.attributions.limiter, self.now_ns);
        let judged = match limiter.admit(client, now_ns) {
            Err(Refusal::TooMany) if may_take_over => {
                limiter.admit_over(client, now_ns).map(Attribution::Over)
            }
            judged => judged.map(Attribution::Seated),
        };
        judged.map_err(|refusal| {
            let (reason, answer) = match refusal {
                Refusal::TooMany => (Refused::AddressConnections, TooManyRequests::held()),
                Refusal::TooFast { retry_after_s } => {
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
