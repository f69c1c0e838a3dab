//! HTTP requests: health, metrics, and the upgrade to a player.

use super::connection::{Connection, ConnectionClass, Phase, Player};
use super::negotiation::negotiate;
use super::peer_address::TooManyRequests;
use super::reconnect::TokenLookup;
use super::system::{Listener, System};
use super::table::Token;
use super::takeover::Requester;
use super::{
    Core, accept, authentication, close, cluster, gauges, peer_address, player, reconnect, routes, site,
    takeover,
};
use crate::admission::origins::Refusal;
use crate::auth::{Account, Unverified};
use crate::ops::metrics::{ClusterHealth, Format, Refused, health_json, render};
use crate::replication::pool::Pool;
use crate::sessions::{SavedPlayer, SessionToken};
use crate::wire::http::{
    AcceptKey, HttpError, Method, Request, Response, Status, upgrade, write_upgrade_response,
};
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handshake {
    /// The connection that sent it.
    pub token: Token,
    /// The port that the client addressed, which is part of its cookie's name.
    pub port: u16,
    /// The key for the `Sec-WebSocket-Accept` header.
    pub key: AcceptKey,
    /// Whether the client uses `https` to the proxy in front.
    pub is_https: bool,
    /// The account of its token; `None` without authentication.
    pub account: Option<Account>,
}

impl Handshake {
    /// Whether the saved player has the account of this handshake. No session passes from one account to another.
    pub fn may_resume(&self, saved: &SavedPlayer) -> bool {
        saved.account == self.account.as_ref().map(Account::hash)
    }
}

/// A session that a handshake resumes.
#[derive(Debug)]
pub(super) struct ResumedSession {
    /// The session token from the client's cookie.
    pub presented: SessionToken,
    /// The saved state of its player.
    pub saved: SavedPlayer,
}

/// Answers the next complete request once the previous response is taken. Returns whether there was one.
pub(super) fn answer_next<S: System>(core: &mut Core<S>, token: Token, pool: &Pool) -> bool {
    // Bytes after a pending handshake belong to the player.
    if core.sessions.pending.contains(token) || !peer_address::take_proxy_header(core, token) {
        return false;
    }
    let Some(connection) = core.connections.get_mut(token) else { return false };
    let Phase::Http(http) = &mut connection.phase else { return false };
    if http.head.is_empty() || !connection.outbox.is_empty() {
        return false;
    }
    let outcome = match http.head.next_request() {
        Ok(None) => return false,
        Ok(Some(mut request)) => {
            http.was_answered = true;
            request.keep_alive &= connection.class == ConnectionClass::Regular;
            answer(core, token, &request, pool)
        }
        Err(error) => answer_malformed(core, token, error),
    };
    match outcome {
        RequestOutcome::KeepAlive | RequestOutcome::Pending => {}
        RequestOutcome::Close => close_http(core, token),
        RequestOutcome::Upgraded => player::queue_write(core, token),
    }
    true
}

fn answer_malformed<S: System>(core: &mut Core<S>, token: Token, error: HttpError) -> RequestOutcome {
    let reason = match error {
        HttpError::Malformed(_) => Refused::BadRequest,
        HttpError::HeadTooLong | HttpError::TooManyFields => Refused::HeadTooLarge,
        HttpError::Body => Refused::Body,
        HttpError::TransferEncoding | HttpError::Version => Refused::NotSupported,
    };
    core.metrics.refused[reason] += 1;
    let line = format!("{}\n", error.reason());
    respond(core, token, &Response::text(error.status(), &line));
    RequestOutcome::Close
}

fn answer<S: System>(core: &mut Core<S>, token: Token, request: &Request, pool: &Pool) -> RequestOutcome {
    core.metrics.http_requests_total += 1;
    let now_ns = core.clock.now_ns();
    if let Err(refusal) = core.gate.peer_addresses.check_request_rate(token, request, now_ns) {
        // The next request on a proxy's connection may come from another client.
        let keep_alive = request.keep_alive && core.gate.peer_addresses.is_proxied(token);
        return refuse_address(core, token, Some(request), &refusal, keep_alive);
    }
    // The ban may be younger than the connection.
    if !core.operations.bans.is_empty()
        && let Some(client) = core.gate.peer_addresses.client(token, request)
        && accept::is_banned(core, client)
    {
        return refuse_banned(core, token, Some(request));
    }
    let Some(connection) = core.connections.get(token) else { return RequestOutcome::Close };
    let (listener, class) = (connection.listener, connection.class);
    let path = site::without_slash(core, &request.path, listener);
    if class == ConnectionClass::ReserveDescriptor && listener == Listener::Public && path != "/health" {
        return refuse(core, token, Refused::Descriptors, "no descriptor is left for this connection\n");
    }
    let is_metrics = routes::is_metrics(core, listener, path);
    if class == ConnectionClass::Monitoring && !(path == "/health" || is_metrics) {
        return refuse(core, token, Refused::Full, "too many connections are open; try again\n");
    }
    match request.method {
        Method::Get | Method::Head => {}
        Method::Options => return site::answer_options(core, token, request, path),
        Method::Other => return answer_method(core, token, request, path),
    }
    match path {
        "/ws" if listener == Listener::Public => return answer_upgrade(core, token, request),
        "/health" => answer_health(core, token, request),
        "/metrics" if is_metrics => {
            let format = negotiate(request.accept.as_deref());
            answer_metrics(core, token, request, pool, format);
        }
        "/metrics/prometheus" if is_metrics => {
            let format = match negotiate(request.accept.as_deref()) {
                Format::Json => Format::Prometheus,
                format => format,
            };
            answer_metrics(core, token, request, pool, format);
        }
        _ => site::answer_file(core, token, request, path),
    }
    keep_alive(request)
}

fn answer_method<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    path: &str,
) -> RequestOutcome {
    core.metrics.refused[Refused::Method] += 1;
    let line = "only GET, HEAD and OPTIONS are allowed\n";
    let response = Response {
        headers: &[allow(path)],
        keep_alive: request.keep_alive,
        ..Response::text(Status::MethodNotAllowed, line)
    };
    respond(core, token, &response);
    keep_alive(request)
}

fn answer_health<S: System>(core: &mut Core<S>, token: Token, request: &Request) {
    let state = if core.is_draining() || core.operations.is_closed(core.clock.now_ms()) {
        "draining"
    } else if !cluster::has_ids(core) {
        "starting"
    } else {
        "healthy"
    };
    let (uptime_ms, players) = (core.clock.uptime_ms(), core.engine.players() as u64);
    let cluster = core.cluster.as_ref().map(|cluster| ClusterHealth {
        node: cluster.node.name(),
        state: if cluster.is_healthy(uptime_ms) { "ok" } else { "degraded" },
        players_in_world: players + cluster.node.remote().peer_players(),
    });
    let body = health_json(state, uptime_ms / 1000, players, cluster);
    let status = if state == "healthy" { Status::Ok } else { Status::ServiceUnavailable };
    respond(core, token, &dynamic(request, status, "application/json", &body));
}

fn answer_metrics<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    pool: &Pool,
    format: Format,
) {
    let mut cache = std::mem::take(&mut core.site.metrics_cache);
    let body = cache
        .body(format, core.clock.now_ms(), || render(&core.metrics, &gauges::gauges(core, pool), format));
    core.site.metrics_cache = cache;
    let date = core.date();
    let response = Response { body: &body, ..dynamic(request, Status::Ok, format.content_type(), "") };
    let Some(connection) = core.connections.get_mut(token) else { return };
    response.write_head(connection.outbox.bytes(), &date);
    if !response.head_only {
        let all = 0..body.len();
        connection.outbox.send_body(body, all);
    }
}

pub(super) fn respond<S: System>(core: &mut Core<S>, token: Token, response: &Response<'_>) {
    let date = core.date();
    if let Some(connection) = core.connections.get_mut(token) {
        response.write(connection.outbox.bytes(), &date);
    }
}

/// Handles an upgrade. Checks the capacity before it grants the upgrade.
fn answer_upgrade<S: System>(core: &mut Core<S>, token: Token, request: &Request) -> RequestOutcome {
    let key = match upgrade(request) {
        Ok(key) => key,
        Err(error) => {
            core.metrics.refused[Refused::Upgrade] += 1;
            let line = format!("{}\n", error.reason());
            let response = Response {
                headers: error.headers(),
                keep_alive: request.keep_alive,
                head_only: request.method == Method::Head,
                ..Response::text(error.status(), &line)
            };
            respond(core, token, &response);
            return keep_alive(request);
        }
    };
    let origins = &core.config.allowed_origins;
    if let Err(refusal) = origins.check(request.origin.as_deref(), core.config.require_origin) {
        return refuse_origin(core, token, request, refusal);
    }
    let unverified = match authentication::inspect(core, request) {
        Ok(unverified) => unverified,
        Err(denied) => return authentication::refuse(core, token, request, denied),
    };
    let claimed = unverified.as_ref().map(Unverified::claimed_account);
    // The player that this handshake may replace.
    let is_https = core.gate.peer_addresses.is_https(token, request);
    let port = request.port(is_https).unwrap_or_else(|| core.system.public_port());
    let presented = request.cookie.as_deref().and_then(|cookies| SessionToken::in_cookies(cookies, port));
    let owner = presented.and_then(|presented| reconnect::connected_owner(core, presented, claimed));
    let replaces_player = owner.is_some() || authentication::displaces_player(core, claimed);
    if let Some((reason, line)) = refusal_reason(core, replaces_player) {
        return refuse(core, token, reason, line);
    }
    let (now_ns, addresses) = (core.clock.now_ns(), &mut core.gate.peer_addresses);
    let checked = addresses.check_upgrade(token, request, owner.is_some(), now_ns, &mut core.metrics);
    if let Err(refusal) = checked {
        return refuse_address(core, token, Some(request), &refusal, false);
    }
    // Last, since it costs the most.
    let account = match unverified.map(Unverified::verify).transpose() {
        Ok(account) => account,
        Err(denied) => return authentication::refuse(core, token, request, denied),
    };
    let handshake = Handshake { token, port, key, is_https, account };
    match reconnect::look_up_token(core, presented, handshake.account.as_ref()) {
        TokenLookup::Player(reconnect) => {
            upgrade_to_player(core, &handshake, reconnect.as_ref());
            return RequestOutcome::Upgraded;
        }
        TokenLookup::Displacing(presented, owner) => {
            let reconnect = takeover::displace_owner(core, token, presented, owner);
            upgrade_to_player(core, &handshake, reconnect.as_ref());
            return RequestOutcome::Upgraded;
        }
        TokenLookup::InUse(presented, owner) => {
            takeover::ping_owner(core, Requester::Client(handshake), presented, owner);
        }
        TokenLookup::Remote(presented) => takeover::fetch_remote_session(core, handshake, presented),
    }
    RequestOutcome::Pending
}

/// Upgrades a pending handshake whose lookup is complete. Puts the session back if the server is full, or if a newer
/// handshake of another account got the lookup of an older one.
pub(super) fn admit_handshake<S: System>(
    core: &mut Core<S>,
    handshake: &Handshake,
    mut reconnect: Option<ResumedSession>,
) {
    if let Some(ResumedSession { presented, saved }) =
        reconnect.take_if(|reconnect| !handshake.may_resume(&reconnect.saved))
    {
        core.sessions.store.put_back(presented, saved, core.clock.now_ms());
    }
    let token = handshake.token;
    if takeover::is_http(core, token) {
        let replaces_player = authentication::displaces_player(core, handshake.account.as_ref());
        let promoted = core.gate.peer_addresses.promote(token);
        let network = core.gate.peer_addresses.player_network(token);
        let refused = if network.is_some_and(|network| accept::is_banned(core, network.into())) {
            Some(refuse_banned(core, token, None))
        } else if promoted {
            refusal_reason(core, replaces_player).map(|(reason, line)| refuse(core, token, reason, line))
        } else {
            let refusal = TooManyRequests::too_many_connections();
            Some(refuse_address(core, token, None, &refusal, false))
        };
        if refused.is_none() {
            return upgrade_to_player(core, handshake, reconnect.as_ref());
        }
        player::queue_write(core, token);
        close_http(core, token);
    }
    if let Some(ResumedSession { presented, saved }) = reconnect {
        core.sessions.store.put_back(presented, saved, core.clock.now_ms());
    }
}

/// Returns the reason to refuse every new player, and the response line; `None` if players are admitted.
/// With `replaces_player` a full server admits the player, since it replaces another one.
pub(super) fn refusal_reason<S: System>(
    core: &Core<S>,
    replaces_player: bool,
) -> Option<(Refused, &'static str)> {
    if core.is_draining() {
        Some((Refused::Draining, "the server is shutting down\n"))
    } else if core.operations.is_closed(core.clock.now_ms()) {
        Some((Refused::Draining, "the server admits no players at present\n"))
    } else if is_full(core) && !replaces_player {
        Some((Refused::Full, "the server is full\n"))
    } else if !cluster::has_ids(core) {
        Some((Refused::NoIds, "the server has no ids for players yet\n"))
    } else {
        None
    }
}

/// Whether this process can hold no further player, or all processes of the port together have as many as configured.
fn is_full<S: System>(core: &Core<S>) -> bool {
    let (players, elsewhere) = (core.engine.players(), cluster::players_elsewhere(core));
    players >= core.config.max_connections
        || players + elsewhere >= core.lifecycle.reload.configured().max_connections
}

/// Refuses a connection for lack of capacity.
fn refuse<S: System>(
    core: &mut Core<S>,
    token: Token,
    reason: Refused,
    line: &'static str,
) -> RequestOutcome {
    core.metrics.refused[reason] += 1;
    let response = Response { headers: &[RETRY_AFTER], ..Response::text(Status::ServiceUnavailable, line) };
    respond(core, token, &response);
    RequestOutcome::Close
}

/// The response to a banned client.
pub(super) fn banned(head_only: bool) -> Response<'static> {
    Response { head_only, ..Response::text(Status::Forbidden, "your address is banned\n") }
}

/// Refuses a banned client. The next request on a proxy's connection may come from another one.
pub(super) fn refuse_banned<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: Option<&Request>,
) -> RequestOutcome {
    core.metrics.refused[Refused::Banned] += 1;
    let is_proxied = core.gate.peer_addresses.is_proxied(token);
    let keep_alive = is_proxied && request.is_some_and(|request| request.keep_alive);
    let head_only = request.is_some_and(|request| request.method == Method::Head);
    respond(core, token, &Response { keep_alive, ..banned(head_only) });
    if keep_alive { RequestOutcome::KeepAlive } else { RequestOutcome::Close }
}

/// Refuses a connection or request for a limit of its address. Without a request, the connection is no player yet.
pub(super) fn refuse_address<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: Option<&Request>,
    refusal: &TooManyRequests,
    keep_alive: bool,
) -> RequestOutcome {
    core.metrics.refused[refusal.reason] += 1;
    let date = core.date();
    if let Some(connection) = core.connections.get_mut(token) {
        refusal.write(connection.outbox.bytes(), request, keep_alive, &date);
    }
    if keep_alive { RequestOutcome::KeepAlive } else { RequestOutcome::Close }
}

fn refuse_origin<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    refusal: Refusal,
) -> RequestOutcome {
    core.metrics.refused[match refusal {
        Refusal::Missing => Refused::OriginMissing,
        Refusal::Repeated => Refused::OriginRepeated,
        Refusal::NotAllowed => Refused::OriginNotAllowed,
    }] += 1;
    let line = format!("{}\n", refusal.reason());
    let response = Response { keep_alive: request.keep_alive, ..Response::text(Status::Forbidden, &line) };
    respond(core, token, &response);
    keep_alive(request)
}

/// Writes the 101 response and the snapshot, then handles input that has already arrived.
fn upgrade_to_player<S: System>(
    core: &mut Core<S>,
    handshake: &Handshake,
    reconnect: Option<&ResumedSession>,
) {
    let Handshake { token, port, ref key, is_https, ref account } = *handshake;
    if let Some(account) = account {
        authentication::make_room(core, account);
    }
    let (now_ms, uptime_ms, date) = (core.clock.now_ms(), core.clock.uptime_ms(), core.date());
    // If the system provides no random numbers, the session keeps its old token.
    let presented = reconnect.map(|reconnect| reconnect.presented);
    let session_token =
        if core.sessions.store.is_enabled() { core.system.draw_token().or(presented) } else { None };
    let Some(connection) = core.connections.get_mut(token) else { return };
    let Phase::Http(http) = std::mem::replace(&mut connection.phase, Phase::Dead) else {
        unreachable!("only HTTP connections are upgraded")
    };
    let out = connection.outbox.bytes();
    let set_cookie =
        session_token.map(|session_token| session_token.set_cookie(port, &core.config.cookie_path, is_https));
    write_upgrade_response(out, key, set_cookie.as_deref(), &date);
    let slot = core.engine.join(reconnect.map(|reconnect| reconnect.saved), out, &mut core.metrics);
    let player = Player::new(now_ms, uptime_ms, core.config.read_buffer_bytes, session_token);
    let player = Box::new(Player { unconfirmed_since_ms: reconnect.map(|_| now_ms), ..player });
    core.gate.http_connections.remove(token);
    // The sprites of the snapshot load from its first write on, even if the process is suspended before it.
    connection.outbox.note_stall(now_ms);
    connection.phase = Phase::Player { slot, player };
    core.connections.set_player(slot, token);
    if let Some(account) = account {
        core.accounts.insert(token, account.clone());
    }
    reconnect::start_session(core, token, session_token, reconnect);
    core.metrics.connections_upgraded_total += 1;
    core.metrics.players_peak = core.metrics.players_peak.max(core.engine.players() as u64);
    player::queue_write(core, token);
    let id = core.engine.world().id(slot).unwrap_or(0);
    match account {
        Some(account) => log::debug!("player {id} joined: account {account}"),
        None => log::debug!("player {id} joined"),
    }
    if !http.head.is_empty() {
        player::receive_from_player(core, token, http.head.bytes());
    }
}

fn close_http<S: System>(core: &mut Core<S>, token: Token) {
    if let Some(Connection { phase: Phase::Http(_), .. }) = core.connections.get(token) {
        close::start_close(core, token, false);
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
