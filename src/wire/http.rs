//! HTTP/1.x, server side, without I/O: decodes request heads from bytes, and appends responses to a buffer.
//!
//! The server answers `GET`, `HEAD` and `OPTIONS` and upgrades to WebSocket; it accepts no request bodies. A
//! head that a proxy in front of the server could parse differently (RFC 9112, section 11.2) is refused and its
//! connection closed, which prevents request smuggling.

mod content_coding;
mod date;
mod handshake;
mod preconditions;
mod quality;
mod request_parser;
mod response;

pub use content_coding::{ContentCoding, negotiate_coding};
pub use date::{Date, http_date};
pub use handshake::{AcceptKey, UpgradeError, upgrade, write_upgrade_response};
pub use preconditions::{Preconditions, Selection, Validators};
pub use quality::media_quality;
pub use request_parser::RequestParser;
pub use response::{Response, Status};

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{CONTROLS, utf8_percent_encode};

use crate::limits;

/// Default port of the `http` scheme.
const HTTP_PORT: u16 = 80;
/// Default port of the `https` scheme.
const HTTPS_PORT: u16 = 443;

/// Result of [`parse_request`].
#[expect(clippy::large_enum_variant, reason = "destructured by the caller, never stored")]
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is incomplete: call again with the same bytes and more.
    Incomplete,
    /// A complete request. The bytes after `consumed` belong to the next request or the first frame.
    Complete {
        /// The request.
        request: Request,
        /// Bytes of the buffer that the head takes.
        consumed: usize,
    },
}

/// A request method, as far as the server distinguishes methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`: answered like `GET`, without the body.
    Head,
    /// `OPTIONS`: answered with the methods that the resource allows.
    Options,
    /// Any other method; no resource allows it.
    Other,
}

/// A well-formed request without a body.
///
/// `Debug` prints no field that may contain a token.
#[derive(PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target's path, percent-encoded, raw UTF-8 included. For `Get` and `Head` it starts with `/`; for
    /// `Options` it may also be `*`, the server as a whole.
    pub path: String,
    /// The query: the part of the target after the first `?`, percent-encoded in the same way.
    pub query: Option<String>,
    /// Whether the connection stays open for further requests: the peer allows it, and no proxy could interpret
    /// the next bytes differently. A method unknown to the server may be followed by a body or a tunnel, and a
    /// refused upgrade by bytes of the other protocol.
    pub keep_alive: bool,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The `Accept-Encoding` header, for [`negotiate_coding`].
    pub accept_encoding: Option<String>,
    /// The preconditions and the range.
    pub preconditions: Preconditions,
    /// The `Origin` header; repeated ones are joined with commas.
    pub origin: Option<String>,
    /// The `X-Forwarded-For` header, for [`super::forwarded::x_forwarded_for`] if the peer is trusted.
    pub x_forwarded_for: Option<String>,
    /// The `Forwarded` header, for [`super::forwarded::forwarded`] if the peer is trusted.
    pub forwarded: Option<String>,
    /// The `X-Forwarded-Proto` header, if the peer is trusted.
    pub x_forwarded_proto: Option<String>,
    /// The `Cookie` header, repeated ones joined with commas. Invalid UTF-8 is replaced: most cookies are foreign.
    pub cookie: Option<String>,
    /// The `Authorization` header; repeated ones are joined with commas. Invalid UTF-8 is replaced.
    pub authorization: Option<String>,
    /// Host and port addressed by the client; empty if the request has none.
    authority: String,
    version_1_1: bool,
    handshake: Handshake,
}

/// The header values that [`upgrade`] checks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Handshake {
    upgrade: Option<String>,
    connection: Option<String>,
    key: Option<String>,
    version: Option<String>,
}

/// Why a head is refused. The caller responds with [`status`](Self::status) and [`reason`](Self::reason), and
/// closes the connection, since the start of the next request is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not HTTP, or ambiguous HTTP; holds the reason.
    Malformed(&'static str),
    /// The head is longer than [`limits::HTTP_HEAD_BYTES_MAX`].
    HeadTooLong,
    /// The head has more than [`limits::HTTP_HEADERS_MAX`] fields.
    TooManyFields,
    /// The request announces a body.
    Body,
    /// The request has a `Transfer-Encoding`.
    TransferEncoding,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
}

impl HttpError {
    /// Returns the status of the response.
    pub fn status(self) -> Status {
        match self {
            Self::Malformed(_) => Status::BadRequest,
            Self::HeadTooLong | Self::TooManyFields => Status::RequestHeaderFieldsTooLarge,
            Self::Body => Status::ContentTooLarge,
            Self::TransferEncoding => Status::NotImplemented,
            Self::Version => Status::HttpVersionNotSupported,
        }
    }

    /// Returns a one-line reason for the response body.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason,
            Self::HeadTooLong => "the request head is too long",
            Self::TooManyFields => "the request has too many header fields",
            Self::Body => "requests with a body are not accepted",
            Self::TransferEncoding => "transfer encodings are not accepted",
            Self::Version => "only HTTP/1.0 and HTTP/1.1 are supported",
        }
    }
}

/// Decodes the request head at the start of `buffer`; leading empty lines are skipped.
///
/// One call takes time linear in the head. There is no state between calls: a head that arrives in pieces is parsed again
/// from its start, up to [`limits::HTTP_HEAD_BYTES_MAX`] bytes each time. [`RequestParser`] bounds the number of parses.
///
/// # Errors
/// See [`HttpError`]; reported as soon as the bytes can no longer become a valid head.
pub fn parse_request(buffer: &[u8]) -> Result<Parsed, HttpError> {
    let capped = &buffer[..buffer.len().min(limits::HTTP_HEAD_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(capped) {
        Err(error) => Err(error_of(error, capped)),
        Ok(httparse::Status::Partial) => {
            require_line_ends(capped)?;
            if capped.len() == limits::HTTP_HEAD_BYTES_MAX {
                return Err(HttpError::HeadTooLong);
            }
            Ok(Parsed::Incomplete)
        }
        Ok(httparse::Status::Complete(consumed)) => {
            require_line_ends(&capped[..consumed])?;
            Ok(Parsed::Complete { request: Request::from_head(&head)?, consumed })
        }
    }
}

/// Refuses a bare LF as the end of a line. httparse accepts it, and refuses control bytes and bare CR itself.
fn require_line_ends(head: &[u8]) -> Result<(), HttpError> {
    let bare = |(at, &byte): (usize, &u8)| byte == b'\n' && (at == 0 || head[at - 1] != b'\r');
    if head.iter().enumerate().any(bare) {
        return Err(HttpError::Malformed("a line does not end in CR LF"));
    }
    Ok(())
}

fn error_of(error: httparse::Error, head: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => HttpError::TooManyFields,
        httparse::Error::Version => {
            // `HTTP/2` is an unsupported version; anything without that prefix is malformed.
            let line = head.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
            match line.split(|&byte| byte == b' ').nth(2) {
                Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..]) => HttpError::Version,
                _ => HttpError::Malformed("the request line is malformed"),
            }
        }
        httparse::Error::HeaderName => HttpError::Malformed("a header name is malformed"),
        httparse::Error::HeaderValue => HttpError::Malformed("a header value is malformed"),
        _ => HttpError::Malformed("the request line is malformed"),
    }
}

/// The fields that the server reads. Repeated fields are joined with a comma (RFC 9110, section 5.3). A comma
/// therefore reveals a repeated singleton field, since no valid value of such a field contains a comma.
#[derive(Default)]
struct Fields {
    host: Option<String>,
    content_length: Option<String>,
    transfer_encoding: Option<String>,
    accept: Option<String>,
    accept_encoding: Option<String>,
    preconditions: Preconditions,
    origin: Option<String>,
    x_forwarded_for: Option<String>,
    forwarded: Option<String>,
    x_forwarded_proto: Option<String>,
    cookie: Option<String>,
    authorization: Option<String>,
    handshake: Handshake,
}

impl Fields {
    fn collect(headers: &[httparse::Header]) -> Result<Self, HttpError> {
        let mut fields = Self::default();
        for header in headers {
            let Some(slot) = fields.slot(&header.name.to_ascii_lowercase()) else { continue };
            let value = String::from_utf8_lossy(header.value);
            if matches!(value, Cow::Owned(_)) && !may_be_non_utf8(header.name) {
                return Err(HttpError::Malformed("a header value is not text"));
            }
            match slot {
                Some(joined) => {
                    joined.push(',');
                    joined.push_str(&value);
                }
                None => *slot = Some(value.into_owned()),
            }
        }
        Ok(fields)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "host" => Some(&mut self.host),
            "content-length" => Some(&mut self.content_length),
            "transfer-encoding" => Some(&mut self.transfer_encoding),
            "accept" => Some(&mut self.accept),
            "accept-encoding" => Some(&mut self.accept_encoding),
            "if-match" => Some(&mut self.preconditions.if_match),
            "if-none-match" => Some(&mut self.preconditions.if_none_match),
            "if-modified-since" => Some(&mut self.preconditions.if_modified_since),
            "if-unmodified-since" => Some(&mut self.preconditions.if_unmodified_since),
            "if-range" => Some(&mut self.preconditions.if_range),
            "range" => Some(&mut self.preconditions.range),
            "origin" => Some(&mut self.origin),
            "x-forwarded-for" => Some(&mut self.x_forwarded_for),
            "forwarded" => Some(&mut self.forwarded),
            "x-forwarded-proto" => Some(&mut self.x_forwarded_proto),
            "cookie" => Some(&mut self.cookie),
            "authorization" => Some(&mut self.authorization),
            "upgrade" => Some(&mut self.handshake.upgrade),
            "connection" => Some(&mut self.handshake.connection),
            "sec-websocket-key" => Some(&mut self.handshake.key),
            "sec-websocket-version" => Some(&mut self.handshake.version),
            _ => None,
        }
    }

    /// Refuses a request that has a body, or that could be parsed as having one.
    fn require_no_body(&self) -> Result<(), HttpError> {
        match (&self.transfer_encoding, &self.content_length) {
            (Some(_), Some(_)) => Err(HttpError::Malformed("Content-Length beside Transfer-Encoding")),
            (Some(_), None) => Err(HttpError::TransferEncoding),
            (None, Some(length))
                if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Err(HttpError::Malformed("Content-Length is not one number"))
            }
            (None, Some(length)) if length.bytes().any(|byte| byte != b'0') => Err(HttpError::Body),
            (None, _) => Ok(()),
        }
    }

    fn require_host(&self, version_1_1: bool) -> Result<(), HttpError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
        match &self.host {
            Some(host) if host.bytes().all(allowed) => Ok(()),
            Some(_) => Err(HttpError::Malformed("Host is not one host name")),
            None if version_1_1 => Err(HttpError::Malformed("Host is missing")),
            None => Ok(()),
        }
    }
}

/// Returns whether the field may contain invalid UTF-8. The invalid bytes are replaced, which is safe: the
/// server compares these fields with ASCII values only.
fn may_be_non_utf8(name: &str) -> bool {
    let names = ["cookie", "authorization", "range", "accept-encoding"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"))
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, keep_alive, .. } = self;
        out.debug_struct("Request")
            .field("method", method)
            .field("path", path)
            .field("keep_alive", keep_alive)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Returns the client's port, or the scheme's default if the host has no valid one. `None` without a host.
    pub fn port(&self, is_https: bool) -> Option<u16> {
        if self.authority.is_empty() {
            return None;
        }
        let named = self.authority.rsplit_once(':').and_then(|(host, port)| {
            // The colons of an IPv6 address are inside brackets.
            let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
            let is_host = host.ends_with(']') || !host.contains(':');
            port.parse().ok().filter(|&port| port > 0 && is_port && is_host)
        });
        named.or(Some(if is_https { HTTPS_PORT } else { HTTP_PORT }))
    }

    /// Converts a parsed head, which must be complete.
    fn from_head(head: &httparse::Request) -> Result<Self, HttpError> {
        let mut fields = Fields::collect(head.headers)?;
        let version_1_1 = head.version == Some(1);
        fields.require_host(version_1_1)?;
        fields.require_no_body()?;
        let method = match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            Some("OPTIONS") => Method::Options,
            _ => Method::Other,
        };
        let target = head.path.unwrap_or_default();
        let (path, query) = split_target(method, target)?;
        // The absolute form takes precedence over `Host` (RFC 9112, section 3.2.2).
        let authority = match absolute_form(target) {
            Some(rest) => rest.split(['/', '?']).next().unwrap_or_default().to_owned(),
            None => fields.host.take().unwrap_or_default(),
        };
        let connection = fields.handshake.connection.as_deref();
        let is_persistent =
            !has_token(connection, "close") && (version_1_1 || has_token(connection, "keep-alive"));
        let keep_alive = is_persistent && method != Method::Other && fields.handshake.upgrade.is_none();
        Ok(Self {
            method,
            path,
            query,
            keep_alive,
            accept: fields.accept,
            accept_encoding: fields.accept_encoding,
            preconditions: fields.preconditions,
            origin: fields.origin,
            x_forwarded_for: fields.x_forwarded_for,
            forwarded: fields.forwarded,
            x_forwarded_proto: fields.x_forwarded_proto,
            cookie: fields.cookie,
            authorization: fields.authorization,
            authority,
            version_1_1,
            handshake: fields.handshake,
        })
    }
}

/// Splits a target in origin form (`/path?query`) or absolute form (`http://host/path?query`) into path and
/// query. The host is ignored, since the server has one site. Raw UTF-8, which programs such as curl send, is
/// equivalent to its percent-encoded form. Invalid UTF-8 was refused before.
fn split_target(method: Method, target: &str) -> Result<(String, Option<String>), HttpError> {
    if target.contains('#') {
        return Err(HttpError::Malformed("the request target is not percent-encoded"));
    }
    let local = match absolute_form(target) {
        Some("") => return Err(HttpError::Malformed("the request target has no host")),
        Some(after_scheme) => after_scheme.find(['/', '?']).map_or("/", |at| &after_scheme[at..]),
        None => target,
    };
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    // The other forms belong to CONNECT, which is refused for its method.
    let is_asterisk = method == Method::Options && target == "*";
    if !path.starts_with('/') && !is_asterisk && method != Method::Other {
        return Err(HttpError::Malformed("the request target is not a path"));
    }
    // Encodes only non-ASCII characters: a valid target contains no control characters.
    let encoded = |text: &str| utf8_percent_encode(text, CONTROLS).to_string();
    Ok((encoded(path), query.map(encoded)))
}

/// Returns the part after `http://` or `https://`; empty if it has no host.
fn absolute_form(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    known.then(|| if rest.starts_with(['/', '?']) { "" } else { rest })
}

fn has_token(list: Option<&str>, token: &str) -> bool {
    list.is_some_and(|list| list.split(',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests;
