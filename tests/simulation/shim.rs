//! A fake socket with the kernel's faults: short writes, `EAGAIN` and `EINTR` at any position, and
//! `ECONNRESET` or `ETIMEDOUT` at the end.
//!
//! A read returns all data that has arrived, like the kernel's; the network splits it at any position.
//! Readiness is edge-triggered, like the server's poll: after an `EAGAIN`, room or data is reported once.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, Read, Write};

use super::random::Random;

/// Fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Accepts only one byte.
    Short,
    /// `EAGAIN`.
    Again,
    /// `EINTR`.
    Interrupted,
    /// `ECONNRESET`, from now on permanently.
    Reset,
    /// `ETIMEDOUT`, from now on permanently.
    TimedOut,
}

pub const FAULTS: [Fault; 5] =
    [Fault::Short, Fault::Again, Fault::Interrupted, Fault::Reset, Fault::TimedOut];

/// Decides on the next fault.
#[derive(Debug)]
pub enum Plan {
    /// No faults.
    None,
    /// One fault, once this many bytes have been written; a write stops at that position.
    WriteAt(usize, Fault),
    /// Random transient faults.
    Transient(Random),
}

/// One end of a connection in memory.
#[derive(Debug)]
pub struct Shim {
    /// Bytes received from the peer and not read yet.
    pub incoming: VecDeque<u8>,
    /// Bytes written and not fetched by the peer yet.
    pub written: Vec<u8>,
    /// Bytes written in total.
    pub written_total: usize,
    /// Size of the kernel's send buffer: maximum number of bytes waiting for the peer.
    pub send_buffer_bytes: usize,
    pub plan: Plan,
    /// A write returned `EAGAIN`, and room has not been reported since.
    needs_writable_edge: bool,
    /// A read returned `EAGAIN` or drained the socket, and data has not been reported since.
    needs_readable_edge: bool,
    broken: Option<ErrorKind>,
}

impl Shim {
    pub fn new(plan: Plan) -> Self {
        Self {
            incoming: VecDeque::new(),
            written: Vec::new(),
            written_total: 0,
            send_buffer_bytes: 16 * 1024,
            plan,
            needs_writable_edge: false,
            needs_readable_edge: true,
            broken: None,
        }
    }

    /// Returns whether room is available again; reports each edge once.
    pub fn is_writable_edge(&mut self) -> bool {
        let edge = self.needs_writable_edge
            && (self.written.len() < self.send_buffer_bytes || self.broken.is_some());
        self.needs_writable_edge &= !edge;
        edge
    }

    /// Returns whether data has arrived; reports each edge once.
    pub fn is_readable_edge(&mut self) -> bool {
        let edge = self.needs_readable_edge && (!self.incoming.is_empty() || self.broken.is_some());
        self.needs_readable_edge &= !edge;
        edge
    }

    /// Breaks the connection.
    pub fn break_with(&mut self, kind: ErrorKind) {
        self.broken = Some(kind);
    }

    fn next_fault(&mut self) -> Option<Fault> {
        match &mut self.plan {
            Plan::WriteAt(position, fault) if self.written_total == *position => {
                let fault = *fault;
                self.plan = Plan::None;
                Some(fault)
            }
            Plan::None | Plan::WriteAt(..) => None,
            Plan::Transient(random) => random.chance(6).then(|| FAULTS[random.below(3) as usize]),
        }
    }

    /// The number of bytes a write may accept, or its error.
    fn limit(&mut self, wanted: usize) -> io::Result<usize> {
        match self.next_fault() {
            None | Some(Fault::Short) if self.broken.is_some() => {}
            None => return Ok(wanted),
            Some(Fault::Short) => return Ok(wanted.min(1)),
            Some(Fault::Again) => return Ok(0),
            Some(Fault::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Fault::Reset) => self.broken = Some(ErrorKind::ConnectionReset),
            Some(Fault::TimedOut) => self.broken = Some(ErrorKind::TimedOut),
        }
        Err(Error::from(self.broken.unwrap_or(ErrorKind::ConnectionReset)))
    }
}

impl Read for Shim {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next_fault() {
            Some(Fault::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            _ if self.broken.is_some() => {
                return Err(self.broken.unwrap_or(ErrorKind::ConnectionReset).into());
            }
            _ => {}
        }
        let count = self.incoming.len().min(buffer.len());
        // A read shorter than its buffer has drained a real socket, so later data comes with an edge.
        self.needs_readable_edge = count < buffer.len();
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.incoming.read_exact(&mut buffer[..count])?;
        Ok(count)
    }
}

impl Write for Shim {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.send_buffer_bytes.saturating_sub(self.written.len());
        let mut wanted = bytes.len().min(free);
        if let Plan::WriteAt(position, _) = self.plan
            && position > self.written_total
        {
            wanted = wanted.min(position - self.written_total);
        }
        let count = self.limit(wanted)?;
        if count == 0 {
            self.needs_writable_edge = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.written.extend_from_slice(&bytes[..count]);
        self.written_total += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
