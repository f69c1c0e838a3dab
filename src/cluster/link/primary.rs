//! Finds the primary instance. A connection that does not lead to the primary is closed.
//!
//! A failover demotes the old primary to a replica. A replica still answers and still forwards messages, so a node
//! connected to it would notice nothing. The node therefore checks the role after each connect and with each heartbeat.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use arrayvec::ArrayVec;
use redis::{Client, Connection, ConnectionAddr, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use crate::limits::{LINK_ADDRESSES_MAX, LINK_TIMEOUT_MS};

/// Role of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Accepts writes.
    Primary,
    /// Unknown: the user lacks the permission for `ROLE`.
    Denied,
}

/// Connects to the primary behind the host name, which is resolved on every call; its addresses are tried in order. A Unix
/// socket has one instance behind it.
///
/// # Errors
/// The error of the last address, when none leads to a primary.
pub(super) fn connect(client: &Client) -> RedisResult<(Connection, Role)> {
    let info = client.get_connection_info();
    let ConnectionAddr::Tcp(host, port) = info.addr() else { return open(client) };
    let mut failure = RedisError::from(no_address());
    for address in addresses(host, *port)? {
        let target = ConnectionAddr::Tcp(address.ip().to_string(), address.port());
        match Client::open(info.clone().set_addr(target)).and_then(|client| open(&client)) {
            Ok(opened) => return Ok(opened),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Resolves a host, up to [`LINK_ADDRESSES_MAX`] addresses.
///
/// # Errors
/// When the name can't be resolved or has no address.
pub(super) fn addresses(host: &str, port: u16) -> io::Result<ArrayVec<SocketAddr, LINK_ADDRESSES_MAX>> {
    let addresses: ArrayVec<_, _> = (host, port).to_socket_addrs()?.take(LINK_ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err(no_address()) } else { Ok(addresses) }
}

fn no_address() -> io::Error {
    io::Error::other("the name has no address")
}

fn open(client: &Client) -> RedisResult<(Connection, Role)> {
    let timeout = Duration::from_millis(LINK_TIMEOUT_MS);
    let mut connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    let role = require_primary(&mut connection)?;
    Ok((connection, role))
}

/// Checks that the instance is the primary.
///
/// # Errors
/// When the instance is not the primary, or does not answer.
pub(super) fn require_primary(connection: &mut Connection) -> RedisResult<Role> {
    let answer: RedisResult<Vec<redis::Value>> = redis::cmd("ROLE").query(connection);
    match answer {
        Ok(parts) => match parts.first() {
            Some(redis::Value::BulkString(role)) if role == b"master" => Ok(Role::Primary),
            _ => Err(RedisError::from((
                ErrorKind::Server(ServerErrorKind::ReadOnly),
                "the instance is not the primary",
            ))),
        },
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(Role::Denied),
        Err(error) => Err(error),
    }
}

/// Returns whether this instance can't be the bus: it is a replica, is loading, or has lost its primary.
pub(super) fn is_wrong_instance(error: &RedisError) -> bool {
    let ErrorKind::Server(kind) = error.kind() else { return false };
    matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> RedisError {
        redis::parse_redis_value(line.as_bytes()).and_then(redis::Value::extract_error).expect_err("an error")
    }

    #[test]
    fn replicas_and_loading_instances_are_the_wrong_instance_and_refusals_are_not() {
        for line in ["-READONLY replica\r\n", "-LOADING dataset\r\n", "-MASTERDOWN link down\r\n"] {
            assert!(is_wrong_instance(&answer(line)), "{line}");
        }
        for line in ["-OOM maxmemory\r\n", "-NOPERM no\r\n", "-WRONGTYPE value\r\n", "-ERR unknown\r\n"] {
            assert!(!is_wrong_instance(&answer(line)), "{line}");
        }
    }
}
