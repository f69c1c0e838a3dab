//! What is asked, check by check. Each uses connections of its own, so that none depends on another.

mod alone;
mod endings;
mod http;
mod together;

use std::net::SocketAddr;

/// Who relies on what a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The game's client, or those who operate a server: without it they do not work.
    Contract,
    /// Nobody has to; this project promises it beyond what servers before it did.
    Promise,
}

/// One thing a server should do.
pub struct Check {
    /// The part of the protocol it belongs to.
    pub part: &'static str,
    /// What should be so.
    pub name: &'static str,
    /// Who relies on it.
    pub weight: Weight,
    /// Asks; the error says what was found instead.
    pub ask: fn(SocketAddr) -> Result<(), String>,
}

/// All of them, in the order in which a client meets them.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [http::CHECKS, alone::CHECKS, together::CHECKS, endings::CHECKS].into_iter().flatten()
}

/// An error unless it holds.
fn expect(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
