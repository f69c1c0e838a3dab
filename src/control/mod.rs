//! The control interface: what operators ask of a running server, and what it answers.
//!
//! Requests and answers are lines of JSON on a Unix socket. A request is `{"version":1,"command":"kick","id":17}`; the answer is
//! `{"version":1,"result":{...}}` or `{"version":1,"error":"..."}`. `pixi-game-server ctl` ([`ctl`]) speaks it.

pub mod ctl;
mod group;
pub mod players;
mod table;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::limits::{BAN_PREFIXES, CLOSE_REASON_BYTES_MAX, LISTED_PLAYERS_MAX};

/// Version of the interface. A change that an older client would misread raises it.
pub const VERSION: u64 = 1;

/// Close code of a kicked player: a violated policy (RFC 6455, section 7.4.1).
pub const KICK_CODE: u16 = 1008;

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// What the server is doing.
    Status {},
    /// The nodes of the world with their load, by their last heartbeats.
    Nodes {},
    /// The players, sorted.
    Players {
        /// The order.
        #[serde(default)]
        sort: Sort,
        /// Only these players come first by distance to this position, in units.
        #[serde(default)]
        near: Option<(u16, u16)>,
        /// Only players of this network.
        #[serde(default)]
        address: Option<Network>,
        /// Maximum number of players.
        #[serde(default = "listed")]
        limit: usize,
    },
    /// Everything about one player.
    Player {
        /// Its id.
        id: u32,
    },
    /// Close one player's connection, or those of a network.
    Kick {
        /// The player.
        #[serde(default)]
        id: Option<u32>,
        /// The network.
        #[serde(default)]
        address: Option<Network>,
        /// WebSocket close code: [`KICK_CODE`], or 4000 to 4999.
        #[serde(default = "kick_code")]
        code: u16,
        /// Reason in the close frame.
        #[serde(default = "kick_reason")]
        reason: String,
    },
    /// Refuse a network, and close its players' connections.
    Ban {
        /// The network.
        network: Network,
        /// Time until the ban ends; without it, never.
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// The bans in force.
    Bans {},
    /// End a ban.
    Unban {
        /// The network, as it was banned.
        network: Network,
    },
    /// Admit no new players, and report the server as unhealthy, so that a balancer looks elsewhere. Nobody is closed.
    Drain {
        /// Time until players are admitted again; without it, until `undrain`.
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// Admit players again.
    Undrain {},
    /// Change a live setting until the next reload.
    Set {
        /// Its variable.
        name: String,
        /// Its new value.
        value: String,
    },
    /// Read configuration and files again, as SIGHUP does.
    Reload {},
    /// Follow one player's messages: an answer for each, until its connection ends or another trace begins.
    Trace {
        /// The player.
        id: u32,
    },
}

/// The order of players. Ties are broken by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// By id, lowest first.
    #[default]
    Id,
    /// By acknowledged MOVEs, most first.
    Acks,
    /// By bytes in both directions, most first.
    Bytes,
    /// By age, oldest first.
    Age,
    /// By MOVEs whose claimed position was not accepted, most first.
    Rejected,
}

impl Sort {
    /// The names of all orders.
    pub const NAMES: [&'static str; 5] = ["id", "acks", "bytes", "age", "rejected"];
}

fn listed() -> usize {
    50
}

fn kick_code() -> u16 {
    KICK_CODE
}

fn kick_reason() -> String {
    "kicked by an operator".to_owned()
}

/// An address or a network: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/48`. Bits beyond the prefix are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network =
            text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical())));
        let network: IpNet =
            network.map_err(|_| format!("{text:?} is not an address or a network such as 192.0.2.0/24"))?;
        Ok(Self(network.trunc()))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(out) } else { self.0.fmt(out) }
    }
}

impl Command {
    /// Parses a request.
    ///
    /// # Errors
    /// It is not JSON, has another version, or is not a command with valid values; the message is for the operator.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let mut request: Json = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let version = request.as_object_mut().and_then(|request| request.remove("version"));
        if version != Some(json!(VERSION)) {
            let version = version.unwrap_or_default();
            return Err(format!("version {version}: expected {VERSION}"));
        }
        let command: Self = serde_json::from_value(request).map_err(|error| error.to_string())?;
        command.check().map(|()| command)
    }

    /// Returns the request as a line.
    pub fn to_line(&self) -> String {
        let mut request = json!({ "version": VERSION });
        if let (Json::Object(request), Ok(Json::Object(command))) = (&mut request, serde_json::to_value(self))
        {
            request.extend(command);
        }
        format!("{request}\n")
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first invalid value, with what is allowed.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Players { limit, .. } if !(1..=LISTED_PLAYERS_MAX).contains(limit) => {
                Err(format!("limit {limit}: expected a whole number from 1 to {LISTED_PLAYERS_MAX}"))
            }
            Self::Kick { id, address, .. } if id.is_some() == address.is_some() => {
                Err("expected either an id or an address".to_owned())
            }
            Self::Kick { code, .. } if *code != KICK_CODE && !(4000..=4999).contains(code) => {
                Err(format!("code {code}: expected {KICK_CODE}, or a whole number from 4000 to 4999"))
            }
            Self::Kick { reason, .. }
                if reason.len() > CLOSE_REASON_BYTES_MAX || reason.contains(char::is_control) =>
            {
                Err(format!(
                    "reason {reason:?}: expected at most {CLOSE_REASON_BYTES_MAX} bytes without control characters"
                ))
            }
            Self::Ban { network, .. } => check_ban(*network),
            _ => Ok(()),
        }
    }
}

/// A ban of a short prefix is a slip, and limits apply to 64 bits of an IPv6 address.
fn check_ban(network: Network) -> Result<(), String> {
    let [v4, v6] = BAN_PREFIXES;
    let (prefix, allowed) = (network.0.prefix_len(), if network.0.addr().is_ipv4() { v4 } else { v6 });
    if allowed.contains(&prefix) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    Err(format!("network {}/{prefix}: expected a prefix of {least} to {most} bits", network.0.addr()))
}

/// Returns an answer as a line.
pub fn answer(result: Result<Json, String>) -> String {
    let answer = match result {
        Ok(result) => json!({ "version": VERSION, "result": result }),
        Err(error) => json!({ "version": VERSION, "error": error }),
    };
    format!("{answer}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let network = |text: &str| Network::try_from(text.to_owned()).unwrap();
        for command in [
            Command::Status {},
            Command::Players { sort: Sort::Bytes, near: Some((1, 2)), address: None, limit: 7 },
            Command::Kick {
                id: None,
                address: Some(network("192.0.2.7")),
                code: 4001,
                reason: "x".to_owned(),
            },
            Command::Ban { network: network("2001:db8::/48"), seconds: Some(60) },
            Command::Set { name: "MAX_VISIBLE".to_owned(), value: "5".to_owned() },
        ] {
            assert_eq!(Command::parse(command.to_line().as_bytes()), Ok(command));
        }
    }

    #[test]
    fn an_invalid_request_is_named() {
        for (line, problem) in [
            ("nonsense", "not JSON: expected ident at line 1 column 2"),
            (r#"{"command":"status"}"#, "version null: expected 1"),
            (r#"{"version":2,"command":"status"}"#, "version 2: expected 1"),
            (r#"{"version":1,"command":"status","x":1}"#, "unknown field `x`, there are no fields"),
            (
                r#"{"version":1,"command":"players","limit":0}"#,
                "limit 0: expected a whole number from 1 to 1000",
            ),
            (r#"{"version":1,"command":"players","sort":"x"}"#, "unknown variant `x`, expected one of"),
            (r#"{"version":1,"command":"kick"}"#, "expected either an id or an address"),
            (r#"{"version":1,"command":"kick","id":1,"code":1000}"#, "code 1000: expected 1008, or"),
            (
                r#"{"version":1,"command":"kick","id":1,"reason":"\n"}"#,
                "reason \"\\n\": expected at most 123 bytes",
            ),
            (
                r#"{"version":1,"command":"ban","network":"10.0.0.0/7"}"#,
                "network 10.0.0.0/7: expected a prefix of 8 to 32",
            ),
            (
                r#"{"version":1,"command":"ban","network":"::1"}"#,
                "network ::1/128: expected a prefix of 16 to 64",
            ),
            (r#"{"version":1,"command":"ban","network":"x"}"#, "\"x\" is not an address or a network"),
        ] {
            let found = Command::parse(line.as_bytes()).unwrap_err();
            assert!(found.starts_with(problem), "{line}: {found}");
        }
    }
}
