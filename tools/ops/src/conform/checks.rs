//! The checks. Each opens its own connections, so none depends on another.

mod alone;
mod endings;
mod http;
mod together;

use std::net::SocketAddr;

/// Importance of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The game's client or the operators of a server depend on the behavior.
    Contract,
    /// Promised by this project beyond the behavior of earlier servers.
    Promise,
}

/// Runs a check; the error describes the actual behavior.
type Ask = fn(SocketAddr) -> Result<(), String>;

/// One requirement on a server.
pub struct Check {
    /// Part of the protocol.
    pub part: &'static str,
    /// The required behavior.
    pub name: &'static str,
    /// Importance.
    pub weight: Weight,
    /// Runs the check; the error describes the actual behavior.
    pub ask: Ask,
}

/// Returns a check of behavior that clients or operators depend on.
const fn needed(part: &'static str, name: &'static str, ask: Ask) -> Check {
    Check { part, name, weight: Weight::Contract, ask }
}

/// Returns a check of a promise of this project.
const fn promised(part: &'static str, name: &'static str, ask: Ask) -> Check {
    Check { part, name, weight: Weight::Promise, ask }
}

/// Returns all checks, in the order in which a client depends on them.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [http::CHECKS, alone::CHECKS, together::CHECKS, endings::CHECKS].into_iter().flatten()
}

/// Returns an error unless the condition holds.
fn expect(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
