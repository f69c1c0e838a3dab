//! The game's WebSocket endpoint on a server, as the flag `--server` gives it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{addresses, host_and_port};
use crate::Failure;
use crate::options::{Bounds, Value};

/// Default port: HTTP's.
const PORT: u16 = 80;

/// Longest time for name resolution.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The game's WebSocket endpoint on a server. Its host is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host and port as given.
    pub authority: String,
    /// The host's first address; 0.0.0.0 if the host did not resolve.
    pub address: SocketAddr,
    /// The reason why the host did not resolve.
    pub problem: Option<String>,
    /// Path of the WebSocket endpoint.
    pub path: String,
}

impl Target {
    /// Returns the game's usual endpoint at this address.
    pub fn at(address: SocketAddr) -> Target {
        Target { authority: address.to_string(), address, problem: None, path: "/ws".to_owned() }
    }

    /// Checks that the host has resolved.
    ///
    /// # Errors
    /// It has not, with the reason.
    pub fn require(&self) -> Result<(), Failure> {
        let failed = |problem: &String| Failure::Failed(format!("the server is unreachable: {problem}"));
        self.problem.as_ref().map_or(Ok(()), |problem| Err(failed(problem)))
    }

    /// Whether the server is reachable from every source address in 127.0.0.0/8.
    pub fn is_loopback(&self) -> bool {
        matches!(self.address.ip(), IpAddr::V4(address) if address.is_loopback())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ws://{}{}", self.authority, self.path)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Value for Target {
    fn parse(text: &str, _: Bounds) -> Result<Target, String> {
        let allowed = || "ws://HOST:PORT/PATH".to_owned();
        let rest = text.strip_prefix("ws://").ok_or_else(allowed)?;
        let (authority, path) = rest.find('/').map_or((rest, "/ws"), |slash| rest.split_at(slash));
        let (host, port) = host_and_port(authority, PORT).ok_or_else(allowed)?;
        let names_port = authority.ends_with(&format!(":{port}"));
        let authority = if names_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let found = addresses(&host, port, LOOKUP_TIMEOUT);
        let first = found.as_ref().ok().and_then(|found| found.first().copied());
        let address = first.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
        Ok(Target { authority, address, problem: found.err(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_scheme_address_and_path_of_a_server() {
        let server = Target::parse("ws://127.0.0.1:8108/ws", (0.0, 0.0)).unwrap();
        assert_eq!((server.address.port(), server.path.as_str()), (8108, "/ws"));
        assert!(server.is_loopback());
        assert_eq!(Target::parse("ws://127.9.9.9", (0.0, 0.0)).unwrap().authority, "127.9.9.9:80");
        assert_eq!(Target::parse("ws://[::1]:81/", (0.0, 0.0)).unwrap().address.port(), 81);
        let nowhere = Target::parse("ws://no-such-host.invalid/ws", (0.0, 0.0)).unwrap();
        assert!(nowhere.problem.unwrap().starts_with("the name no-such-host.invalid does not resolve: "));
        for text in
            ["127.0.0.1:8108", "wss://127.0.0.1/ws", "http://127.0.0.1", "ws://:x/ws", "ws://a:80x/ws"]
        {
            assert!(Target::parse(text, (0.0, 0.0)).is_err(), "{text}");
        }
    }
}
