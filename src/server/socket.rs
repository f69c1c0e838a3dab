//! A TCP socket whose reads and writes are system calls and nothing else.
//!
//! In a program of several threads glibc makes each of its calls a point where the thread may be cancelled, before and
//! after; at a hundred thousand calls a second that costs as much as finding out what to write. No thread here is
//! ever cancelled.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A connected socket, non-blocking.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// For this connection.
    pub fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// The connection, for all that is not done a hundred thousand times a second.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // As the kernel says, not cut to what the buffer holds: a kernel that says more must not have it taken for input.
        let (_, count) = recv(&self.0, buffer, RecvFlags::empty())?;
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A peer that is gone is an error like another, and no signal.
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
