//! A connection with one deadline for all its reads and writes. A server that sends single bytes does not extend the
//! deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A blocking socket whose reads and writes fail with [`ErrorKind::TimedOut`] after the deadline.
#[derive(Debug)]
pub struct DeadlineStream {
    stream: TcpStream,
    deadline: Instant,
}

impl DeadlineStream {
    /// Connects to the first address that accepts. The remaining time is split over the remaining addresses.
    ///
    /// # Errors
    /// The error of the last address, or [`ErrorKind::NotFound`] without addresses.
    pub fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<DeadlineStream> {
        let mut result = Err(io::Error::new(ErrorKind::NotFound, "no address"));
        for (index, address) in addresses.iter().enumerate() {
            let share = remaining(deadline)? / (addresses.len() - index) as u32;
            result = TcpStream::connect_timeout(address, share.max(SHORTEST));
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        stream.set_nodelay(true)?;
        Ok(DeadlineStream { stream, deadline })
    }

    /// Returns the socket. It keeps the last timeout.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Shortest socket timeout used. Zero would mean no timeout.
const SHORTEST: Duration = Duration::from_micros(100);

fn remaining(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        left if left < SHORTEST => Err(timed_out(ErrorKind::TimedOut.into())),
        left => Ok(left),
    }
}

/// Gives a socket's timeout a clear message. Linux reports it as `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, "the response timed out")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn reads_and_writes_fail_after_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut timed = DeadlineStream::connect(&[address], Instant::now() + Duration::from_mins(1)).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"x").unwrap();
        assert_eq!(timed.read(&mut [0; 8]).unwrap(), 1);
        peer.write_all(b"y").unwrap();
        timed.deadline = Instant::now();
        assert_eq!(timed.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(timed.write(b"z").unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_next_address_is_tried_after_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let refusing = SocketAddr::from(([127, 0, 0, 2], address.port()));
        let deadline = Instant::now() + Duration::from_mins(1);
        assert!(DeadlineStream::connect(&[refusing, address], deadline).is_ok());
        assert_eq!(
            DeadlineStream::connect(&[refusing], deadline).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        assert_eq!(DeadlineStream::connect(&[], deadline).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
