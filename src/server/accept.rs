//! New connections: a budget per turn, a cap on all, and a pause when the kernel has nothing left to give.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;

use mio::Interest;
use mio::net::{TcpListener, TcpStream};
use nix::errno::Errno;

use super::Server;
use super::connection::Connection;
use crate::limits::{
    ACCEPT_BUDGET, ACCEPT_PAUSE_MS, EXHAUSTION_LOG_INTERVAL_MS, HTTP_CONNECTIONS_MAX, HTTP_TIMEOUT_MS,
};
use crate::metrics::Refused;
use crate::wire::http::{Response, Status};

/// The listening socket and whether it is worth asking.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    /// The kernel may have connections; edge-triggered, so it is remembered until it has none.
    ready: bool,
    /// Not before this moment, in milliseconds of the loop's clock.
    paused_until_ms: u64,
    /// When a lack of descriptors or memory may be logged again, in milliseconds of the loop's clock.
    log_exhaustion_at_ms: u64,
}

/// What came of one accept.
enum Accepted {
    Connection(TcpStream),
    None,
    /// This one is gone already; the next may be well.
    Gone,
    /// The kernel lacks descriptors or memory.
    Exhausted(io::Error),
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, ready: true, paused_until_ms: 0, log_exhaustion_at_ms: 0 }
    }

    pub(super) fn source(&mut self) -> &mut TcpListener {
        &mut self.listener
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) fn set_ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn is_ready(&self, now_ms: u64) -> bool {
        self.ready && now_ms >= self.paused_until_ms
    }

    fn accept(&mut self) -> Accepted {
        match self.listener.accept() {
            Ok((stream, _)) => Accepted::Connection(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready = false;
                Accepted::None
            }
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    Accepted::Exhausted(error)
                }
                // accept(2): errors of the new connection's network are reported here, and are its own.
                _ => Accepted::Gone,
            },
        }
    }
}

impl Server {
    pub(super) fn accept(&mut self) {
        let now_ms = self.now_ms();
        for _ in 0..ACCEPT_BUDGET {
            if !self.acceptor.is_ready(now_ms) {
                return;
            }
            match self.acceptor.accept() {
                Accepted::Connection(stream) => self.admit(stream),
                Accepted::None => return,
                Accepted::Gone => {}
                Accepted::Exhausted(error) => {
                    if now_ms >= self.acceptor.log_exhaustion_at_ms {
                        log::warn!("no new connections can be taken at present: {error}");
                        self.acceptor.log_exhaustion_at_ms = now_ms + EXHAUSTION_LOG_INTERVAL_MS;
                    }
                    self.acceptor.paused_until_ms = now_ms + ACCEPT_PAUSE_MS;
                }
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream) {
        self.metrics.connections_accepted_total += 1;
        // Fails only when the peer is gone already, which the first read will tell.
        let _ = stream.set_nodelay(true);
        let connections_max = self.config.max_connections + HTTP_CONNECTIONS_MAX;
        if self.http_connections >= HTTP_CONNECTIONS_MAX || self.table.len() >= connections_max {
            self.metrics.refused[Refused::Full] += 1;
            // A fresh socket's buffer holds a few hundred bytes; where it does not, there is nobody to tell.
            let mut answer = Vec::new();
            let line = "too many connections are waiting for their handshake; try again\n";
            let response = Response {
                headers: &[("Retry-After", "1")],
                ..Response::text(Status::ServiceUnavailable, line)
            };
            response.write(&mut answer);
            let _ = stream.write(&answer);
            return;
        }
        let (now_ms, registry) = (self.now_ms(), self.poll.registry());
        let inserted = self.table.insert_with(|token| {
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok::<_, io::Error>(Connection::new(stream, now_ms + HTTP_TIMEOUT_MS))
        });
        match inserted {
            Ok(_) => self.http_connections += 1,
            Err(error) => log::warn!("a connection could not be polled and was dropped: {error}"),
        }
    }
}
