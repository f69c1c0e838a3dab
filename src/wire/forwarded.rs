//! Client addresses reported by proxies: `X-Forwarded-For`, and `Forwarded` of RFC 7239.
//!
//! Each proxy appends the address of its peer, so the field ends with the hop nearest to the server; both
//! parsers return that hop first. The caller decides which proxies to trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One hop on the path from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The address of the peer.
    Address(IpAddr),
    /// A peer that is not named: `unknown`, an obfuscated identifier, or an element without `for`.
    Hidden,
    /// Neither an address nor a valid placeholder.
    Malformed,
}

/// Parses an `X-Forwarded-For` value, nearest hop first. Repeated headers are joined with commas by the caller.
pub fn x_forwarded_for(value: &str) -> impl Iterator<Item = Hop> {
    value.rsplit(',').map(|item| {
        let item = item.trim_matches([' ', '\t']);
        // Most proxies write IPv6 addresses without brackets here, and then without a port.
        item.parse::<Ipv6Addr>().map_or_else(|_| node(item), |address| Hop::Address(address.into()))
    })
}

/// Parses a `Forwarded` value, nearest hop first. One that violates the grammar yields a single malformed hop.
pub fn forwarded(value: &str) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut rest = value;
    loop {
        match element(rest, &mut |_, _| ()) {
            Some((hop, after)) => {
                hops.extend(hop);
                match after.strip_prefix(',') {
                    Some(next) => rest = next,
                    None => break,
                }
            }
            None => return vec![Hop::Malformed],
        }
    }
    hops.reverse();
    hops
}

/// Returns whether any element of an `X-Forwarded-Proto` value is `https` or `wss`.
pub fn proto_is_https(value: &str) -> bool {
    value.split(',').any(|proto| is_https(proto.trim_matches([' ', '\t'])))
}

/// Returns whether any `proto` of a valid `Forwarded` value is `https` or `wss`.
pub fn forwarded_is_https(value: &str) -> bool {
    let (mut rest, mut found) = (value, false);
    loop {
        let mut on_parameter =
            |name: &str, value: &str| found |= name.eq_ignore_ascii_case("proto") && is_https(value);
        match element(rest, &mut on_parameter) {
            Some((_, after)) => match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return found,
            },
            None => return false,
        }
    }
}

fn is_https(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// Parses one element up to the next comma or the end, and calls `on_parameter` for each parameter. An empty
/// element, which lists may contain, yields no hop.
fn element<'a>(
    mut rest: &'a str,
    on_parameter: &mut dyn FnMut(&str, &str),
) -> Option<(Option<Hop>, &'a str)> {
    let (mut hop, mut is_empty) = (None, true);
    loop {
        rest = skip_blanks(rest);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = token(rest)?;
            let (value, after) = value(after.strip_prefix('=')?)?;
            is_empty = false;
            on_parameter(name, &value);
            if name.eq_ignore_ascii_case("for") {
                // A parameter must not occur twice.
                if hop.replace(node(&value)).is_some() {
                    return None;
                }
            }
            rest = skip_blanks(after);
        }
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None if rest.is_empty() || rest.starts_with(',') => {
                return Some(((!is_empty).then(|| hop.unwrap_or(Hop::Hidden)), rest));
            }
            None => return None,
        }
    }
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Splits a token (RFC 9110) from the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_in = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_in(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Splits a token or an unescaped quoted string from the rest.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// Parses `192.0.2.1`, `[2001:db8::1]`, `unknown` or `_hidden`, each with an optional port.
fn node(text: &str) -> Hop {
    if let Some(bracketed) = text.strip_prefix('[') {
        let Some((address, port)) = bracketed.split_once(']') else { return Hop::Malformed };
        return match (address.parse::<Ipv6Addr>(), port.strip_prefix(':')) {
            (Ok(address), None) if port.is_empty() => Hop::Address(address.into()),
            (Ok(address), Some(port)) if is_port(port) => Hop::Address(address.into()),
            _ => Hop::Malformed,
        };
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Hop::Malformed;
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Hop::Address(address.into());
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) { Hop::Hidden } else { Hop::Malformed }
}

fn is_port(text: &str) -> bool {
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_obfuscated(text)
}

fn is_obfuscated(text: &str) -> bool {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_in))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(hops: impl IntoIterator<Item = Hop>) -> Vec<String> {
        let show = |hop| match hop {
            Hop::Address(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        hops.into_iter().map(show).collect()
    }

    #[test]
    fn x_forwarded_for_is_parsed_from_its_end() {
        for (value, expected) in [
            ("192.0.2.1", &["192.0.2.1"][..]),
            ("192.0.2.1, 198.51.100.2,203.0.113.3", &["203.0.113.3", "198.51.100.2", "192.0.2.1"]),
            (
                "2001:db8::1,\t[2001:db8::2] , [2001:db8::3]:443",
                &["2001:db8::3", "2001:db8::2", "2001:db8::1"],
            ),
            ("::ffff:192.0.2.1", &["::ffff:192.0.2.1"]),
            ("192.0.2.1:5050", &["192.0.2.1"]),
            ("evil\", 192.0.2.1", &["192.0.2.1", "Malformed"]),
            ("unknown, _id", &["Hidden", "Hidden"]),
            ("", &["Malformed"]),
            ("192.0.2.1,", &["Malformed", "192.0.2.1"]),
            ("192.0.2.256", &["Malformed"]),
            ("1.2.3.4.5, 010.0.0.1, 1.2.3.4:x", &["Malformed", "Malformed", "Malformed"]),
        ] {
            assert_eq!(show(x_forwarded_for(value)), expected, "{value}");
        }
    }

    #[test]
    fn both_fields_report_the_scheme() {
        for (value, expected) in [
            ("https", true),
            ("HTTPS", true),
            ("wss", true),
            ("http, https", true),
            ("http", false),
            ("", false),
            ("httpsx", false),
        ] {
            assert_eq!(proto_is_https(value), expected, "{value}");
        }
        for (value, expected) in [
            ("for=192.0.2.1;proto=https", true),
            ("Proto=\"https\";for=_x, for=192.0.2.1;proto=http", true),
            ("for=192.0.2.1;proto=http", false),
            ("for=\"proto=https\"", false),
            ("proto=https;for=\"", false),
            ("", false),
        ] {
            assert_eq!(forwarded_is_https(value), expected, "{value}");
        }
    }

    #[test]
    fn forwarded_is_parsed_by_the_grammar_of_the_rfc() {
        for (value, expected) in [
            ("for=192.0.2.43", &["192.0.2.43"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", &["198.51.100.17", "192.0.2.43"]),
            ("for=_hidden, for=\"_SEVKISEK:_port\", FOR=unknown", &["Hidden", "Hidden", "Hidden"]),
            ("by=203.0.113.43; for=\"192.0.2.1:80\" ;host=\"a,b;c\\\"for=1.1.1.1\"", &["192.0.2.1"]),
            ("proto=https", &["Hidden"]),
            ("for=192.0.2.1,, ;, for=192.0.2.2", &["192.0.2.2", "192.0.2.1"]),
            ("for=\"1\\92.0.2.1\"", &["192.0.2.1"]),
            ("", &[]),
        ] {
            assert_eq!(show(forwarded(value)), expected, "{value}");
        }
    }

    #[test]
    fn an_invalid_forwarded_value_yields_one_malformed_hop() {
        for value in [
            "for=\"192.0.2.1", "for=\", for=192.0.2.1", "for=192.0.2.1 for=192.0.2.2",
            "for=192.0.2.1;for=192.0.2.2", "for = 192.0.2.1", "for", "for=", "=192.0.2.1",
            "for=[2001:db8::1]", "for=\"192.0.2.1\"x", "for=\"a\\",
        ] {
            assert_eq!(forwarded(value), [Hop::Malformed], "{value}");
        }
        for value in
            ["for=\"2001:db8::1\"", "for=\"[2001:db8::1\"", "for=example.org", "for=\"[192.0.2.1]\"", "for=_"]
        {
            assert_eq!(forwarded(value), [Hop::Malformed], "{value}");
        }
    }

    proptest! {
        #[test]
        fn parsing_does_not_panic(value in "(?s).{0,60}", pieces in prop::collection::vec(
            prop::sample::select(vec!["for=", "\"", "\\", ",", ";", "[", "]", "::1", "192.0.2.1", ":80", "_a", " "]), 0..20,
        )) {
            for value in [value, pieces.concat()] {
                let _ = forwarded(&value);
                prop_assert!(x_forwarded_for(&value).count() >= 1);
            }
        }

        #[test]
        fn an_address_is_parsed_after_any_prefix(
            bits in any::<u128>(), is_v6 in any::<bool>(), before in "[ -~]{0,40}",
        ) {
            let address = if is_v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) };
            let value = format!("{before}, {address}");
            prop_assert_eq!(x_forwarded_for(&value).next(), Some(Hop::Address(address)));
            let quoted = if is_v6 { format!("\"[{address}]:1\"") } else { address.to_string() };
            let hops = forwarded(&format!("for=_x;host={:?}, for={quoted}", "a,b"));
            prop_assert_eq!(hops, [Hop::Address(address), Hop::Hidden]);
        }
    }
}
