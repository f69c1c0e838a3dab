//! HTTP requests: health, metrics, and the upgrade to a player.

use super::table::Token;

use super::Core;
use super::cluster::Cluster;
use super::connection::{Connection, ConnectionClass, Phase, Player};
use super::deferred::Deferred;
use super::negotiation::negotiate;
use super::peer_address::TooManyRequests;
use super::reconnect::TokenLookup;
use super::system::Listener;
use super::system::System;
use super::takeover::Requester;
use crate::admission::origins::Refusal;
use crate::admission::rate::RateLimiter;
use crate::ops::metrics::{Format, Refused, health_json, render};
use crate::replication::pool::Pool;
use crate::sessions::{SavedPlayer, SessionToken};
use crate::wire::http::{
    AcceptKey, HttpError, Method, Request, Response, Status, upgrade, write_upgrade_response,
};
use crate::wire::websocket::WebSocket;

/// For files with a stable path: browsers revalidate on each use and get 304 while the file is unchanged.
pub(super) const REVALIDATE: (&str, &str) = ("Cache-Control", "no-cache");
pub(super) const NO_SNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");
/// For responses that change from second to second.
pub(super) const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
/// `Retry-After` of a refusal for lack of capacity, in seconds.
const RETRY_AFTER: (&str, &str) = ("Retry-After", "5");

/// The state of a connection after a request.
pub(super) enum RequestOutcome {
    /// More requests may follow.
    KeepAlive,
    /// The last response is written.
    Close,
    /// The connection is a player now.
    Upgraded,
    /// The handshake is pending: its session token is being looked up.
    Pending,
}

/// A valid WebSocket handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The connection that sent it.
    pub token: Token,
    /// The port that the client addressed, which is part of its cookie's name.
    pub port: u16,
    /// The key for the `Sec-WebSocket-Accept` header.
    pub key: AcceptKey,
    /// Whether the client uses `https` to the proxy in front.
    pub is_https: bool,
}

/// A session that a handshake resumes.
#[derive(Debug)]
pub(super) struct ResumedSession {
    /// The session token from the client's cookie.
    pub presented: SessionToken,
    /// The saved state of its player.
    pub saved: SavedPlayer,
}

impl<S: System> Core<S> {
    /// Answers the next complete request, once the peer has taken the previous response. Returns whether
    /// there was one.
    pub(super) fn answer_next(&mut self, token: Token, pool: &Pool) -> bool {
        // Bytes after a pending handshake belong to the player.
        if self.reconnects.contains(token) || !self.take_proxy_header(token) {
            return false;
        }
        let Some(connection) = self.table.get_mut(token) else { return false };
        let Phase::Http(http) = &mut connection.phase else { return false };
        if http.head.is_empty() || !connection.outbox.is_empty() {
            return false;
        }
        let outcome = match http.head.next_request() {
            Ok(None) => return false,
            Ok(Some(mut request)) => {
                http.was_answered = true;
                request.keep_alive &= connection.class == ConnectionClass::Regular;
                self.answer(token, &request, pool)
            }
            Err(error) => self.answer_malformed(token, error),
        };
        match outcome {
            RequestOutcome::KeepAlive | RequestOutcome::Pending => {}
            RequestOutcome::Close => self.close_http(token),
            RequestOutcome::Upgraded => self.queue_write(token),
        }
        true
    }

    fn answer_malformed(&mut self, token: Token, error: HttpError) -> RequestOutcome {
        let reason = match error {
            HttpError::Malformed(_) => Refused::BadRequest,
            HttpError::HeadTooLong | HttpError::TooManyFields => Refused::HeadTooLarge,
            HttpError::Body => Refused::Body,
            HttpError::TransferEncoding | HttpError::Version => Refused::NotSupported,
        };
        self.metrics.refused[reason] += 1;
        let line = format!("{}\n", error.reason());
        self.respond(token, &Response::text(error.status(), &line));
        RequestOutcome::Close
    }

    fn answer(&mut self, token: Token, request: &Request, pool: &Pool) -> RequestOutcome {
        self.metrics.http_requests_total += 1;
        if let Err(refusal) = self.check_request_rate(token, request) {
            // The next request on a proxy's connection may come from another client.
            let keep_alive = request.keep_alive && self.is_proxied(token);
            return self.refuse_address(token, Some(request), &refusal, keep_alive);
        }
        let Some(connection) = self.table.get(token) else { return RequestOutcome::Close };
        let (listener, class) = (connection.listener, connection.class);
        let path = self.without_slash(&request.path, listener);
        if class == ConnectionClass::ReserveDescriptor && listener == Listener::Public && path != "/health" {
            return self.refuse(token, Refused::Descriptors, "no descriptor is left for this connection\n");
        }
        let is_metrics = self.is_metrics(listener, path);
        if class == ConnectionClass::Monitoring && !(path == "/health" || is_metrics) {
            return self.refuse(token, Refused::Full, "too many connections are open; try again\n");
        }
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return self.answer_options(token, request, path),
            Method::Other => return self.answer_method(token, request, path),
        }
        match path {
            "/ws" if listener == Listener::Public => return self.answer_upgrade(token, request),
            "/health" => self.answer_health(token, request),
            "/metrics" if is_metrics => {
                let format = negotiate(request.accept.as_deref());
                self.answer_metrics(token, request, pool, format);
            }
            "/metrics/prometheus" if is_metrics => {
                let format = match negotiate(request.accept.as_deref()) {
                    Format::Json => Format::Prometheus,
                    format => format,
                };
                self.answer_metrics(token, request, pool, format);
            }
            _ => self.answer_file(token, request, path),
        }
        keep_alive(request)
    }

    fn answer_method(&mut self, token: Token, request: &Request, path: &str) -> RequestOutcome {
        self.metrics.refused[Refused::Method] += 1;
        let line = "only GET, HEAD and OPTIONS are allowed\n";
        let response = Response {
            headers: &[allow(path)],
            keep_alive: request.keep_alive,
            ..Response::text(Status::MethodNotAllowed, line)
        };
        self.respond(token, &response);
        keep_alive(request)
    }

    fn answer_health(&mut self, token: Token, request: &Request) {
        let state = if self.draining.is_some() {
            "draining"
        } else if !self.has_ids() {
            "starting"
        } else {
            "healthy"
        };
        let is_healthy = |cluster: &Cluster<S::Bus>| cluster.is_healthy(self.uptime_ms());
        let cluster =
            self.cluster.as_ref().map(|cluster| if is_healthy(cluster) { "ok" } else { "degraded" });
        let body = health_json(state, self.uptime_ms() / 1000, self.engine.players() as u64, cluster);
        let status = if state == "healthy" { Status::Ok } else { Status::ServiceUnavailable };
        self.respond(token, &dynamic(request, status, "application/json", &body));
    }

    fn answer_metrics(&mut self, token: Token, request: &Request, pool: &Pool, format: Format) {
        self.metrics.log_lines_dropped_total = self.system.usage().log_lines_dropped;
        let mut cache = std::mem::take(&mut self.metrics_cache);
        let body = cache.body(format, self.now_ms(), || render(&self.metrics, &self.gauges(pool), format));
        self.metrics_cache = cache;
        let date = self.date();
        let response = Response { body: &body, ..dynamic(request, Status::Ok, format.content_type(), "") };
        let Some(connection) = self.table.get_mut(token) else { return };
        response.write_head(connection.outbox.bytes(), &date);
        if !response.head_only {
            let all = 0..body.len();
            connection.outbox.send_body(body, all);
        }
    }

    pub(super) fn respond(&mut self, token: Token, response: &Response<'_>) {
        let date = self.date();
        if let Some(connection) = self.table.get_mut(token) {
            response.write(connection.outbox.bytes(), &date);
        }
    }

    /// Handles an upgrade. Checks the capacity before it grants the upgrade.
    fn answer_upgrade(&mut self, token: Token, request: &Request) -> RequestOutcome {
        let key = match upgrade(request) {
            Ok(key) => key,
            Err(error) => {
                self.metrics.refused[Refused::Upgrade] += 1;
                let line = format!("{}\n", error.reason());
                let response = Response {
                    headers: error.headers(),
                    keep_alive: request.keep_alive,
                    head_only: request.method == Method::Head,
                    ..Response::text(error.status(), &line)
                };
                self.respond(token, &response);
                return keep_alive(request);
            }
        };
        let origins = &self.config.allowed_origins;
        if let Err(refusal) = origins.check(request.origin.as_deref(), self.config.require_origin) {
            return self.refuse_origin(token, request, refusal);
        }
        // The player that this handshake may replace.
        let is_https = self.peer_addresses.is_https(token, request);
        let port = request.port(is_https).unwrap_or_else(|| self.system.public_port());
        let presented = request.cookie.as_deref().and_then(|cookies| SessionToken::in_cookies(cookies, port));
        let owner = presented.and_then(|presented| self.connected_owner(presented));
        if let Some((reason, line)) = self.refusal_reason(owner.is_some()) {
            return self.refuse(token, reason, line);
        }
        if let Err(refusal) = self.check_upgrade(token, request, owner.is_some()) {
            return self.refuse_address(token, Some(request), &refusal, false);
        }
        let handshake = Handshake { token, port, key, is_https };
        match self.look_up_token(presented) {
            TokenLookup::Player(reconnect) => {
                self.upgrade_to_player(&handshake, reconnect.as_ref());
                return RequestOutcome::Upgraded;
            }
            TokenLookup::InUse(presented, owner) => {
                self.ping_owner(Requester::Client(handshake), presented, owner);
            }
            TokenLookup::Remote(presented) => self.fetch_remote_session(handshake, presented),
        }
        RequestOutcome::Pending
    }

    /// Upgrades a pending handshake whose lookup is complete, if the server still has capacity. Otherwise puts
    /// the session back.
    pub(super) fn admit_handshake(&mut self, handshake: &Handshake, reconnect: Option<&ResumedSession>) {
        let token = handshake.token;
        if self.is_http(token) {
            let refused = if self.peer_addresses.promote(token) {
                self.refusal_reason(false).map(|(reason, line)| self.refuse(token, reason, line))
            } else {
                let refusal = self.too_many_connections();
                Some(self.refuse_address(token, None, &refusal, false))
            };
            if refused.is_none() {
                return self.upgrade_to_player(handshake, reconnect);
            }
            self.queue_write(token);
            self.close_http(token);
        }
        if let Some(&ResumedSession { presented, saved }) = reconnect {
            self.sessions.put_back(presented, saved, self.now_ms());
        }
    }

    /// Returns the reason to refuse every new player, and the response line; `None` if players are admitted.
    /// With `replaces_player` a full server admits the player, since it replaces another one.
    pub(super) fn refusal_reason(&self, replaces_player: bool) -> Option<(Refused, &'static str)> {
        if self.draining.is_some() {
            Some((Refused::Draining, "the server is shutting down\n"))
        } else if self.is_full() && !replaces_player {
            Some((Refused::Full, "the server is full\n"))
        } else if !self.has_ids() {
            Some((Refused::NoIds, "the server has no ids for players yet\n"))
        } else {
            None
        }
    }

    fn is_full(&self) -> bool {
        self.engine.players() >= self.config.max_connections
    }

    /// Refuses a connection for lack of capacity.
    fn refuse(&mut self, token: Token, reason: Refused, line: &'static str) -> RequestOutcome {
        self.metrics.refused[reason] += 1;
        let response =
            Response { headers: &[RETRY_AFTER], ..Response::text(Status::ServiceUnavailable, line) };
        self.respond(token, &response);
        RequestOutcome::Close
    }

    fn refuse_address(
        &mut self,
        token: Token,
        request: Option<&Request>,
        refusal: &TooManyRequests,
        keep_alive: bool,
    ) -> RequestOutcome {
        let date = self.date();
        if let Some(connection) = self.table.get_mut(token) {
            refusal.write(connection.outbox.bytes(), request, keep_alive, &date);
        }
        if keep_alive { RequestOutcome::KeepAlive } else { RequestOutcome::Close }
    }

    fn refuse_origin(&mut self, token: Token, request: &Request, refusal: Refusal) -> RequestOutcome {
        self.metrics.refused[match refusal {
            Refusal::Missing => Refused::OriginMissing,
            Refusal::Repeated => Refused::OriginRepeated,
            Refusal::NotAllowed => Refused::OriginNotAllowed,
        }] += 1;
        let line = format!("{}\n", refusal.reason());
        let response =
            Response { keep_alive: request.keep_alive, ..Response::text(Status::Forbidden, &line) };
        self.respond(token, &response);
        keep_alive(request)
    }

    /// Writes the 101 response and the player's snapshot, then handles input that the client has already
    /// sent.
    fn upgrade_to_player(&mut self, handshake: &Handshake, reconnect: Option<&ResumedSession>) {
        let Handshake { token, port, ref key, is_https } = *handshake;
        let (now_ms, uptime_ms, date) = (self.now_ms(), self.uptime_ms(), self.date());
        // If the system provides no random numbers, the session keeps its old token.
        let presented = reconnect.map(|reconnect| reconnect.presented);
        let session_token =
            if self.sessions.is_enabled() { self.system.draw_token().or(presented) } else { None };
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Http(http) = std::mem::replace(&mut connection.phase, Phase::Dead) else {
            unreachable!("only HTTP connections are upgraded")
        };
        // If the end of the peer's input was already read, another read reports it again.
        connection.readable |= connection.input_ended;
        let out = connection.outbox.bytes();
        let set_cookie = session_token
            .map(|session_token| session_token.set_cookie(port, &self.config.cookie_path, is_https));
        write_upgrade_response(out, key, set_cookie.as_deref(), &date);
        let slot = self.engine.join(reconnect.map(|reconnect| reconnect.saved), out, &mut self.metrics);
        let player = Box::new(Player {
            // No frame has arrived yet, not even in this millisecond.
            last_frame_ms: now_ms.saturating_sub(1),
            websocket: WebSocket::new(self.config.read_buffer_bytes),
            limiter: RateLimiter::new(uptime_ms),
            deferred: Deferred::default(),
            last_ping_ms: now_ms,
            unconfirmed_since_ms: reconnect.map(|_| now_ms),
            session_token,
            last_saved_ms: now_ms,
        });
        self.http_connections.remove(token);
        connection.phase = Phase::Player { slot, player };
        if self.tokens_by_slot.len() <= slot as usize {
            self.tokens_by_slot.resize(slot as usize + 1, token);
        }
        self.tokens_by_slot[slot as usize] = token;
        self.start_session(token, session_token, reconnect);
        self.metrics.connections_upgraded_total += 1;
        self.queue_write(token);
        log::debug!("player {} joined", self.engine.world().id(slot).unwrap_or(0));
        if !http.head.is_empty() {
            self.receive_from_player(token, http.head.bytes());
        }
    }

    fn close_http(&mut self, token: Token) {
        if let Some(Connection { phase: Phase::Http(_), .. }) = self.table.get(token) {
            self.start_close(token, false);
        }
    }
}

/// Returns the `Allow` header of the resource at a path.
pub(super) fn allow(path: &str) -> (&'static str, &'static str) {
    ("Allow", if path == "/ws" { "GET, OPTIONS" } else { "GET, HEAD, OPTIONS" })
}

pub(super) fn keep_alive(request: &Request) -> RequestOutcome {
    if request.keep_alive { RequestOutcome::KeepAlive } else { RequestOutcome::Close }
}

fn dynamic<'a>(request: &Request, status: Status, content_type: &'a str, body: &'a str) -> Response<'a> {
    Response {
        status,
        content_type,
        headers: &[NO_STORE, NO_SNIFF],
        body: body.as_bytes(),
        head_only: request.method == Method::Head,
        keep_alive: request.keep_alive,
    }
}
