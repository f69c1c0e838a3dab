//! Which web pages may open a game connection: an operator's list, and an `Origin` header checked by it.
//!
//! Browsers name the page's origin in every WebSocket handshake and don't let the page change it; other programs may
//! write what they like, or nothing. So the list keeps other people's *pages* from playing with a visitor's browser; it
//! is no authentication.
//!
//! What matches: scheme, host and port must all be equal, schemes and hosts whatever their case, a scheme's default port
//! the same as none. `https://*.example.com` stands for every subdomain at any depth (`a.example.com`,
//! `a.b.example.com`), and neither for `example.com` itself nor for what merely ends alike (`evilexample.com`) or
//! begins alike (`example.com.evil`). `null`, the origin of sandboxed frames and of local files in most browsers, and
//! `file://`, that of local files in Electron and older web views, match only where they are listed, letter by letter.

use std::fmt;

/// The origin of what has none, as browsers write it.
const NULL: &str = "null";

/// The origin of a local file in Electron and in older web views.
const FILE: &str = "file://";

/// The origins an operator allows; displayed, the setting's value that means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `*`: any origin.
    #[default]
    All,
    /// Those that match one of these.
    Listed(Vec<Pattern>),
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `null`.
    Null,
    /// `file://`.
    File,
    /// This origin and no other.
    Exactly(Origin),
    /// Every subdomain of this origin's host.
    SubdomainsOf(Origin),
}

/// A scheme, a host and a port, normalised: `https://Game.Example:443` is `https://game.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// `None` is the scheme's default.
    port: Option<u16>,
}

/// Why a handshake's origin is refused. The caller answers 403 with [`reason`](Self::reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no `Origin` header, and one is required.
    Missing,
    /// There are several `Origin` headers.
    Repeated,
    /// It is not on the list.
    NotAllowed,
}

impl Refusal {
    /// One line for the response body.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "an Origin header is required here",
            Self::Repeated => "a request has one Origin header at most",
            Self::NotAllowed => "pages of this origin may not play here",
        }
    }
}

impl AllowedOrigins {
    /// Reads a list as an operator writes it: `*`, or patterns with commas between them. `None` if any part of it is
    /// neither, a path behind a host for example.
    pub fn parse(list: &str) -> Option<Self> {
        if list.trim_ascii() == "*" {
            return Some(Self::All);
        }
        list.split(',').map(|item| Pattern::parse(item.trim_ascii())).collect::<Option<_>>().map(Self::Listed)
    }

    /// Judges a handshake by its `Origin` header, several of which are given joined by commas.
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
                // An address has no subdomains.
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
    /// Reads `scheme://host` or `scheme://host:port`, and nothing more: no user, no path.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_rest)
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        // The colons of an IPv6 address stand in brackets.
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
    // `+80` would parse as well.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)
}

/// A domain name (internationalised ones in their ASCII form, as browsers send them) or an address.
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
