//! A TCP socket whose reads and writes are bare system calls.
//!
//! In a multithreaded program glibc makes each of these calls a thread cancellation point, with bookkeeping before and
//! after it. At 100,000 calls a second that costs as much as computing the bytes to write. No thread here is ever canceled.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, BorrowedFd};

use mio::net::TcpStream;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::server::core::system::Socket;

/// A connected, non-blocking socket.
#[derive(Debug)]
pub struct TcpSocket(TcpStream);

impl TcpSocket {
    /// Wraps this stream.
    pub fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Returns the stream, for all but the hot path.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for TcpSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The kernel's count, not capped at the buffer's length: a faulty kernel's larger count is no input.
        let (_, count) = recv(&self.0, buffer, RecvFlags::empty())?;
        Ok(count)
    }
}

impl Write for TcpSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A closed peer is an ordinary error and raises no signal.
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for TcpSocket {
    fn shut_down_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn local_ip(&self) -> Option<IpAddr> {
        self.0.local_addr().ok().map(|own| own.ip())
    }
}
