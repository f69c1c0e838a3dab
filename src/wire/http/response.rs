//! Encoding of HTTP responses.

use super::Date;

/// The statuses of the server's responses, named as in RFC 9110.
#[expect(missing_docs, reason = "the RFC documents each status under its name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    SwitchingProtocols = 101,
    Ok = 200,
    NoContent = 204,
    PartialContent = 206,
    MovedPermanently = 301,
    NotModified = 304,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    PreconditionFailed = 412,
    ContentTooLarge = 413,
    RangeNotSatisfiable = 416,
    UpgradeRequired = 426,
    TooManyRequests = 429,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    HttpVersionNotSupported = 505,
}

impl Status {
    /// Returns the numeric status code.
    pub fn code(self) -> u16 {
        self as u16
    }

    fn has_body(self) -> bool {
        !matches!(self, Self::NoContent | Self::NotModified)
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::SwitchingProtocols => "Switching Protocols",
            Self::Ok => "OK",
            Self::NoContent => "No Content",
            Self::PartialContent => "Partial Content",
            Self::MovedPermanently => "Moved Permanently",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::PreconditionFailed => "Precondition Failed",
            Self::ContentTooLarge => "Content Too Large",
            Self::RangeNotSatisfiable => "Range Not Satisfiable",
            Self::UpgradeRequired => "Upgrade Required",
            Self::TooManyRequests => "Too Many Requests",
            Self::RequestHeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::HttpVersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

/// A response, except the one to a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// The `Content-Type`.
    pub content_type: &'a str,
    /// Headers beside date, type, length, connection and server. `Upgrade` among them is also named in `Connection`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// Whether the request was `HEAD`: the body counts for `Content-Length` but is not sent.
    pub head_only: bool,
    /// Whether the connection stays open for another request.
    pub keep_alive: bool,
}

impl<'a> Response<'a> {
    /// Creates a response with a line of plain text, after which the connection closes.
    pub fn text(status: Status, line: &'a str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: &[],
            body: line.as_bytes(),
            head_only: false,
            keep_alive: false,
        }
    }

    /// Appends head and body. `HEAD` requests and the statuses 204 and 304 get no body.
    pub fn write(&self, out: &mut Vec<u8>, date: &Date) {
        self.write_head(out, date);
        if !self.head_only && self.status.has_body() {
            out.extend_from_slice(self.body);
        }
    }

    /// Appends the head, including the empty line. The caller sends the body without copying it.
    pub fn write_head(&self, out: &mut Vec<u8>, date: &Date) {
        let line = format!("HTTP/1.1 {} {}\r\n", self.status.code(), self.status.phrase());
        out.extend_from_slice(line.as_bytes());
        write_header(out, "Server", "pixi-game-server");
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date.text());
        out.extend_from_slice(b"\r\n");
        if self.status.has_body() {
            write_header(out, "Content-Type", self.content_type);
            write_header(out, "Content-Length", &self.body.len().to_string());
        }
        let upgradable = self.headers.iter().any(|&(name, _)| name == "Upgrade");
        let connection = match (self.keep_alive, upgradable) {
            (true, false) => "keep-alive",
            (false, false) => "close",
            (true, true) => "keep-alive, Upgrade",
            (false, true) => "close, Upgrade",
        };
        write_header(out, "Connection", connection);
        for (name, value) in self.headers {
            write_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert!(!value.contains(['\r', '\n']), "a header value must not contain line breaks");
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{tests::request, upgrade},
        *,
    };

    fn response(response: &Response) -> String {
        let mut out = Vec::new();
        response.write(&mut out, &Date::from_unix_s(784_111_777));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_responses() {
        let found = Response {
            status: Status::Ok,
            content_type: "text/html",
            headers: &[("ETag", "\"1\"")],
            body: b"<p>",
            head_only: false,
            keep_alive: true,
        };
        let head = "HTTP/1.1 200 OK\r\nServer: pixi-game-server\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    Content-Type: text/html\r\nContent-Length: 3\r\nConnection: keep-alive\r\nETag: \"1\"\r\n\r\n";
        assert_eq!(response(&found), format!("{head}<p>"));
        assert_eq!(response(&Response { head_only: true, ..found }), head);
        let unchanged = response(&Response { status: Status::NotModified, ..found });
        assert!(unchanged.starts_with("HTTP/1.1 304 Not Modified\r\n") && unchanged.ends_with("\r\n\r\n"));
        assert!(!unchanged.contains("Content-"));
        let nothing = response(&Response { status: Status::NoContent, ..found });
        assert!(nothing.starts_with("HTTP/1.1 204 No Content\r\n") && nothing.ends_with("\r\n\r\n"));
        assert!(!nothing.contains("Content-"), "RFC 9110, section 8.6: {nothing}");
    }

    #[test]
    fn names_the_upgrade_in_connection() {
        let error = upgrade(&request("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap_err();
        let text = response(&Response {
            headers: error.headers(),
            ..Response::text(error.status(), error.reason())
        });
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(text.contains("\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"));
        assert!(text.ends_with("\r\n\r\nthis is a WebSocket endpoint"));
    }
}
