//! The types of settings: how a value is parsed and validated, and how it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::address_range::AddressRange;
use super::decimal::Decimal;
use super::settings::Allowed;
use crate::admission::origins::AllowedOrigins;
use crate::auth::{AUDIENCE_BYTES_MAX, Auth, COOKIE_BYTES_MAX};
use crate::cluster::link::Address;
use crate::limits::{
    CLUSTER_SECRET_BYTES, COOKIE_PATH_BYTES_MAX, NODE_NAME_BYTES_MAX, SOCKET_PATH_BYTES_MAX,
};
use crate::ops::logging::Format;
use crate::ops::secret::Secret;

/// A type of a setting.
pub(super) trait Value: Sized {
    /// Parses a text without surrounding spaces; `None` if it is not allowed.
    fn parse(allowed: Allowed, text: &str) -> Option<Self>;

    /// Returns the value as an operator would write it, secrets included; empty if it is unset.
    fn text(&self) -> String;
}

/// Implements [`Value`] for types that display as an operator would write them.
macro_rules! values {
    ($($type:ty: $parse:expr;)*) => {$(
        impl Value for $type {
            fn parse(allowed: Allowed, text: &str) -> Option<Self> {
                $parse(allowed, text)
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

values! {
    u16: whole;
    u32: whole;
    u64: whole;
    usize: whole;
    bool: switch;
    Decimal: decimal;
    IpAddr: |_, text| address(text);
    AddressRange: |_, text| address_range(text);
    AllowedOrigins: |_, text| AllowedOrigins::parse(list(text));
    Auth: |_, text: &str| Auth::named(&text.to_ascii_lowercase());
    Format: |_, text: &str| Format::named(&text.to_ascii_lowercase());
    String: word;
}

impl Value for LevelFilter {
    fn parse(_: Allowed, text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("warning") { Some(Self::Warn) } else { text.parse().ok() }
    }

    fn text(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl Value for Vec<IpNet> {
    fn parse(_: Allowed, text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self::new()) } else { list(text).split(',').map(network).collect() }
    }

    fn text(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Value for PathBuf {
    /// Refuses control characters, so that a printed configuration has one line per setting.
    fn parse(allowed: Allowed, text: &str) -> Option<Self> {
        let path = Self::from(text);
        let fits = match allowed {
            Allowed::Directory => path.is_dir(),
            Allowed::ExistingFile => path.is_file(),
            Allowed::Socket => path.is_absolute() && text.len() <= SOCKET_PATH_BYTES_MAX,
            _ => !path.is_dir(),
        };
        (fits && !text.contains(char::is_control)).then_some(path)
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Secret {
    fn parse(allowed: Allowed, text: &str) -> Option<Self> {
        let fits = match allowed {
            Allowed::RedisUrl => Address::parse(text).is_some(),
            _ => {
                CLUSTER_SECRET_BYTES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
            }
        };
        fits.then(|| Self::new(text))
    }

    fn text(&self) -> String {
        self.reveal().to_owned()
    }
}

/// An empty text is unset, so that an empty flag overrides the environment.
impl<T: Value> Value for Option<T> {
    fn parse(allowed: Allowed, text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(allowed, text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, Value::text)
    }
}

fn whole<T: TryFrom<u64>>(allowed: Allowed, text: &str) -> Option<T> {
    let Allowed::Whole { min, max } = allowed else { return None };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number))?;
    T::try_from(number).ok()
}

fn decimal(allowed: Allowed, text: &str) -> Option<Decimal> {
    let Allowed::Decimal { min, max } = allowed else { return None };
    let within = 1_000 * min..=1_000 * max;
    Decimal::parse(text).filter(|number| within.contains(&u64::from(number.thousandths())))
}

fn switch(_: Allowed, text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Parses a name, an audience, or the name or path of a cookie.
fn word(allowed: Allowed, text: &str) -> Option<String> {
    let is_of = |bytes_max: usize, is_fit: fn(u8) -> bool| {
        !text.is_empty() && text.len() <= bytes_max && text.bytes().all(is_fit)
    };
    let fits = match allowed {
        Allowed::CookiePath => {
            text.starts_with('/')
                && is_of(COOKIE_PATH_BYTES_MAX, |byte| byte.is_ascii_graphic() && byte != b';')
        }
        Allowed::CookieName => {
            is_of(COOKIE_BYTES_MAX, |byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
        Allowed::Audience => is_of(AUDIENCE_BYTES_MAX, |byte| byte.is_ascii_graphic() && byte != b'@'),
        _ => is_of(NODE_NAME_BYTES_MAX, |byte| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte)),
    };
    fits.then(|| text.to_owned())
}

/// Parses an address; `localhost` is 127.0.0.1, and an IPv6 address may be in brackets, as before a port.
fn address(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { ip(text) }
}

fn ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok(),
    }
}

/// Parses an address and a port, or the first and the last of several ports.
fn address_range(text: &str) -> Option<AddressRange> {
    let port_at = text.rfind(':')?;
    let Some(dash_at) = text[port_at..].find('-').map(|at| port_at + at) else {
        return socket_address(text).map(AddressRange::from);
    };
    // As for a single port, without signs.
    let last = text[dash_at + 1..].parse().ok().filter(|_| text.as_bytes()[dash_at + 1] != b'+')?;
    AddressRange::new(socket_address(&text[..dash_at])?, last)
}

/// Parses an address and a port; `localhost` is 127.0.0.1.
fn socket_address(text: &str) -> Option<SocketAddr> {
    match text.rsplit_once(':') {
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
            format!("{}:{port}", Ipv4Addr::LOCALHOST).parse().ok()
        }
        _ => text.parse().ok(),
    }
}

/// Trims commas and spaces at the end of a list.
fn list(text: &str) -> &str {
    text.trim_end_matches(|character: char| character == ',' || character.is_whitespace())
}

/// Parses a network or an address, ignoring bits beyond the prefix. IPv4-mapped IPv6 would match no peer.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let address = ip(host)?;
    let network = match prefix {
        Some(prefix) => format!("{address}/{prefix}").parse().ok()?,
        None => IpNet::from(address),
    };
    (network.addr().to_canonical() == network.addr()).then_some(network.trunc())
}
