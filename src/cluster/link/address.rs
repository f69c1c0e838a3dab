//! Address of the bus, and the names of its channels and keys.

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::super::Channel;
use super::super::message::NodeId;
use super::primary;
use crate::ops::secret::Secret;
use crate::sessions::SessionToken;

/// Address of the bus, the world's name and the node's id.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) url: Secret,
    /// Host, port and database; safe to log.
    pub(super) shown: String,
    world: String,
    pub(super) node: NodeId,
}

impl Address {
    /// Splits a URL into itself and its loggable form. Accepts `redis://[user:password@]host[:port][/db]`,
    /// without TLS. A query is refused: the client library would ignore a password in it, and the log would
    /// show it as part of the address.
    pub fn parse(url: &str) -> Option<(String, String)> {
        let (host, port, database) = Self::split(url)?;
        Some((url.to_owned(), format!("{host}:{port}/{database}")))
    }

    /// Resolves the host name without connecting to Redis.
    ///
    /// # Errors
    /// The log line of an unreachable bus, if the name does not resolve.
    pub fn check(url: &str) -> Result<(), String> {
        let Some((host, port, database)) = Self::split(url) else { return Ok(()) };
        let shown = format!("{host}:{port}/{database}");
        primary::addresses(&host, port).map(drop).map_err(|error| super::unreachable_line(&shown, &error))
    }

    fn split(url: &str) -> Option<(String, u16, i64)> {
        // Unencoded, these characters would end the password early, and the log would show its rest as the host.
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

    /// Creates the address for this URL, world and node; `None` if [`Address::parse`] refuses the URL.
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

    /// Returns the key of a stored session. It contains the session token: a client that can list the keys
    /// of the bus can take over sessions, so Redis must be as private as the servers.
    pub(super) fn session_key(&self, token: SessionToken) -> String {
        format!("pixi:{}:resume:{:032x}", self.world, token.number())
    }

    pub(super) fn id_counter_key(&self) -> String {
        format!("pixi:{}:ids", self.world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_and_their_secrets_are_not_shown() {
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
