//! The web pages that may open a game connection: checks the `Origin` of a handshake against the operator's list.
//!
//! Browsers send the page's origin in every WebSocket handshake and do not let the page change it. Other
//! programs may send any value, or none. The list therefore keeps foreign *pages* from using a visitor's
//! browser to play; it is not authentication.
//!
//! Matching: scheme, host and port must all be equal. Schemes and hosts are case-insensitive, and the default
//! port of a scheme equals no port. `https://*.example.com` matches every subdomain at any depth
//! (`a.example.com`, `a.b.example.com`). It matches neither `example.com` itself nor names that only share a
//! suffix (`evilexample.com`) or a prefix (`example.com.evil`).
//!
//! `null` is the origin of sandboxed frames, and of local files in most browsers. `file://` is the origin of
//! local files in Electron and older web views. Both match only if listed, and are case-sensitive.

use std::fmt;

/// The opaque origin, as browsers serialize it.
const NULL: &str = "null";

/// The origin of a local file in Electron and older web views.
const FILE: &str = "file://";

/// The origins that the operator allows. `Display` writes an equivalent setting value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `*`: any origin.
    #[default]
    All,
    /// Origins that match one of these patterns.
    Listed(Vec<Pattern>),
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `null`.
    Null,
    /// `file://`.
    File,
    /// Exactly this origin.
    Exactly(Origin),
    /// Every subdomain of this origin's host.
    SubdomainsOf(Origin),
}

/// A normalized scheme, host and port: `https://Game.Example:443` is `https://game.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// `None` is the default port of the scheme.
    port: Option<u16>,
}

/// Why a handshake's origin is refused. The caller answers 403 with [`reason`](Self::reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The required `Origin` header is missing.
    Missing,
    /// The request has several `Origin` headers.
    Repeated,
    /// The origin is not on the list.
    NotAllowed,
}

impl Refusal {
    /// One line for the response body.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "an Origin header is required here",
            Self::Repeated => "more than one Origin header",
            Self::NotAllowed => "pages of this origin may not play here",
        }
    }
}

impl AllowedOrigins {
    /// Parses `*`, or patterns separated by commas. `None` if a part is neither, such as a host with a path.
    pub fn parse(list: &str) -> Option<Self> {
        if list.trim_ascii() == "*" {
            return Some(Self::All);
        }
        list.split(',').map(|item| Pattern::parse(item.trim_ascii())).collect::<Option<_>>().map(Self::Listed)
    }

    /// Checks the `Origin` header of a handshake. Several headers are passed joined by commas.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(&self, header: Option<&str>, is_required: bool) -> Result<(), Refusal> {
        let Some(header) = header else {
            return if is_required { Err(Refusal::Missing) } else { Ok(()) };
        };
        if header.contains(',') {
            return Err(Refusal::Repeated);
        }
        let is_allowed = match self {
            Self::All => true,
            Self::Listed(patterns) if header == NULL => patterns.contains(&Pattern::Null),
            Self::Listed(patterns) if header == FILE => patterns.contains(&Pattern::File),
            Self::Listed(patterns) => Origin::parse(header)
                .is_some_and(|origin| patterns.iter().any(|pattern| pattern.matches(&origin))),
        };
        if is_allowed { Ok(()) } else { Err(Refusal::NotAllowed) }
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text {
            NULL => return Some(Self::Null),
            FILE => return Some(Self::File),
            _ => {}
        }
        match text.split_once("://*.") {
            Some((scheme, parent)) => {
                let origin = Origin::parse(&format!("{scheme}://{parent}"))?;
                // An IP address has no subdomains.
                (!origin.host.starts_with('[')).then_some(Self::SubdomainsOf(origin))
            }
            None => Origin::parse(text).map(Self::Exactly),
        }
    }

    fn matches(&self, origin: &Origin) -> bool {
        match self {
            Self::Null | Self::File => false,
            Self::Exactly(allowed) => origin == allowed,
            Self::SubdomainsOf(parent) => {
                let below = origin.host.strip_suffix(&parent.host).and_then(|rest| rest.strip_suffix('.'));
                (&origin.scheme, origin.port) == (&parent.scheme, parent.port)
                    && below.is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
            }
        }
    }
}

impl Origin {
    /// Parses `scheme://host` or `scheme://host:port` and nothing else: no user, no path.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_rest)
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        // The colons of an IPv6 address are inside brackets.
        let port_at = authority.rfind(':').filter(|&at| !authority[at..].contains(']'));
        let (host, port) = match port_at {
            Some(at) => (&authority[..at], Some(parse_port(&authority[at + 1..])?)),
            None => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        is_host(&host).then_some(Self { scheme, host, port: port.filter(|_| port != default_port) })
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let port = digits.parse().ok()?;
    // `parse` would accept `+80`.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)
}

/// Whether this is an IP address or a domain name (in ASCII form, as browsers send it).
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !host.is_empty() && host.bytes().all(allowed)
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("*"),
            Self::Listed(patterns) => {
                let patterns: Vec<_> = patterns.iter().map(Pattern::to_string).collect();
                out.write_str(&patterns.join(","))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wildcard, Origin { scheme, host, port }) = match self {
            Self::Null => return out.write_str(NULL),
            Self::File => return out.write_str(FILE),
            Self::Exactly(origin) => ("", origin),
            Self::SubdomainsOf(origin) => ("*.", origin),
        };
        write!(out, "{scheme}://{wildcard}{host}")?;
        port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

#[cfg(test)]
mod tests;
