//! Where connections come from, and whether their address may have another one. The address is known at accept, or, from
//! a trusted proxy, from the PROXY header that the connection begins with, or else from the header fields of the
//! upgrade: a proxy's plain requests may be anybody's, one after the other on the same connection, and are not counted.
//!
//! With the PROXY protocol, nobody but trusted proxies is served, with one exception: a peer on this very machine may
//! send a header that claims nothing, so that the server's own health check needs no proxy.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use mio::Token;
use mio::net::TcpStream;

use super::Server;
use super::connection::Phase;
use super::table::place_of;
use crate::admission::Client;
use crate::admission::limiter::{AddressLimiter, AddressLimits, Refusal, Seat};
use crate::admission::trust::TrustedProxies;
use crate::config::{Config, IP_CONN_RATE_DEFAULT};
use crate::metrics::Refused;
use crate::wire::forwarded::{forwarded, x_forwarded_for};
use crate::wire::http::{Request, Response, Status};
use crate::wire::proxy_protocol::{Parsed, parse};

/// When an address that holds too many connections may ask again, in seconds.
const TOO_MANY_RETRY_S: u64 = 5;

/// Whom a connection counts for, as far as that is known.
#[derive(Debug, Default)]
pub(super) enum Attribution {
    /// Nothing, or nothing that counts any more.
    #[default]
    Unknown,
    /// It counts for an address.
    Seated(Seat),
    /// A trusted proxy's: its upgrade tells.
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
    /// By place in the table of connections, beside which they lie: no move of a player needs them.
    by_place: Vec<Attribution>,
}

impl Attributions {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            trusted: TrustedProxies::new(config.trusted_proxies.clone()),
            proxy_protocol: config.proxy_protocol,
            limiter: AddressLimiter::new(limits_of(config), RandomState::new().hash_one(0)),
            by_place: Vec::new(),
        }
    }

    /// Takes over the limits of another configuration.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.limiter.set_limits(limits_of(config));
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
    }

    /// One that was given no place counts for nobody.
    pub(super) fn release(&mut self, attribution: Attribution) {
        if let Attribution::Seated(seat) = attribution {
            self.limiter.release(seat);
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
        connections_max: config.max_conns_per_ip,
        rate_per_s: config.ip_conn_rate.unwrap_or(IP_CONN_RATE_DEFAULT),
        burst: config.ip_conn_burst,
        spares_loopback: config.ip_conn_rate.is_none(),
    }
}

/// The answer to a connection that its address may not have.
pub(super) struct TooManyRequests {
    retry_after_s: String,
}

impl TooManyRequests {
    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let line = "too many connections from your address\n";
        let response = Response {
            headers: &[("Retry-After", &self.retry_after_s)],
            ..Response::text(Status::TooManyRequests, line)
        };
        response.write(out);
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
        self.seat(Client::known(peer)).map(Attribution::Seated).map_err(Turned::Away)
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
        let Phase::Http(head) = &mut connection.phase else { return false };
        let address = match parse(head) {
            Ok(Parsed::Incomplete) => return false,
            Ok(Parsed::Complete { source, consumed }) if is_trusted || source.is_none() => {
                // Into a buffer of its own: one that has held something and is empty tells that a request was answered.
                **head = head.split_off(consumed);
                source.unwrap_or(peer)
            }
            Ok(Parsed::Complete { .. }) | Err(_) => {
                self.metrics.refused[Refused::ProxyHeader] += 1;
                self.lose(token);
                return false;
            }
        };
        match self.seat(Client::known(address)) {
            Ok(seat) => {
                self.attributions.insert(token, Attribution::Seated(seat));
                true
            }
            Err(answer) => {
                if let Some(connection) = self.table.get_mut(token) {
                    answer.write(connection.outbox.bytes());
                }
                self.start_closing(token, false);
                false
            }
        }
    }

    /// Counts an upgrade for whoever the proxy in front of it names; one without a proxy counts already.
    pub(super) fn judge_upgrade(&mut self, token: Token, request: &Request) -> Result<(), TooManyRequests> {
        let Some(&Attribution::Proxy(proxy)) = self.attributions.by_place.get(place_of(token)) else {
            return Ok(());
        };
        let client = self.attributions.client_of(proxy, request).map_or_else(
            || {
                self.metrics.forwarding_unclear_total += 1;
                Client::behind(proxy)
            },
            Client::known,
        );
        let seat = self.seat(client)?;
        self.attributions.insert(token, Attribution::Seated(seat));
        Ok(())
    }

    fn seat(&mut self, client: Client) -> Result<Seat, TooManyRequests> {
        self.attributions.limiter.admit(client, self.now_ns).map_err(|refusal| {
            let (reason, retry_after_s) = match refusal {
                Refusal::TooMany => (Refused::AddressConnections, TOO_MANY_RETRY_S),
                Refusal::TooFast { retry_after_s } => (Refused::AddressRate, retry_after_s),
            };
            self.metrics.refused[reason] += 1;
            TooManyRequests { retry_after_s: retry_after_s.to_string() }
        })
    }
}

/// Whether the peer is on the machine that the server runs on.
fn is_this_machine(stream: &TcpStream, peer: IpAddr) -> bool {
    peer.is_loopback() || stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == peer)
}
