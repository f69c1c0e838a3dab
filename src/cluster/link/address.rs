//! Address of the bus, and the names of its channels and keys.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use super::super::Channel;
use super::super::message::NodeId;
use super::primary;
use crate::limits::SOCKET_PATH_BYTES_MAX;
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
    /// Splits a URL into the client library's form and its loggable form. Accepts `redis://[user:password@]host[:port][/db]`,
    /// without TLS, and `redis+unix://[user:password@]/path[?db=N]`. Any other query is refused: the client library would
    /// ignore a password in it, and the log would show it as part of the address.
    pub fn parse(url: &str) -> Option<(ConnectionInfo, String)> {
        let info = match url.strip_prefix("redis+unix://") {
            Some(rest) => unix(rest),
            None => tcp(url),
        }?;
        let database = info.redis_settings().db();
        let shown = match info.addr() {
            ConnectionAddr::Unix(path) => format!("{}?db={database}", path.display()),
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}/{database}"),
            _ => return None,
        };
        Some((info, shown))
    }

    /// Resolves the host name, or finds the socket, without connecting to Redis.
    ///
    /// # Errors
    /// The log line of an unreachable bus, if the name does not resolve or there is no such socket.
    pub fn check(url: &str) -> Result<(), String> {
        let Some((info, shown)) = Self::parse(url) else { return Ok(()) };
        let found = match info.addr() {
            ConnectionAddr::Unix(path) => path.metadata().map(drop),
            ConnectionAddr::Tcp(host, port) => primary::addresses(host, *port).map(drop),
            _ => Ok(()),
        };
        found.map_err(|error| super::unreachable_line(&shown, &error))
    }

    /// Creates the address for this URL, world and node; `None` if [`Address::parse`] refuses the URL.
    pub fn new(url: &str, world: &str, node: NodeId) -> Option<Self> {
        let (_, shown) = Self::parse(url)?;
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

/// Reads `redis://[user:password@]host[:port][/db]`.
fn tcp(url: &str) -> Option<ConnectionInfo> {
    // Unencoded, these characters would end the password early, and the log would show its rest as the host.
    let (_, rest) = url.split_once("redis://").filter(|(before, _)| before.is_empty())?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let user = &rest[..rest.len() - host.len()];
    if user.contains('/') || url.contains(['?', '#']) || url.contains(char::is_whitespace) {
        return None;
    }
    let info = url.into_connection_info().ok()?;
    let ConnectionAddr::Tcp(host, _) = info.addr() else { return None };
    (!host.is_empty()).then_some(info)
}

/// Reads `[user:password@]/path[?db=N]`.
fn unix(rest: &str) -> Option<ConnectionInfo> {
    let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (path, query) = place.split_once('?').unwrap_or((place, "db=0"));
    let is_path = path.len() > 1 && path.starts_with('/') && path.len() <= SOCKET_PATH_BYTES_MAX;
    let is_split = user.contains('/') || rest.contains('#') || rest.contains(char::is_whitespace);
    if !is_path || is_split {
        return None;
    }
    let mut settings =
        RedisConnectionInfo::default().set_db(query.strip_prefix("db=")?.parse::<u32>().ok()?.into());
    if !user.is_empty() {
        let (name, password) = user.split_once(':')?;
        let decoded = |text| percent_decode_str(text).decode_utf8().ok();
        settings = settings.set_password(decoded(password)?);
        if !name.is_empty() {
            settings = settings.set_username(decoded(name)?);
        }
    }
    let info = ConnectionAddr::Unix(PathBuf::from(path)).into_connection_info().ok()?;
    Some(info.set_redis_settings(settings))
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
            ("redis+unix:///run/redis.sock", "/run/redis.sock?db=0"),
            ("redis+unix://:secret@/run/redis.sock?db=3", "/run/redis.sock?db=3"),
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
            "redis+unix://",
            "redis+unix:///",
            "redis+unix://host/run/redis.sock",
            "redis+unix:///run/redis.sock?db=x",
            "redis+unix:///run/redis.sock?pass=word",
            "redis+unix://:pass/word@/run/redis.sock",
            "redis+unix:///run/redis.sock#word",
            "redis+unix://password@/run/redis.sock",
            "redis+unix://user:secret@/a@b",
        ] {
            assert!(Address::parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn credentials_of_a_socket_are_decoded() {
        let (info, _) = Address::parse("redis+unix://us%65r:p%40ss:w@/run/redis.sock").unwrap();
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("user"), Some("p@ss:w")));
        let (info, _) = Address::parse("redis+unix://:secret@/run/redis.sock").unwrap();
        assert_eq!(
            (info.redis_settings().username(), info.redis_settings().password()),
            (None, Some("secret"))
        );
    }
}
