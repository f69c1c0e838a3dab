//! HTTP requests: one `GET`, one response, one connection, one deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::deadline::DeadlineStream;
use crate::text::printable_json;

/// Longest response accepted, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 16 * 1_024;

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends a `GET` request and waits for the whole response. `timeout` covers the whole exchange.
///
/// # Errors
/// The response is not complete in time, is longer than [`RESPONSE_BYTES_MAX`], or is not HTTP.
pub fn get(server: SocketAddr, path: &str, timeout: Duration) -> io::Result<Response> {
    get_from(&[server], &server.to_string(), path, Instant::now() + timeout)
}

/// Like [`get`], for a server with several addresses. `authority` is the value of the `Host` header.
///
/// # Errors
/// See [`get`].
pub fn get_from(
    addresses: &[SocketAddr],
    authority: &str,
    path: &str,
    deadline: Instant,
) -> io::Result<Response> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    exchange(addresses, request.as_bytes(), deadline, &mut answer)?;
    let text = std::str::from_utf8(&answer).ok().and_then(parse);
    text.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the response is not HTTP"))
}

/// Returns the body of a JSON response, with its strings made printable.
///
/// # Errors
/// See [`get`]; also if the response is not JSON.
pub fn get_json(server: SocketAddr, path: &str, timeout: Duration) -> io::Result<Json> {
    Ok(printable_json(serde_json::from_str(&get(server, path, timeout)?.body)?))
}

/// Sends a request and appends the received bytes to `answer` until the server closes the connection.
///
/// # Errors
/// The deadline has passed, or the response is longer than [`RESPONSE_BYTES_MAX`]. `answer` keeps the bytes received
/// so far.
pub fn exchange(
    addresses: &[SocketAddr],
    request: &[u8],
    deadline: Instant,
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let mut stream = DeadlineStream::connect(addresses, deadline)?;
    // One write: a busy server responds and closes immediately, and a second write would fail.
    stream.write_all(request)?;
    let mut buffer = [0; READ_BYTES];
    loop {
        let room = RESPONSE_BYTES_MAX - answer.len().min(RESPONSE_BYTES_MAX);
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if count > room => {
                answer.extend_from_slice(&buffer[..room]);
                let problem = format!("the response is longer than {RESPONSE_BYTES_MAX} bytes");
                return Err(io::Error::new(ErrorKind::InvalidData, problem));
            }
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    Some(Response { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that repeats `piece` with a pause until the client disconnects.
    fn endless(piece: &'static [u8], pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(piece).is_ok() {
                thread::sleep(pause);
            }
        });
        address
    }

    #[test]
    fn parses_status_and_body() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nfull\n";
        assert_eq!(parse(busy), Some(Response { status: 503, body: "full\n".to_owned() }));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n"), Some(Response { status: 200, body: String::new() }));
        for text in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0 x\r\n\r\n", "HTTP/1.1 many\r\n\r\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_endless_response_times_out_at_the_deadline() {
        // Each piece arrives well within the timeout, so a timeout per read would never expire.
        let server = endless(b"X-Header: more\r\n", Duration::from_millis(20));
        let error = get(server, "/", Duration::from_millis(300)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::TimedOut, "the response timed out")
        );
    }

    #[test]
    fn an_endless_response_is_truncated_at_the_limit() {
        let server = endless(&[b'x'; 8_192], Duration::ZERO);
        let mut answer = Vec::new();
        let deadline = Instant::now() + Duration::from_mins(1);
        let error = exchange(&[server], b"GET / HTTP/1.1\r\n\r\n", deadline, &mut answer).unwrap_err();
        assert_eq!(error.to_string(), "the response is longer than 1048576 bytes");
        assert_eq!(answer.len(), RESPONSE_BYTES_MAX);
    }
}
