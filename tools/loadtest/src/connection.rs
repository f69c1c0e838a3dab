//! One connection of a client or a hostile peer: a socket, the bytes that the kernel has not accepted yet, and the
//! unfinished response or frame. Small, because there are many.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use game_client::frame::Inbox;
use game_client::handshake::{self, Response};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::os::{begin_connect, reset_when_closed};

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected yet, or disconnected.
    Disconnected,
    /// The TCP connection is being established.
    Connecting,
    /// Connected, and not upgraded yet.
    Upgrading,
    /// Upgraded; waiting for the first snapshot.
    Joining,
    /// Playing. A hostile peer plays as soon as it is upgraded.
    Playing,
    /// A close frame has been sent; waiting for the server's.
    Closing,
}

impl Phase {
    /// Whether the client is connecting but not playing yet.
    pub fn is_arriving(self) -> bool {
        matches!(self, Phase::Connecting | Phase::Upgrading | Phase::Joining)
    }
}

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Number of bytes read.
    Bytes(usize),
    /// The read would block.
    Empty,
    /// The server has closed its side.
    End,
    /// The socket failed.
    Failed(String),
}

/// One connection at a time.
#[derive(Debug, Default)]
pub struct Connection {
    /// Its socket while connected.
    stream: Option<TcpStream>,
    /// Number of connections so far. Invalidates tasks of earlier ones.
    pub generation: u32,
    /// The part of the response head received so far.
    head: Vec<u8>,
    /// Incoming frames.
    pub inbox: Inbox,
    /// Bytes not yet accepted by the kernel.
    outbox: Vec<u8>,
    /// Whether the socket may accept more bytes.
    pub writable: bool,
}

impl Connection {
    /// Starts a new connection. Its socket becomes writable when the connect has completed or failed.
    ///
    /// # Errors
    /// See [`begin_connect`].
    pub fn begin(
        &mut self,
        server: SocketAddr,
        source: Option<Ipv4Addr>,
        receive_buffer_bytes: Option<usize>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        self.leave();
        self.generation += 1;
        let mut stream = TcpStream::from_std(begin_connect(server, source, receive_buffer_bytes)?);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Changes the readiness that is reported.
    ///
    /// # Errors
    /// The kernel refuses the change.
    pub fn listen(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.stream.as_mut().map_or(Ok(()), |stream| registry.reregister(stream, token, interest))
    }

    /// Returns whether the connect has completed; `false` for a stale event of an earlier socket.
    ///
    /// # Errors
    /// The connect failed.
    pub fn finish_connect(&mut self) -> io::Result<bool> {
        let Some(stream) = &self.stream else { return Ok(false) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            result => result?,
        };
        self.writable = true;
        Ok(true)
    }

    /// Drops the socket and all state of the connection.
    pub fn leave(&mut self) {
        *self = Connection { generation: self.generation, ..Connection::default() };
    }

    /// Makes the end of the connection a reset.
    pub fn reset(&self) {
        if let Some(stream) = &self.stream {
            // Fails only if the server has closed already; then no reset is needed.
            let _ = reset_when_closed(stream);
        }
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        let Some(stream) = &mut self.stream else { return ReadOutcome::Empty };
        loop {
            return match stream.read(buffer) {
                Ok(0) => ReadOutcome::End,
                Ok(count) => ReadOutcome::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => ReadOutcome::Empty,
                Err(error) => ReadOutcome::Failed(error.to_string()),
            };
        }
    }

    /// Takes bytes of the response to the upgrade request. Returns the bytes after its head once it is complete.
    ///
    /// # Errors
    /// The reason of a refusal.
    pub fn take_head(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.head.extend_from_slice(bytes);
        match handshake::read(&self.head) {
            Response::Incomplete => Ok(None),
            Response::Refused(reason) => Err(reason),
            Response::Upgraded(length) => Ok(Some(std::mem::take(&mut self.head).split_off(length))),
        }
    }

    /// Returns the number of bytes that the kernel has not accepted yet.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Writes bytes, or queues the part that the kernel does not accept.
    ///
    /// # Errors
    /// The socket failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.writable && self.outbox.is_empty() { self.write_once(bytes)? } else { 0 };
        self.outbox.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes queued bytes.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.outbox);
        let taken = self.write_once(&waiting)?;
        self.outbox.extend_from_slice(&waiting[taken..]);
        Ok(())
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(bytes.len()) };
        loop {
            let taken = match stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                result => result?,
            };
            self.writable = taken == bytes.len();
            return Ok(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_queue_in_order_while_the_socket_is_blocked() {
        let mut connection = Connection::default();
        connection.write(b"ab").unwrap();
        connection.writable = true;
        connection.write(b"cd").unwrap();
        assert_eq!(connection.outbox, b"abcd");
    }

    #[test]
    fn a_response_is_collected_until_its_head_is_complete() {
        let response = b"HTTP/1.1 101 Switching Protocols\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x01";
        let mut connection = Connection::default();
        assert_eq!(connection.take_head(&response[..20]), Ok(None));
        assert_eq!(connection.take_head(&response[20..]), Ok(Some(vec![0x82, 1])));
        assert_eq!(connection.take_head(&[b'x'; 5_000]), Err("endless response head".to_owned()));
    }
}
