//! A socket's stand-in that misbehaves as the kernel may: short writes, `EAGAIN` and `EINTR` at any position, and ends by
//! `ECONNRESET` or `ETIMEDOUT`. A read gives what has arrived, as the kernel's does; it is the network that cuts that
//! anywhere. Readiness is edge-triggered, as the server's poll is: whoever was told `EAGAIN` hears of room or bytes once.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, Read, Write};

use super::random::Random;

/// How a socket behaves at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Takes one byte only.
    Short,
    /// `EAGAIN`.
    Again,
    /// `EINTR`.
    Interrupted,
    /// `ECONNRESET`, now and ever after.
    Reset,
    /// `ETIMEDOUT`, now and ever after.
    TimedOut,
}

pub const FAULTS: [Fault; 5] =
    [Fault::Short, Fault::Again, Fault::Interrupted, Fault::Reset, Fault::TimedOut];

/// What decides about the next fault.
#[derive(Debug)]
pub enum Plan {
    /// All goes well.
    None,
    /// This fault, once, when so many bytes have been taken; it stops a write there.
    WriteAt(usize, Fault),
    /// Now and then, a fault that passes.
    Transient(Random),
}

/// One end of a connection in memory.
#[derive(Debug)]
pub struct Shim {
    /// Bytes from the peer, arrived and not read.
    pub incoming: VecDeque<u8>,
    /// Bytes taken, not fetched by the peer.
    pub written: Vec<u8>,
    /// Bytes taken since the start.
    pub written_total: usize,
    /// Most bytes that wait for the peer: the kernel's send buffer.
    pub send_buffer_bytes: usize,
    pub plan: Plan,
    /// The write side was told `EAGAIN` and has not been told of room since.
    needs_writable_edge: bool,
    /// The read side was told `EAGAIN`, or has drained the socket, and has not been told of bytes since.
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

    /// Whether an edge says that there is room again; once.
    pub fn is_writable_edge(&mut self) -> bool {
        let edge = self.needs_writable_edge
            && (self.written.len() < self.send_buffer_bytes || self.broken.is_some());
        self.needs_writable_edge &= !edge;
        edge
    }

    /// Whether an edge says that there are bytes; once.
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

    /// The bytes a call may move, or why it may not.
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
        // A read shorter than its buffer has drained a real socket: what comes then comes with an edge.
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
