//! Questions to a server: one `GET`, one answer, one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value as Json;

use crate::text::printable_json;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

/// Asks, and waits for the whole answer; `patience` is the longest wait in any direction.
///
/// # Errors
/// No answer in time, or one that isn't HTTP.
pub fn get(server: SocketAddr, path: &str, patience: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // In one piece: a server that has no place for the question answers and closes at once.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer isn't HTTP"))
}

/// The body of an answer that is JSON, its texts printable.
///
/// # Errors
/// No answer in time, or one that isn't JSON.
pub fn get_json(server: SocketAddr, path: &str, patience: Duration) -> io::Result<Json> {
    Ok(printable_json(serde_json::from_str(&get(server, path, patience)?.body)?))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nfull\n";
        assert_eq!(parse(busy), Some(Answer { status: 503, body: "full\n".to_owned() }));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n"), Some(Answer { status: 200, body: String::new() }));
        for text in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0 x\r\n\r\n", "HTTP/1.1 many\r\n\r\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
