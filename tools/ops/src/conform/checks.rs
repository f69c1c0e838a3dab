//! The checks. Each opens its own connections, so none depends on another.

mod alone;
mod endings;
mod http;
mod together;

use std::net::SocketAddr;

/// Asks a server; the error describes the actual behavior.
type Ask = fn(SocketAddr) -> Result<(), String>;

/// How a check asks.
pub enum Question {
    /// With the server alone.
    Plain(Ask),
    /// With the distance of a client's step on that server, in units.
    OfSpeed(fn(SocketAddr, f64) -> Result<(), String>),
}

/// One requirement on a server.
pub struct Check {
    /// Part of the protocol.
    pub part: &'static str,
    /// The required behavior.
    pub name: &'static str,
    /// Whether the game's client or the operators of a server depend on it. Otherwise, this project promises it beyond the
    /// behavior of earlier servers.
    pub is_needed: bool,
    /// Whether it waits for a periodic message, and runs beside the checks after it.
    pub is_long: bool,
    question: Question,
}

impl Check {
    /// Runs the check against a server with this `PLAYER_SPEED`; the error describes the actual behavior.
    pub fn ask(&self, server: SocketAddr, step_units: f64) -> Result<(), String> {
        match self.question {
            Question::Plain(ask) => ask(server),
            Question::OfSpeed(ask) => ask(server, step_units),
        }
    }
}

const fn needed(part: &'static str, name: &'static str, ask: Ask) -> Check {
    Check { part, name, is_needed: true, is_long: false, question: Question::Plain(ask) }
}

const fn promised(part: &'static str, name: &'static str, ask: Ask) -> Check {
    Check { part, name, is_needed: false, is_long: false, question: Question::Plain(ask) }
}

const fn long(check: Check) -> Check {
    Check { is_long: true, ..check }
}

/// Returns all checks, in the order in which a client depends on them.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [http::CHECKS, alone::CHECKS, together::CHECKS, endings::CHECKS].into_iter().flatten()
}

/// Returns an error unless the condition holds.
fn expect(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
