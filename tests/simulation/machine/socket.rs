//! A connection in memory: the server's socket with the kernel's faults, and the client's end.
//!
//! The kernel's faults are short writes, `EAGAIN` and `EINTR` at any position, resets and timeouts. A read returns all data that
//! has arrived; the network splits it at any position. Readiness is edge-triggered as in `epoll`: each arrival is an edge, and so
//! is room after a write that found none. An event then reports the socket's whole state.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use pixi_game_server::server::core::Readiness;
use pixi_game_server::server::core::system::Socket;
use pixi_game_server::server::core::table::Token;

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

/// What all sockets of a machine share.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Registered sockets with an edge, in the order of their edges.
    pub ready: RefCell<Vec<Token>>,
    /// Sockets of accepted connections that the server has not closed.
    pub open: Cell<usize>,
    /// Bytes that the server read from registered sockets.
    pub bytes_in: Cell<u64>,
    /// Bytes that the server wrote to registered sockets.
    pub bytes_out: Cell<u64>,
    /// Hash of the bytes that each connection took, in the order of their connects.
    pub fingerprints: RefCell<Vec<u64>>,
}

impl Kernel {
    fn record(&self, connection: usize, written: &[u8]) {
        const PRIME: u64 = 0x0100_0000_01b3;
        let hash = &mut self.fingerprints.borrow_mut()[connection];
        for byte in written {
            *hash = (*hash ^ (u64::from(*byte) + 1)).wrapping_mul(PRIME);
        }
        self.bytes_out.set(self.bytes_out.get() + written.len() as u64);
    }
}

/// A connection: both ends of it hold one.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each flag is an independent fact about the connection")]
pub struct Pipe {
    /// The connections before this one.
    number: usize,
    /// Descriptors of the server's end, in all processes.
    server_ends: usize,
    pub kernel: Rc<Kernel>,
    token: Option<Token>,
    /// Bytes received from the client and not read yet.
    pub incoming: VecDeque<u8>,
    /// The client has shut down its side; it reads on.
    pub incoming_ended: bool,
    /// The client has closed its socket.
    is_client_gone: bool,
    /// Bytes written by the server and not fetched by the client yet.
    pub written: Vec<u8>,
    /// Bytes written in total.
    pub written_total: usize,
    /// Size of the kernel's send buffer: maximum number of bytes waiting for the client.
    pub send_buffer_bytes: usize,
    pub plan: Plan,
    /// The server has shut down its side, or closed the socket.
    pub is_shut_down: bool,
    /// The server has closed the socket.
    pub is_closed: bool,
    /// A write returned `EAGAIN`, and room has not been reported since.
    needs_room: bool,
    /// The last write found no room.
    pub is_blocked: bool,
    has_edge: bool,
    broken: Option<ErrorKind>,
}

impl Pipe {
    pub fn new(plan: Plan, kernel: &Rc<Kernel>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            kernel: Rc::clone(kernel),
            number: {
                kernel.fingerprints.borrow_mut().push(0);
                kernel.fingerprints.borrow().len() - 1
            },
            server_ends: 0,
            token: None,
            incoming: VecDeque::new(),
            incoming_ended: false,
            is_client_gone: false,
            written: Vec::new(),
            written_total: 0,
            send_buffer_bytes: 16 * 1024,
            plan,
            is_shut_down: false,
            is_closed: false,
            needs_room: false,
            is_blocked: false,
            has_edge: false,
            broken: None,
        }))
    }

    /// Delivers bytes to the server.
    pub fn deliver(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && !self.is_closed {
            self.incoming.extend(bytes);
            self.notify();
        }
    }

    /// Fetches what the server has written; the send buffer has room again.
    pub fn fetch(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.written.len());
        let fetched = self.written.drain(..count).collect();
        self.offer_room();
        fetched
    }

    fn offer_room(&mut self) {
        if self.needs_room && self.has_room() {
            self.needs_room = false;
            self.notify();
        }
    }

    /// The client shuts down its side.
    pub fn end(&mut self) {
        self.incoming_ended = true;
        self.notify();
    }

    /// The client closes its socket. Later output of the server is answered with a reset.
    pub fn close(&mut self) {
        self.is_client_gone = true;
        self.offer_room();
        if self.written.is_empty() {
            self.end();
        } else {
            self.break_with(ErrorKind::ConnectionReset);
        }
    }

    /// Breaks the connection.
    pub fn break_with(&mut self, kind: ErrorKind) {
        self.broken = Some(kind);
        self.notify();
    }

    /// Whether the client can expect nothing more.
    pub fn is_over(&self) -> bool {
        self.broken.is_some() || self.is_client_gone || self.is_shut_down && self.written.is_empty()
    }

    /// Whether the client has closed its socket, or the connection has broken.
    pub fn is_gone(&self) -> bool {
        self.is_client_gone || self.broken.is_some()
    }

    /// Whether the server holds the connection open.
    pub fn is_served(&self) -> bool {
        self.token.is_some() && !self.is_closed
    }

    /// A closed client answers even the probe of a full window with a reset.
    fn room(&self) -> usize {
        if self.is_client_gone {
            usize::MAX
        } else {
            self.send_buffer_bytes.saturating_sub(self.written.len())
        }
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    fn notify(&mut self) {
        if let Some(token) = self.token
            && !std::mem::replace(&mut self.has_edge, true)
        {
            self.kernel.ready.borrow_mut().push(token);
        }
    }

    /// Starts to report readiness; the current state is the first edge.
    pub fn register(&mut self, token: Token) {
        self.token = Some(token);
        self.notify();
    }

    /// Stops reporting readiness.
    pub fn deregister(&mut self) -> Option<Token> {
        self.token.take()
    }

    /// Drops the event of an edge.
    pub fn drop_event(&mut self) {
        self.has_edge = false;
    }

    /// Takes the event of an edge: the current state.
    pub fn take_event(&mut self) -> Readiness {
        self.has_edge = false;
        let has_ended = self.incoming_ended || self.broken.is_some();
        // A stall may take back room that was offered.
        self.needs_room |= !self.has_room();
        Readiness {
            is_readable: !self.incoming.is_empty() || has_ended,
            is_writable: self.has_room() || self.broken.is_some(),
            has_ended,
        }
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
            None | Some(Fault::Short | Fault::Again) if self.broken.is_some() => {}
            None => return Ok(wanted),
            Some(Fault::Short) => return Ok(wanted.min(1)),
            Some(Fault::Again) => return Ok(0),
            Some(Fault::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Fault::Reset) => self.broken = Some(ErrorKind::ConnectionReset),
            Some(Fault::TimedOut) => self.broken = Some(ErrorKind::TimedOut),
        }
        Err(Error::from(self.broken.unwrap_or(ErrorKind::ConnectionReset)))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next_fault() {
            Some(Fault::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            _ if self.broken.is_some() => {
                return Err(self.broken.unwrap_or(ErrorKind::ConnectionReset).into());
            }
            _ => {}
        }
        let count = self.incoming.len().min(buffer.len());
        if count == 0 {
            return if self.incoming_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        self.incoming.read_exact(&mut buffer[..count])?;
        if self.token.is_some() {
            self.kernel.bytes_in.set(self.kernel.bytes_in.get() + count as u64);
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.is_shut_down, "the server writes after the end of its output");
        let mut wanted = bytes.len().min(self.room());
        if let Plan::WriteAt(position, _) = self.plan
            && position > self.written_total
        {
            wanted = wanted.min(position - self.written_total);
        }
        self.is_blocked = !self.has_room();
        let count = self.limit(wanted)?;
        if count == 0 {
            self.needs_room = true;
            // A transient `EAGAIN` is followed by an edge.
            self.offer_room();
            return Err(ErrorKind::WouldBlock.into());
        }
        self.written_total += count;
        if self.token.is_some() {
            self.kernel.record(self.number, &bytes[..count]);
        }
        if self.is_client_gone {
            self.break_with(ErrorKind::ConnectionReset);
        } else {
            self.written.extend_from_slice(&bytes[..count]);
        }
        Ok(count)
    }
}

/// The server's end.
#[derive(Debug)]
pub struct ServerEnd {
    pub pipe: Rc<RefCell<Pipe>>,
}

impl ServerEnd {
    pub fn new(pipe: Rc<RefCell<Pipe>>) -> Self {
        let kernel = Rc::clone(&pipe.borrow().kernel);
        kernel.open.set(kernel.open.get() + 1);
        pipe.borrow_mut().server_ends += 1;
        Self { pipe }
    }
}

impl Drop for ServerEnd {
    /// Unread input resets the connection, and the client may lose what it has not fetched.
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.kernel.open.set(pipe.kernel.open.get() - 1);
        pipe.server_ends -= 1;
        if pipe.server_ends > 0 {
            return;
        }
        (pipe.is_shut_down, pipe.is_closed) = (true, true);
        if !pipe.incoming.is_empty() {
            pipe.written.clear();
        }
    }
}

impl Read for ServerEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pipe.borrow_mut().read(buffer)
    }
}

impl Write for ServerEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for ServerEnd {
    fn shut_down_write(&mut self) -> io::Result<()> {
        let mut pipe = self.pipe.borrow_mut();
        pipe.is_shut_down = true;
        pipe.broken.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn local_ip(&self) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(10, 255, 255, 255)))
    }
}
