//! The receiver's side of the PROXY protocol, versions 1 and 2: the client's address before its first byte.
//!
//! Hand-written, since the available crates without I/O have faults. `ppp` 2.3 treats a version 1 header that
//! is cut before its last port as a final error; `proxy-header` 0.1 accepts any byte in place of the first
//! space. The server needs only the source address and the length of the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// The header of a connection without a client: version 1, `UNKNOWN`. The health check sends it.
pub const UNKNOWN_HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// Longest line of version 1, including its end, in bytes: fixed by the specification.
const LINE_BYTES_MAX: usize = 107;
/// Words into which a line is split: one more than a valid line has after its signature.
const V1_WORDS_MAX: usize = 6;
const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of the rest: 12 + 1 + 1 + 2 bytes.
const V2_PREFIX_BYTES: usize = 16;
/// `PP2_TYPE_SSL`: information about the client's TLS, starting with a byte of flags.
const TYPE_TLS: u8 = 0x20;
/// `PP2_CLIENT_SSL`: the client is connected over TLS.
const CLIENT_TLS: u8 = 0x01;

/// Result of [`parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is incomplete: call again with the same bytes and more.
    Incomplete,
    /// A complete header. The bytes after `consumed` belong to the connection.
    Complete {
        /// The client's address; `None` for the proxy's own connections (`LOCAL`) and for clients without one.
        source: Option<IpAddr>,
        /// Bytes of the buffer that the header takes.
        consumed: usize,
        /// Whether the client uses TLS, as reported by the proxy.
        is_tls: bool,
    },
}

/// Why the bytes are not a header. The caller closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// The connection does not start with a signature.
    Missing,
    /// A header that violates the specification.
    Malformed,
    /// The header is longer than [`PROXY_HEADER_BYTES_MAX`].
    TooLong,
}

/// Decodes the header at the start of `buffer`, without state and from at most [`PROXY_HEADER_BYTES_MAX`] bytes.
///
/// # Errors
/// See [`ProxyError`]; reported as soon as the bytes can no longer become a header.
pub fn parse(buffer: &[u8]) -> Result<Parsed, ProxyError> {
    match (matches_prefix(buffer, V1_SIGNATURE), matches_prefix(buffer, V2_SIGNATURE)) {
        (Some(true), _) => parse_v1(buffer),
        (_, Some(true)) => parse_v2(buffer),
        (None, None) => Err(ProxyError::Missing),
        _ => Ok(Parsed::Incomplete),
    }
}

/// Returns whether the buffer starts with the signature: `Some(false)` for a prefix, `None` on a mismatch.
fn matches_prefix(buffer: &[u8], signature: &[u8]) -> Option<bool> {
    if buffer.starts_with(signature) { Some(true) } else { signature.starts_with(buffer).then_some(false) }
}

fn parse_v1(buffer: &[u8]) -> Result<Parsed, ProxyError> {
    let capped = &buffer[..buffer.len().min(LINE_BYTES_MAX)];
    let Some(end) = capped.iter().position(|&byte| byte == b'\n') else {
        let is_incomplete = capped.len() < LINE_BYTES_MAX;
        return if is_incomplete { Ok(Parsed::Incomplete) } else { Err(ProxyError::TooLong) };
    };
    let line = str::from_utf8(&capped[V1_SIGNATURE.len()..end]).ok();
    let line = line.and_then(|line| line.strip_suffix('\r')).ok_or(ProxyError::Malformed)?;
    let source = match line.splitn(V1_WORDS_MAX, ' ').collect::<ArrayVec<_, V1_WORDS_MAX>>()[..] {
        // The specification tells receivers to ignore the rest of the line.
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, source_port, destination_port]
            if is_port(source_port) && is_port(destination_port) =>
        {
            Some(addresses::<Ipv4Addr>(source, destination)?.into())
        }
        ["TCP6", source, destination, source_port, destination_port]
            if is_port(source_port) && is_port(destination_port) =>
        {
            Some(addresses::<Ipv6Addr>(source, destination)?.into())
        }
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Parsed::Complete { source, consumed: end + 1, is_tls: false })
}

/// Returns the source if both addresses are valid.
fn addresses<A: std::str::FromStr>(source: &str, destination: &str) -> Result<A, ProxyError> {
    match (source.parse(), destination.parse::<A>()) {
        (Ok(source), Ok(_)) => Ok(source),
        _ => Err(ProxyError::Malformed),
    }
}

/// Returns whether the text is a decimal port without leading zeros.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port.to_string() == text)
}

fn parse_v2(buffer: &[u8]) -> Result<Parsed, ProxyError> {
    let Some((prefix, rest)) = buffer.split_at_checked(V2_PREFIX_BYTES) else {
        return Ok(Parsed::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([prefix[14], prefix[15]]));
    let consumed = V2_PREFIX_BYTES + length;
    let is_local = match prefix[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed),
    };
    // IPv4, IPv6 and Unix addresses over stream transports; a local connection may have any family.
    let addresses_bytes = match prefix[13] {
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyError::Malformed),
    };
    if length < addresses_bytes {
        return Err(ProxyError::Malformed);
    }
    if consumed > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    if rest.len() < length {
        return Ok(Parsed::Incomplete);
    }
    let source = match addresses_bytes {
        12 => rest.first_chunk::<4>().map(|&octets| IpAddr::from(octets)),
        36 => rest.first_chunk::<16>().map(|&octets| IpAddr::from(octets)),
        _ => None,
    };
    let is_tls = !is_local && has_tls_client(&rest[addresses_bytes..length]);
    Ok(Parsed::Complete { source, consumed, is_tls })
}

/// Returns whether a type-length-value vector reports a client with TLS; false if the vectors are truncated.
fn has_tls_client(mut vectors: &[u8]) -> bool {
    while let Some(([kind, length @ ..], rest)) = vectors.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((value, rest)) = rest.split_at_checked(length) else { return false };
        if *kind == TYPE_TLS {
            return value.first().is_some_and(|client| client & CLIENT_TLS != 0);
        }
        vectors = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v1(line: &str) -> Result<Parsed, ProxyError> {
        parse(format!("{line}\r\n").as_bytes())
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, body].concat()
    }

    fn source(parsed: Result<Parsed, ProxyError>) -> Option<String> {
        match parsed {
            Ok(Parsed::Complete { source, .. }) => source.map(|source| source.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_1_carries_the_source() {
        assert_eq!(source(v1("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443")).unwrap(), "192.0.2.1");
        assert_eq!(source(v1("PROXY TCP6 2001:db8::1 ::1 0 65535")).unwrap(), "2001:db8::1");
        let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535", ["ffff"; 8].join(":"));
        assert_eq!(longest.len() + 2, LINE_BYTES_MAX);
        assert_eq!(source(v1(&longest)), None);
        assert_eq!(source(parse(UNKNOWN_HEADER)), None);
        let rest = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n";
        let source = Some([1, 2, 3, 4].into());
        assert_eq!(parse(rest), Ok(Parsed::Complete { source, consumed: 32, is_tls: false }));
    }

    #[test]
    fn version_2_carries_whether_the_client_uses_tls() {
        let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let is_tls =
            |command, vectors: &[u8]| match parse(&v2(command, 0x11, &[&addresses, vectors].concat())) {
                Ok(Parsed::Complete { is_tls, .. }) => is_tls,
                other => panic!("{other:?}"),
            };
        assert!(is_tls(0x21, &[0x20, 0, 5, 1, 0, 0, 0, 0]));
        assert!(is_tls(0x21, &[1, 0, 2, b'h', b'2', 0x20, 0, 5, 7, 0, 0, 0, 0]), "after another vector");
        for vectors in
            [&[][..], &[0x20], &[0x20, 0, 0], &[0x20, 0, 5, 6, 0, 0, 0, 0], &[0x20, 0, 9, 1], &[4, 0, 1, 1]]
        {
            assert!(!is_tls(0x21, vectors), "{vectors:?}");
        }
        assert!(!is_tls(0x20, &[0x20, 0, 5, 1, 0, 0, 0, 0]), "a LOCAL connection has no client");
    }

    #[test]
    fn version_1_is_parsed_strictly() {
        for line in [
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324",
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443 1",
            "PROXY TCP4  192.0.2.1 10.0.0.1 56324 443",
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 0443",
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 +443",
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 65536",
            "PROXY TCP4 192.0.2.01 10.0.0.1 56324 443",
            "PROXY TCP4 2001:db8::1 ::1 1 2",
            "PROXY TCP6 192.0.2.1 10.0.0.1 1 2",
            "PROXY UDP4 192.0.2.1 10.0.0.1 1 2",
            "PROXY UNKNOWNS",
            "PROXY ",
            "PROXY \u{e9}",
        ] {
            assert_eq!(v1(line), Err(ProxyError::Malformed), "{line}");
        }
        assert_eq!(parse(b"PROXY UNKNOWN\n"), Err(ProxyError::Malformed));
        assert_eq!(parse(&[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat()), Err(ProxyError::TooLong));
    }

    #[test]
    fn version_2_carries_the_source_and_skips_the_vectors() {
        let mut v4 = vec![192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        assert_eq!(source(parse(&v2(0x21, 0x11, &v4))).unwrap(), "192.0.2.1");
        v4.extend([0x04, 0, 2, 7, 7, 0xee, 0, 9]);
        let header = v2(0x21, 0x11, &v4);
        let parsed = parse(&[&header, &b"GET"[..]].concat());
        let source_v4 = Some([192, 0, 2, 1].into());
        assert_eq!(parsed, Ok(Parsed::Complete { source: source_v4, consumed: header.len(), is_tls: false }));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        assert_eq!(source(parse(&v2(0x21, 0x21, &v6))).unwrap(), "2001::");
        for (command, family, length) in
            [(0x20, 0x00, 0), (0x20, 0x11, 12), (0x20, 0xff, 3), (0x21, 0, 5), (0x21, 0x31, 216)]
        {
            assert_eq!(source(parse(&v2(command, family, &vec![1; length]))), None, "{command:x} {family:x}");
        }
    }

    #[test]
    fn version_2_is_parsed_strictly() {
        let malformed = Err(ProxyError::Malformed);
        for (command, family, length) in [
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 12),
            (0x21, 0x12, 12),
            (0x21, 0x41, 99),
        ] {
            assert_eq!(parse(&v2(command, family, &vec![1; length])), malformed, "{command:x} {family:x}");
        }
        let most = PROXY_HEADER_BYTES_MAX - V2_PREFIX_BYTES;
        assert!(parse(&v2(0x21, 0x11, &vec![0; most])).is_ok());
        // Detected in the first 16 bytes, before the rest arrives.
        assert_eq!(parse(&v2(0x21, 0x11, &vec![0; most + 1])[..16]), Err(ProxyError::TooLong));
    }

    #[test]
    fn a_missing_header_is_detected_at_the_first_wrong_byte() {
        for bytes in [&b"G"[..], b"PROXX", b"\r\n\r\n\0\r\nQUIX", b"\x16", b"p"] {
            assert_eq!(parse(bytes), Err(ProxyError::Missing), "{bytes:?}");
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(Parsed::Incomplete));
        }
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let tail = prop::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|(octets, port)| {
                format!("PROXY TCP4 {} 10.0.0.1 {port} 443\r\n", Ipv4Addr::from(octets)).into_bytes()
            }),
            any::<[u8; 16]>().prop_map(|octets| {
                format!("PROXY TCP6 {} ::1 1 443\r\n", Ipv6Addr::from(octets)).into_bytes()
            }),
            "[ -~]{0,80}".prop_map(|text| format!("PROXY UNKNOWN {text}\r\n").into_bytes()),
            (any::<[u8; 36]>(), tail.clone()).prop_map(|(body, tail)| v2(
                0x21,
                0x21,
                &[&body[..], &tail].concat()
            )),
            (any::<u8>(), any::<u8>(), tail.clone()).prop_map(|(c, f, tail)| v2(c, f, &tail)),
            tail,
        ]
    }

    proptest! {
        /// A split header gives the same result as a whole one, and later bytes don't change it.
        #[test]
        fn the_result_does_not_depend_on_how_the_bytes_are_split(header in headers(), after in any::<[u8; 5]>()) {
            let whole = parse(&[&header[..], &after].concat());
            let mut first = Ok(Parsed::Incomplete);
            let bytes = [&header[..], &after].concat();
            for cut in 0..=bytes.len() {
                let parsed = parse(&bytes[..cut]);
                if first == Ok(Parsed::Incomplete) {
                    first = parsed;
                } else {
                    prop_assert_eq!(parsed, first, "decided at less than {} bytes", cut);
                }
            }
            prop_assert_eq!(first, whole);
        }

        #[test]
        fn full_buffers_are_decided_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), PROXY_HEADER_BYTES_MAX..PROXY_HEADER_BYTES_MAX + 9),
            signature in prop::sample::select(vec![&b""[..] as &[u8], V1_SIGNATURE, V2_SIGNATURE]),
        ) {
            let mut bytes = bytes;
            bytes[..signature.len()].copy_from_slice(signature);
            prop_assert_ne!(parse(&bytes), Ok(Parsed::Incomplete));
        }
    }
}
