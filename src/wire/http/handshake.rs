//! The WebSocket handshake, server side: RFC 6455, section 4.2.

use tungstenite::handshake::derive_accept_key;

use serde::{Deserialize, Serialize};

use super::{Date, Method, Request, Status, has_token};

/// The value of `Sec-WebSocket-Accept` in the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptKey(String);

/// Why a request is not upgraded to WebSocket. The caller responds with [`status`](Self::status),
/// [`headers`](Self::headers) and [`reason`](Self::reason); the connection can stay open for HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// The method is not `GET`.
    Method,
    /// `Upgrade: websocket` is missing: a plain request.
    NotRequested,
    /// HTTP/1.0, which has no upgrade.
    HttpVersion,
    /// `Upgrade` without `Connection: upgrade`, as behind a proxy that is not configured for WebSocket.
    Connection,
    /// `Sec-WebSocket-Version` is not 13.
    Version,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64.
    Key,
}

impl UpgradeError {
    /// Returns the status of the response.
    pub fn status(self) -> Status {
        match self {
            Self::Method => Status::MethodNotAllowed,
            Self::NotRequested | Self::Version => Status::UpgradeRequired,
            Self::HttpVersion | Self::Connection | Self::Key => Status::BadRequest,
        }
    }

    /// Returns the headers required by the status.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET, OPTIONS")],
            Self::NotRequested | Self::Version => {
                &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            }
            Self::HttpVersion | Self::Connection | Self::Key => &[],
        }
    }

    /// Returns a one-line reason for the response body.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket handshake is a GET request",
            Self::NotRequested => "this is a WebSocket endpoint",
            Self::HttpVersion => "a WebSocket handshake needs HTTP/1.1",
            Self::Connection => "the Connection header lacks the upgrade token",
            Self::Version => "only WebSocket version 13 is supported",
            Self::Key => "Sec-WebSocket-Key is not 16 bytes in base64",
        }
    }
}

/// Validates a WebSocket handshake (RFC 6455, section 4.2.1). Omission declines extensions and subprotocols.
///
/// # Errors
/// See [`UpgradeError`].
pub fn upgrade(request: &Request) -> Result<AcceptKey, UpgradeError> {
    let handshake = &request.handshake;
    if request.method != Method::Get {
        return Err(UpgradeError::Method);
    }
    if !has_token(handshake.upgrade.as_deref(), "websocket") {
        return Err(UpgradeError::NotRequested);
    }
    if !request.version_1_1 {
        return Err(UpgradeError::HttpVersion);
    }
    if !has_token(handshake.connection.as_deref(), "upgrade") {
        return Err(UpgradeError::Connection);
    }
    if handshake.version.as_deref() != Some("13") {
        return Err(UpgradeError::Version);
    }
    match handshake.key.as_deref() {
        Some(key) if is_base64_of_16_bytes(key) => Ok(AcceptKey(derive_accept_key(key.as_bytes()))),
        _ => Err(UpgradeError::Key),
    }
}

fn is_base64_of_16_bytes(key: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(digit))
}

/// Appends the response that completes the handshake, with an optional cookie. Only WebSocket frames follow it.
pub fn write_upgrade_response(out: &mut Vec<u8>, key: &AcceptKey, set_cookie: Option<&str>, date: &Date) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nDate: ");
    out.extend_from_slice(date.text());
    out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.extend_from_slice(key.0.as_bytes());
    if let Some(cookie) = set_cookie {
        out.extend_from_slice(b"\r\nSet-Cookie: ");
        out.extend_from_slice(cookie.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::{super::tests::request, *};

    const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: game.example:8108\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://game.example\r\n\r\n";

    #[test]
    fn upgrades_the_sample_of_the_rfc() {
        let key = upgrade(&request(HANDSHAKE)).unwrap();
        let mut out = Vec::new();
        write_upgrade_response(&mut out, &key, Some("a=b; HttpOnly"), &Date::from_unix_s(0));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 101 Switching Protocols\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        );
        let end =
            "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b; HttpOnly\r\n\r\n";
        assert!(text.ends_with(end));
    }
}
