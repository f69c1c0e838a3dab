//! Where the bus is, and what things are called there.

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::super::Channel;
use super::super::message::NodeId;
use super::primary;
use crate::ops::secret::Secret;
use crate::sessions::SessionToken;

/// Where the bus is, and which world this is.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) url: Secret,
    /// Host, port and database: what may be shown.
    pub(super) shown: String,
    world: String,
    pub(super) node: NodeId,
}

impl Address {
    /// Takes a URL apart: `redis://[user:password@]host[:port][/db]`, without TLS. A query is refused: the client library would
    /// ignore a password in it, and it would be shown as part of the address.
    pub fn parse(url: &str) -> Option<(String, String)> {
        let (host, port, database) = Self::split(url)?;
        Some((url.to_owned(), format!("{host}:{port}/{database}")))
    }

    /// Whether the host's name can be resolved. Redis is not asked anything.
    ///
    /// # Errors
    /// The line that a link logs where it can't be.
    pub fn check(url: &str) -> Result<(), String> {
        let Some((host, port, database)) = Self::split(url) else { return Ok(()) };
        let shown = format!("{host}:{port}/{database}");
        primary::addresses(&host, port).map(drop).map_err(|error| super::unreachable_line(&shown, &error))
    }

    fn split(url: &str) -> Option<(String, u16, i64)> {
        // A password may hold none of these unless they are encoded: what is behind them would be shown as the host's.
        let (_, rest) = url.split_once("redis://").filter(|(before, _)| before.is_empty())?;
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let user = &rest[..rest.len() - host.len()];
        if user.contains('/') || url.contains(['?', '#']) {
            return None;
        }
        let info = url.into_connection_info().ok()?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
        let is_whole = !host.is_empty() && !url.contains(char::is_whitespace);
        is_whole.then(|| (host.clone(), *port, info.redis_settings().db()))
    }

    /// The bus at this URL, for this process of this world; `None` if it is no URL that [`Address::parse`] takes.
    pub fn new(url: &str, world: &str, node: NodeId) -> Option<Self> {
        let (url, shown) = Self::parse(url)?;
        Some(Self { url: Secret::new(url), shown, world: world.to_owned(), node })
    }

    pub(super) fn channel(&self, channel: Channel) -> String {
        match channel {
            Channel::All => format!("pixi:{}:all", self.world),
            Channel::Region(region) => format!("pixi:{}:region:{region}", self.world),
        }
    }

    pub(super) fn wake_channel(&self) -> String {
        format!("pixi:{}:wake:{:016x}", self.world, self.node)
    }

    /// Whoever can read the keys of the bus can be anybody: it is to be as private as the servers.
    pub(super) fn session_key(&self, ticket: SessionToken) -> String {
        format!("pixi:{}:resume:{:032x}", self.world, ticket.number())
    }

    pub(super) fn id_counter_key(&self) -> String {
        format!("pixi:{}:ids", self.world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_shown_without_secrets() {
        for (url, shown) in [
            ("redis://127.0.0.1", "127.0.0.1:6379/0"),
            ("redis://user:secret@bus.example:6380/3", "bus.example:6380/3"),
            ("redis://:secret@[::1]:1/0", "::1:1/0"),
        ] {
            assert_eq!(Address::parse(url).unwrap().1, shown, "{url}");
        }
        for url in [
            "",
            "redis://",
            "rediss://host",
            "unix:///socket",
            "redis://host:port",
            "redis://host/x",
            "host:1",
            "redis://host:1?pass@word",
            "redis://:pass/word@host",
            "redis://host:1/0?password=word",
            "redis://host#word",
        ] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }
}
