//! Authentication of handshakes with `AUTH=jwt`, and the limit of connections by account.

use super::http::{RequestOutcome, keep_alive, respond};
use super::system::System;
use super::table::Token;
use super::{Core, close};
use crate::auth::{Account, Auth, Credentials, Denied, Policy, Unverified};
use crate::ops::metrics::{Closed, Refused};
use crate::wire::http::{Request, Response, Status};
use crate::wire::websocket::Code;

/// RFC 9110, section 11.6.1.
const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Bearer");

/// Checks the token of a handshake except for its signature; `None` if none is needed.
pub(super) fn inspect<'r, S: System>(
    core: &Core<S>,
    request: &'r Request,
) -> Result<Option<Unverified<'r>>, Denied> {
    let config = &core.config;
    if config.auth == Auth::None {
        return Ok(None);
    }
    let credentials = Credentials {
        authorization: request.authorization.as_deref(),
        query: request.query.as_deref(),
        cookies: request.cookie.as_deref(),
        cookie_name: &config.auth_cookie,
    };
    let policy = Policy { audience: config.auth_audience.as_deref(), leeway_s: config.auth_leeway_s };
    policy.inspect(&credentials, &core.accounts.keys, core.system.unix_time()).map(Some)
}

/// Refuses a handshake with 401. The client does not learn the reason.
pub(super) fn refuse<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    denied: Denied,
) -> RequestOutcome {
    core.metrics.refused[match denied {
        Denied::Missing => Refused::AuthMissing,
        Denied::Repeated => Refused::AuthRepeated,
        Denied::TooLong => Refused::AuthTooLong,
        Denied::Malformed => Refused::AuthMalformed,
        Denied::Header => Refused::AuthHeader,
        Denied::Key => Refused::AuthKey,
        Denied::Signature => Refused::AuthSignature,
        Denied::Expired => Refused::AuthExpired,
        Denied::NotYetValid => Refused::AuthNotYetValid,
        Denied::Audience => Refused::AuthAudience,
        Denied::Subject => Refused::AuthSubject,
    }] += 1;
    log::debug!("handshake refused: {}", denied.reason());
    let line = "a valid token is required\n";
    let response = Response {
        headers: &[CHALLENGE],
        keep_alive: request.keep_alive,
        ..Response::text(Status::Unauthorized, line)
    };
    respond(core, token, &response);
    keep_alive(request)
}

/// Whether a new player of this account closes another connection, so that the number of players does not grow.
pub(super) fn displaces_player<S: System>(core: &Core<S>, account: Option<&Account>) -> bool {
    account.is_some_and(|account| !core.accounts.displaced(account, connections_max(core)).is_empty())
}

/// Whether a new player of this account closes this connection.
pub(super) fn displaces<S: System>(core: &Core<S>, account: Option<&Account>, owner: Token) -> bool {
    account.is_some_and(|account| core.accounts.displaced(account, connections_max(core)).contains(&owner))
}

/// Closes the oldest connections of an account, so that a new one keeps `AUTH_SESSIONS_PER_SUB`.
pub(super) fn make_room<S: System>(core: &mut Core<S>, account: &Account) {
    for owner in core.accounts.displaced(account, connections_max(core)).to_vec() {
        close_displaced(core, owner);
    }
}

/// Closes a connection whose account has joined again.
pub(super) fn close_displaced<S: System>(core: &mut Core<S>, owner: Token) {
    close::close_player(
        core,
        owner,
        Code::Displaced,
        "your account has joined elsewhere",
        Closed::SameAccount,
    );
}

fn connections_max<S: System>(core: &Core<S>) -> usize {
    core.config.auth_sessions_per_sub as usize
}
