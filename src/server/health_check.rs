//! The question a container's health check asks: is the server at this address well?

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wire::proxy_protocol::ON_OWN_BEHALF;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

/// Asks `/health` of the server that listens on this address; an unspecified address stands for loopback. A server that
/// wants a PROXY header gets one that speaks for nobody else.
///
/// # Errors
/// A line that says what is wrong: no connection, no answer in two seconds, or an answer other than 200.
pub fn ask(host: IpAddr, port: u16, proxy_protocol: bool) -> Result<(), String> {
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

fn exchange(address: SocketAddr, proxy_protocol: bool) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if proxy_protocol {
        stream.write_all(ON_OWN_BEHALF)?;
    }
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
