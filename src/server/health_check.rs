//! The question a container's health check asks: is the server at this address well?

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::proxy_protocol::UNKNOWN_HEADER;

/// Time for the whole exchange: a server that sends a byte now and then does not extend it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest timeout that a socket takes; zero would wait for ever.
const READ_TIMEOUT_MIN: Duration = Duration::from_micros(100);

/// Longest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Asks `/health` of the server that listens on this address; an unspecified address stands for loopback. A server that
/// wants a PROXY header gets one that speaks for nobody else.
///
/// # Errors
/// A line that says what is wrong: no connection, no answer in two seconds, or an answer other than 200.
pub fn probe(host: IpAddr, port: u16, proxy_protocol: bool) -> Result<(), String> {
    let host = match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, port);
    let answer =
        exchange(address, proxy_protocol).map_err(|error| format!("no answer from {address}: {error}"))?;
    let status_line = answer.lines().next().unwrap_or_default();
    if status_line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(format!("{address} answered: {status_line}"))
    }
}

fn exchange(address: SocketAddr, proxy_protocol: bool) -> io::Result<String> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    // The question fits into any socket's buffer: no write waits twice.
    stream.set_write_timeout(Some(TIMEOUT))?;
    if proxy_protocol {
        stream.write_all(UNKNOWN_HEADER)?;
    }
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; ANSWER_BYTES_MAX]);
    while answer.len() < ANSWER_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < READ_TIMEOUT_MIN {
            return Err(io::Error::new(ErrorKind::TimedOut, "no whole answer in time"));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer[..ANSWER_BYTES_MAX - answer.len()]) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // The deadline is looked at above.
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
