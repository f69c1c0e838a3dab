//! Types of flag values, and descriptions of the allowed values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use game_client::endpoint::{addresses, host_and_port};

/// Default port: HTTP's.
const PORT: u16 = 80;

/// Longest time for name resolution.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Smallest and largest value of a number, both allowed.
pub type Bounds = (f64, f64);

/// A type that a flag's text can be parsed as.
pub trait Value: Sized {
    /// Parses the text.
    ///
    /// # Errors
    /// Describes the allowed values, to follow the word "expected".
    fn parse(text: &str, bounds: Bounds) -> Result<Self, String>;
}

fn whole<T: TryFrom<u64>>(text: &str, bounds: Bounds) -> Result<T, String> {
    let number: Option<u64> = text.parse().ok();
    let is_allowed = |number: &u64| (bounds.0..=bounds.1).contains(&(*number as f64));
    number
        .filter(is_allowed)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("a whole number from {} to {}", bounds.0, bounds.1))
}

impl Value for usize {
    fn parse(text: &str, bounds: Bounds) -> Result<usize, String> {
        whole(text, bounds)
    }
}

impl Value for u16 {
    fn parse(text: &str, bounds: Bounds) -> Result<u16, String> {
        whole(text, bounds)
    }
}

impl Value for u32 {
    fn parse(text: &str, bounds: Bounds) -> Result<u32, String> {
        whole(text, bounds)
    }
}

impl Value for u64 {
    fn parse(text: &str, bounds: Bounds) -> Result<u64, String> {
        whole(text, bounds)
    }
}

impl Value for f64 {
    fn parse(text: &str, bounds: Bounds) -> Result<f64, String> {
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| (bounds.0..=bounds.1).contains(number))
            .ok_or_else(|| format!("a number from {} to {}", bounds.0, bounds.1))
    }
}

/// 6 or 14, the two lengths of a MOVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveBytes(pub u8);

impl Value for MoveBytes {
    fn parse(text: &str, _: Bounds) -> Result<MoveBytes, String> {
        match text {
            "6" => Ok(MoveBytes(6)),
            "14" => Ok(MoveBytes(14)),
            _ => Err("6 or 14".to_owned()),
        }
    }
}

impl Value for Duration {
    fn parse(text: &str, bounds: Bounds) -> Result<Duration, String> {
        duration(text).filter(|duration| (bounds.0..=bounds.1).contains(&duration.as_secs_f64())).ok_or_else(
            || format!("a duration from {}s to {}s, such as 500ms, 60s, 2m or 1m30s", bounds.0, bounds.1),
        )
    }
}

/// Parses a sequence of numbers with units, such as `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

impl Value for (u16, u16) {
    fn parse(text: &str, _: Bounds) -> Result<(u16, u16), String> {
        text.split_once('x')
            .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
            .ok_or_else(|| "WIDTHxHEIGHT in units, such as 800x600".to_owned())
    }
}

/// The server's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host and port as given.
    pub authority: String,
    /// The host's first address; 0.0.0.0 if the host did not resolve.
    pub address: SocketAddr,
    /// The reason why the host did not resolve.
    pub problem: Option<String>,
    /// Path of the WebSocket endpoint.
    pub path: String,
}

impl Server {
    /// Whether the server is reachable from every source address in 127.0.0.0/8.
    pub fn is_loopback(&self) -> bool {
        matches!(self.address.ip(), IpAddr::V4(address) if address.is_loopback())
    }
}

impl Value for Server {
    fn parse(text: &str, _: Bounds) -> Result<Server, String> {
        let allowed = || "ws://HOST:PORT/PATH".to_owned();
        let rest = text.strip_prefix("ws://").ok_or_else(allowed)?;
        let (authority, path) = rest.find('/').map_or((rest, "/ws"), |slash| rest.split_at(slash));
        let (host, port) = host_and_port(authority, PORT).ok_or_else(allowed)?;
        let names_port = authority.ends_with(&format!(":{port}"));
        let authority = if names_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let found = addresses(&host, port, LOOKUP_TIMEOUT);
        let first = found.as_ref().ok().and_then(|found| found.first().copied());
        let address = first.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
        Ok(Server { authority, address, problem: found.err(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_and_may_be_compound() {
        for (text, ms) in
            [("500ms", 500), ("60s", 60_000), ("2m", 120_000), ("1m30s", 90_000), ("1.5s", 1_500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "60", "s", "5 s", "-1s", "1d", "1.2.3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn parses_scheme_address_and_path_of_a_server() {
        let server = Server::parse("ws://127.0.0.1:8108/ws", (0.0, 0.0)).unwrap();
        assert_eq!((server.address.port(), server.path.as_str()), (8108, "/ws"));
        assert!(server.is_loopback());
        assert_eq!(Server::parse("ws://127.9.9.9", (0.0, 0.0)).unwrap().authority, "127.9.9.9:80");
        assert_eq!(Server::parse("ws://[::1]:81/", (0.0, 0.0)).unwrap().address.port(), 81);
        let nowhere = Server::parse("ws://no-such-host.invalid/ws", (0.0, 0.0)).unwrap();
        assert!(nowhere.problem.unwrap().starts_with("the name no-such-host.invalid does not resolve: "));
        for text in
            ["127.0.0.1:8108", "wss://127.0.0.1/ws", "http://127.0.0.1", "ws://:x/ws", "ws://a:80x/ws"]
        {
            assert!(Server::parse(text, (0.0, 0.0)).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_outside_their_bounds_are_rejected() {
        let fraction = "a number from 0 to 1".to_owned();
        assert_eq!(f64::parse("1.01", (0.0, 1.0)), Err(fraction.clone()));
        assert_eq!(f64::parse("NaN", (0.0, 1.0)), Err(fraction));
        assert_eq!(usize::parse("0", (1.0, 5.0)), Err("a whole number from 1 to 5".to_owned()));
        assert_eq!(u16::parse("70000", (1.0, 90_000.0)).ok(), None);
    }
}
