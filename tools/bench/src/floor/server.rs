//! The event loop: wait, read, accept, write acks, and flush a share of the clients in every tick, in slices.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::event::{Event, Events};
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use pixi_game_server::limits::{EVENTS_PER_POLL, SCRATCH_BYTES, WRITE_SLICE};
use pixi_game_server::server::core::tick::Schedule;
use pixi_game_server::server::driver::os::{TickTimer, listen_on, monotonic_ns};
use pixi_game_server::wire::http::{
    Date, Parsed, Request, Response, Status, parse_request, upgrade, write_upgrade_response,
};
use serde_json::json;
use slab::Slab;

use super::peer::{Peer, append_first_state, flush_of};
use super::{CONNECTIONS_MAX, Options};

/// Most accepts per iteration.
const ACCEPT_BUDGET: usize = 64;

/// Tick rate, equal to the game server's.
const TICK_RATE_HZ: u32 = 60;

/// The first client's id.
const ID_FIRST: u32 = 1001;

const LISTENER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);

/// A floor that is bound to its port.
pub struct Floor {
    options: Options,
    poll: Poll,
    timer: TickTimer,
    listener: TcpListener,
    listener_ready: bool,
    peers: Slab<Peer>,
    next_id: u32,
    schedule: Schedule,
    /// The content of every flush.
    flush: Vec<u8>,
    /// Fraction of a flush carried over to the next round.
    flushes_owed: f64,
    /// Clients left to flush in this round, and the slab key of the next one.
    round_left: usize,
    round_key: usize,
    scratch: Vec<u8>,
    reads: u64,
    writes: u64,
}

impl Floor {
    /// Binds the port.
    ///
    /// # Errors
    /// The port is taken, or no descriptor is left.
    pub fn bind(options: Options) -> io::Result<Floor> {
        let (poll, timer) = (Poll::new()?, TickTimer::new()?);
        let mut listener = listen_on(Ipv4Addr::LOCALHOST.into(), options.port, false)?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Floor {
            flush: flush_of(options.flush_bytes),
            options,
            poll,
            timer,
            listener,
            listener_ready: true,
            peers: Slab::new(),
            next_id: ID_FIRST,
            schedule: Schedule::new(monotonic_ns(), TICK_RATE_HZ),
            flushes_owed: 0.0,
            round_left: 0,
            round_key: 0,
            scratch: vec![0; SCRATCH_BYTES],
            reads: 0,
            writes: 0,
        })
    }

    /// Returns the listening address.
    ///
    /// # Errors
    /// Does not fail for a listening socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until a signal ends the process.
    ///
    /// # Errors
    /// Polling fails.
    pub fn run(mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        self.timer.arm(self.schedule.deadline_ns())?;
        loop {
            let work_is_left = self.round_left > 0 || self.listener_ready;
            match self.poll.poll(&mut events, work_is_left.then_some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
                result => result?,
            }
            for event in &events {
                self.dispatch(event);
            }
            self.accept();
            for event in &events {
                self.write_acks(event.token());
            }
            self.tick_if_due()?;
            self.write_slice();
        }
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            LISTENER => self.listener_ready = true,
            TIMER => {}
            Token(key) => {
                if event.is_writable()
                    && let Some(peer) = self.peers.get_mut(key)
                {
                    peer.writable = true;
                }
                let ended = event.is_read_closed() || event.is_error();
                if event.is_readable() || ended {
                    self.read(key);
                }
                if ended {
                    // Data and the stream's end in one edge trigger no second event.
                    self.read(key);
                }
            }
        }
    }

    fn read(&mut self, key: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(peer) = self.peers.get_mut(key) {
            self.reads += 1;
            let result = match peer.read(&mut scratch) {
                // A client never has more pending than the buffer holds.
                Ok(Some(count)) => match peer.id {
                    Some(id) => peer.answer(&scratch[..count], id),
                    None => self.serve_http(key, &scratch[..count]),
                },
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if result.is_err() {
                self.peers.try_remove(key);
            }
        }
        self.scratch = scratch;
    }

    /// Upgrades, or responds with the counts. Any other request closes the connection.
    fn serve_http(&mut self, key: usize, bytes: &[u8]) -> io::Result<()> {
        let peer = &mut self.peers[key];
        peer.inbox.extend_from_slice(bytes);
        match parse_request(&peer.inbox) {
            Ok(Parsed::Incomplete) => Ok(()),
            Ok(Parsed::Complete { request, consumed }) => {
                peer.inbox.drain(..consumed);
                self.respond(key, &request)
            }
            Err(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn respond(&mut self, key: usize, request: &Request) -> io::Result<()> {
        if let Ok(accept_key) = upgrade(request) {
            let peer = &mut self.peers[key];
            write_upgrade_response(&mut peer.outbox, &accept_key, None, &Date::from_unix_s(0));
            append_first_state(&mut peer.outbox, self.next_id);
            peer.id = Some(self.next_id);
            self.next_id += 1;
            let early = std::mem::take(&mut peer.inbox);
            return peer.answer(&early, self.next_id - 1);
        }
        let found = request.path == "/metrics";
        let body = json!({
            "players": self.peers.iter().filter(|(_, peer)| peer.id.is_some()).count(),
            "socket_reads_total": self.reads,
            "socket_writes_total": self.writes,
        });
        let body = body.to_string();
        let response = Response {
            status: if found { Status::Ok } else { Status::NotFound },
            content_type: "application/json",
            headers: &[],
            body: if found { body.as_bytes() } else { b"{}" },
            head_only: false,
            keep_alive: false,
        };
        let peer = &mut self.peers[key];
        response.write(&mut peer.outbox, &Date::from_unix_s(0));
        peer.is_leaving = true;
        Ok(())
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BUDGET {
            if !self.listener_ready {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) if self.peers.len() < CONNECTIONS_MAX => {
                    let _ = stream.set_nodelay(true);
                    let entry = self.peers.vacant_entry();
                    let token = Token(entry.key());
                    let peer = entry.insert(Peer::new(stream));
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut peer.stream, token, interest).is_err() {
                        self.peers.remove(token.0);
                    }
                }
                // Over the limit: the connection is dropped, and the load test reports it.
                Ok(_) => {}
                Err(_) => self.listener_ready = false,
            }
        }
    }

    /// Writes the acks of a client for the MOVEs of this batch, and what an earlier write has left.
    fn write_acks(&mut self, Token(key): Token) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.writable && !peer.outbox.is_empty())
        else {
            return;
        };
        self.writes += 1;
        if peer.write_outbox().is_err() || (peer.is_leaving && peer.outbox.is_empty()) {
            self.peers.remove(key);
        }
    }

    /// Makes a share of the clients due for a flush in every tick.
    fn tick_if_due(&mut self) -> io::Result<()> {
        let Some(due) = self.schedule.poll(monotonic_ns()) else { return Ok(()) };
        if !self.flush.is_empty() && self.round_left == 0 {
            let interval_ticks = self.options.flush_interval_ms * f64::from(TICK_RATE_HZ) / 1e3;
            self.flushes_owed += f64::from(due.steps) * self.peers.len() as f64 / interval_ticks;
            // A late round flushes a client at most once.
            self.flushes_owed = self.flushes_owed.min(self.peers.len() as f64);
            self.round_left = self.flushes_owed as usize;
            self.flushes_owed -= self.round_left as f64;
        }
        self.timer.arm(self.schedule.deadline_ns())
    }

    /// Writes up to one slice of due flushes.
    fn write_slice(&mut self) {
        for _ in 0..WRITE_SLICE.min(self.round_left) {
            self.round_left -= 1;
            self.advance_round();
            let Some(peer) = self.peers.get_mut(self.round_key) else { continue };
            if peer.takes_flush() {
                self.writes += 1;
                if peer.flush(&self.flush).is_err() {
                    self.peers.remove(self.round_key);
                }
            }
        }
    }

    fn advance_round(&mut self) {
        let places = self.peers.capacity();
        for _ in 0..places {
            self.round_key = (self.round_key + 1) % places;
            if self.peers.contains(self.round_key) {
                return;
            }
        }
    }
}
