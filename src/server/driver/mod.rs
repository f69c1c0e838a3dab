//! The operating system's side of the server: `epoll`, timer, signals, listeners, sockets, clocks and files. It is the only user
//! of mio, nix and rustix. The [`core`](crate::server::core) decides everything else.

pub mod assets;
mod bus;
pub mod capacity;
mod check;
pub mod health_check;
mod linux;
mod listener;
pub mod os;
mod reload;
mod sessions;
mod socket;

use std::io;
use std::net::SocketAddr;

use arrayvec::ArrayVec;
use mio::event::{Event, Events};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::config::Config;
use crate::limits::EVENTS_PER_POLL;
use crate::ops::logging::LogHandle;
use crate::ops::watchdog::Watchdog;
use crate::replication::pool::Pool;
use crate::server::core::assets::Assets;
use crate::server::core::capacity::Capacity;
use crate::server::core::system::Listener;
use crate::server::core::table::{self, RESERVED_FROM};
use crate::server::core::{Core, Readiness};
pub use check::check;
use linux::Linux;
use os::{SignalRequest, Signals, TickTimer};
pub use reload::ReadConfig;
use reload::ReloadThread;

const LISTENER: Token = Token(RESERVED_FROM);
const TIMER: Token = Token(RESERVED_FROM + 1);
const SIGNALS: Token = Token(RESERVED_FROM + 2);
const ADMIN_LISTENER: Token = Token(RESERVED_FROM + 3);
/// Token of the waker that the cluster's bus uses.
const BUS: Token = Token(RESERVED_FROM + 4);

/// Why the event loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A signal started a shutdown, and the drain ended.
    ShutDown,
    /// A second signal, with this number, aborted the drain.
    Aborted(u32),
}

/// A server whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    timer: TickTimer,
    /// Time for which the timer is armed, in nanoseconds of [`os::monotonic_ns`].
    armed_ns: u64,
    signals: Signals,
    /// The signal that aborted the drain.
    aborted_by: Option<u32>,
    core: Core<Linux>,
}

impl Server {
    /// Binds the listeners. `signals` must have been created before any other thread. `capacity` caps the number of players.
    /// `read_config` reads the configuration again for a reload.
    ///
    /// # Errors
    /// Returns an error if an address can't be bound or no descriptors are left; the message names the settings.
    pub fn bind(
        config: Config,
        capacity: Capacity,
        assets: Assets,
        signals: Signals,
        log: LogHandle,
        read_config: ReadConfig,
    ) -> io::Result<Self> {
        let (poll, timer) = (Poll::new()?, TickTimer::new()?);
        let registry = poll.registry();
        let mut listeners = Vec::new();
        for ((address, settings), token) in
            listener::addresses(&config).into_iter().zip([LISTENER, ADMIN_LISTENER])
        {
            let mut listener = listener::bind(address, &settings)?;
            registry.register(&mut listener, token, Interest::READABLE)?;
            listeners.push(listener);
        }
        let admin = (listeners.len() > 1).then(|| listeners.remove(1));
        let public = listeners.remove(0);
        registry.register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&signals.raw_fd()), SIGNALS, Interest::READABLE)?;
        let cluster = bus::join(&config, registry)?;
        let sessions = sessions::sessions_from(&config);
        let reload = ReloadThread::new(read_config);
        let linux = Linux { poll, public, admin, reserve: ArrayVec::new(), reload, log };
        let core = Core::new(linux, config, capacity, assets, sessions, cluster);
        Ok(Self { timer, armed_ns: 0, signals, aborted_by: None, core })
    }

    /// Returns the address of the public listener, with the actual port if the configured port is 0.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.core.system().local_addr()
    }

    /// Returns the address of the admin listener, if there is one.
    ///
    /// # Errors
    /// None for a listening socket.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.core.system().admin.as_ref().map(mio::net::TcpListener::local_addr).transpose()
    }

    /// Runs the event loop until a signal shuts the server down.
    ///
    /// # Errors
    /// Returns an error if polling or starting a thread fails. No client can end the loop.
    pub fn run(self) -> io::Result<Outcome> {
        // The watchdog runs until the workers have ended.
        let _watchdog = Watchdog::start(self.core.tick_counter())?;
        std::thread::scope(|scope| {
            let pool = Pool::spawn(scope, self.core.workers())?;
            self.run_loop(pool)
        })
    }

    /// Waits for events, and gives the core its turn, until the server has shut down.
    fn run_loop(mut self, mut pool: Pool) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.core.is_over() && self.aborted_by.is_none() {
            self.arm_timer()?;
            self.wait(&mut events, &pool)?;
            self.dispatch(&events);
            self.core.turn(&mut pool);
        }
        Ok(self.aborted_by.map_or(Outcome::ShutDown, Outcome::Aborted))
    }

    /// Arms the timer for the next tick, once. It is a polled descriptor, so a wait ends with the next tick at the latest.
    fn arm_timer(&mut self) -> io::Result<()> {
        let deadline_ns = self.core.next_tick_ns();
        if deadline_ns != self.armed_ns {
            self.timer.arm(deadline_ns)?;
            self.armed_ns = deadline_ns;
        }
        Ok(())
    }

    /// Polls for events: without blocking if work is left, and for a bounded time if HTTP work waits for its budget.
    fn wait(&mut self, events: &mut Events, pool: &Pool) -> io::Result<()> {
        let timeout = self.core.begin_wait(pool);
        let is_complete = match self.core.system_mut().poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                false
            }
            result => {
                result?;
                // A full batch may have left out ready sockets.
                events.iter().count() < EVENTS_PER_POLL
            }
        };
        self.core.end_wait(is_complete);
        Ok(())
    }

    /// Passes readiness and signals to the core.
    fn dispatch(&mut self, events: &Events) {
        for event in events {
            self.core.prefetch(table::Token(event.token().0));
        }
        for event in events {
            match event.token() {
                LISTENER => self.core.listener_ready(Listener::Public),
                ADMIN_LISTENER => self.core.listener_ready(Listener::Admin),
                // The core reads the clock and polls the bus in every turn.
                TIMER | BUS => {}
                SIGNALS => self.handle_signals(),
                token => self.core.connection_ready(table::Token(token.0), readiness_of(event)),
            }
        }
    }

    /// Handles signals: the first stop signal starts the drain, a second one ends it.
    fn handle_signals(&mut self) {
        while let Some(request) = self.signals.next() {
            match request {
                SignalRequest::Stop(signal) if self.core.is_draining() => self.aborted_by = Some(signal),
                SignalRequest::Stop(_) => self.core.drain(),
                SignalRequest::Reload => {
                    if self.core.system().log.reopen() {
                        log::info!("SIGHUP: reopening LOG_FILE");
                    }
                    self.core.begin_reload();
                }
            }
        }
    }
}

fn readiness_of(event: &Event) -> Readiness {
    let has_ended = event.is_read_closed() || event.is_error();
    Readiness { is_readable: event.is_readable() || has_ended, is_writable: event.is_writable(), has_ended }
}
