//! Questions to a server: one `GET`, one answer, one connection, one deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::deadline::DeadlineStream;
use crate::text::printable_json;

/// Longest answer that is read, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Bytes taken from the socket at a time.
const READ_BYTES: usize = 16 * 1_024;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

/// Asks, and waits for the whole answer; `patience` is the time for all of it.
///
/// # Errors
/// No whole answer in time, one longer than [`RESPONSE_BYTES_MAX`], or one that isn't HTTP.
pub fn get(server: SocketAddr, path: &str, patience: Duration) -> io::Result<Response> {
    get_from(&[server], &server.to_string(), path, Instant::now() + patience)
}

/// As [`get`], of a server that may have several addresses, by the name that it goes by.
///
/// # Errors
/// As [`get`].
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
    text.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the answer isn't HTTP"))
}

/// The body of an answer that is JSON, its texts printable.
///
/// # Errors
/// As [`get`], or the answer isn't JSON.
pub fn get_json(server: SocketAddr, path: &str, patience: Duration) -> io::Result<Json> {
    Ok(printable_json(serde_json::from_str(&get(server, path, patience)?.body)?))
}

/// Sends a request, and appends what comes to `answer` until the server closes.
///
/// # Errors
/// The deadline is over, or the answer is longer than [`RESPONSE_BYTES_MAX`]; what came before stands in `answer`.
pub fn exchange(
    addresses: &[SocketAddr],
    request: &[u8],
    deadline: Instant,
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let mut stream = DeadlineStream::connect(addresses, deadline)?;
    // In one piece: a server that has no place for the question answers and closes at once.
    stream.write_all(request)?;
    let mut buffer = [0; READ_BYTES];
    loop {
        let room = RESPONSE_BYTES_MAX - answer.len().min(RESPONSE_BYTES_MAX);
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if count > room => {
                answer.extend_from_slice(&buffer[..room]);
                let problem = format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes");
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

    /// A server that sends this again and again, with this pause, until the client has gone.
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
    fn an_answer_is_its_status_and_its_body() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nfull\n";
        assert_eq!(parse(busy), Some(Response { status: 503, body: "full\n".to_owned() }));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n"), Some(Response { status: 200, body: String::new() }));
        for text in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0 x\r\n\r\n", "HTTP/1.1 many\r\n\r\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_that_never_ends_is_given_up_at_the_deadline() {
        // Each piece comes well within the patience, which a timeout for each read would never notice.
        let server = endless(b"X-Header: more\r\n", Duration::from_millis(20));
        let error = get(server, "/", Duration::from_millis(300)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::TimedOut, "no whole answer in time")
        );
    }

    #[test]
    fn a_server_that_sends_without_end_is_cut_at_the_bound() {
        let server = endless(&[b'x'; 8_192], Duration::ZERO);
        let mut answer = Vec::new();
        let deadline = Instant::now() + Duration::from_mins(1);
        let error = exchange(&[server], b"GET / HTTP/1.1\r\n\r\n", deadline, &mut answer).unwrap_err();
        assert_eq!(error.to_string(), "the answer is longer than 1048576 bytes");
        assert_eq!(answer.len(), RESPONSE_BYTES_MAX);
    }
}
