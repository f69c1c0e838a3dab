//! The WebSocket handshake from the client's side.

/// The key that every client sends: the sample of RFC 6455, whose accept value is known without hashing.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The `Sec-WebSocket-Accept` value for this key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Longest response head accepted, in bytes.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// Returns the upgrade request, with the value of a `Cookie` header if one is given.
pub fn request(authority: &str, path: &str, cookie: Option<&str>) -> Vec<u8> {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{cookie}\r\n"
    )
    .into_bytes()
}

/// Returns the session cookie that a response head sets, without its attributes.
pub fn cookie_in(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut set = headers.filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"));
    Some(set.next()?.1.split(';').next()?.trim().to_owned())
}

/// State of the server's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The head is incomplete.
    Incomplete,
    /// Upgraded. Frames begin after this many bytes.
    Upgraded(usize),
    /// Not upgraded, with the reason.
    Refused(String),
}

/// Parses the bytes received since the request.
pub fn read(bytes: &[u8]) -> Response {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        let refused = bytes.len() > HEAD_BYTES_MAX;
        return if refused {
            Response::Refused("endless response head".to_owned())
        } else {
            Response::Incomplete
        };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).unwrap_or("no HTTP/1.1");
    if !status.starts_with("101") {
        return Response::Refused(format!("HTTP {status}"));
    }
    let accepts = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("Sec-WebSocket-Accept") && value.trim() == ACCEPT);
    if accepts {
        Response::Upgraded(end + 4)
    } else {
        Response::Refused("wrong Sec-WebSocket-Accept".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn finds_the_end_of_the_head() {
        let bytes = [UPGRADED.as_bytes(), &[0x82, 1]].concat();
        assert_eq!(read(&bytes), Response::Upgraded(UPGRADED.len()));
        for length in 0..UPGRADED.len() {
            assert_eq!(read(&bytes[..length]), Response::Incomplete);
        }
    }

    #[test]
    fn refusals_carry_their_reason() {
        let full = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nthe server is full\n";
        assert_eq!(read(full), Response::Refused("HTTP 503 Service Unavailable".to_owned()));
        let forged = UPGRADED.replace("s3pP", "S3pP");
        assert_eq!(read(forged.as_bytes()), Response::Refused("wrong Sec-WebSocket-Accept".to_owned()));
        assert_eq!(read(&[b'x'; 5_000]), Response::Refused("endless response head".to_owned()));
    }

    #[test]
    fn a_cookie_of_the_response_is_sent_with_the_next_request() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nset-cookie: a=1f; Path=/ws; HttpOnly\r\n\r\n";
        assert_eq!(cookie_in(head).as_deref(), Some("a=1f"));
        assert_eq!(cookie_in(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), None);
        let request = String::from_utf8(request("127.0.0.1:1", "/ws", Some("a=1f"))).unwrap();
        assert!(request.ends_with("\r\nCookie: a=1f\r\n\r\n"), "{request}");
    }
}
