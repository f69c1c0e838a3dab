//! The client of a container's health check: requests `/health` from a server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::proxy_protocol::UNKNOWN_HEADER;

/// Timeout of the whole exchange. A server that trickles its response does not extend it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest read timeout; a timeout of zero is an error.
const READ_TIMEOUT_MIN: Duration = Duration::from_micros(100);

/// Maximum number of bytes of the response that are read.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Requests `/health` from the server at this address; an unspecified address means loopback. With
/// `proxy_protocol`, sends a PROXY header without an address first.
///
/// # Errors
/// One line about the problem: no connection, no response within 2 s, or a status other than 200.
pub fn probe(host: IpAddr, port: u16, proxy_protocol: bool) -> Result<(), String> {
    let host = match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, port);
    let answer =
        exchange(address, proxy_protocol).map_err(|error| format!("no response from {address}: {error}"))?;
    let status_line = answer.lines().next().unwrap_or_default();
    if status_line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(format!("{address} responded: {status_line}"))
    }
}

fn exchange(address: SocketAddr, proxy_protocol: bool) -> io::Result<String> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    // The request fits the send buffer, so that no write blocks for long.
    stream.set_write_timeout(Some(TIMEOUT))?;
    if proxy_protocol {
        stream.write_all(UNKNOWN_HEADER)?;
    }
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; ANSWER_BYTES_MAX]);
    while answer.len() < ANSWER_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < READ_TIMEOUT_MIN {
            return Err(io::Error::new(ErrorKind::TimedOut, "no complete response in time"));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer[..ANSWER_BYTES_MAX - answer.len()]) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // The loop checks the deadline.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
