//! The operating system's side of the server: `epoll`, timer, signals, listeners, sockets, clocks and files. It is the only user
//! of mio, nix and rustix. The [`core`](crate::server::core) decides everything else.

pub mod assets;
mod bans_file;
mod bus;
pub mod capacity;
mod check;
mod control;
pub mod handover;
pub mod health_check;
mod keys;
mod linux;
mod listener;
pub mod os;
mod reload;
mod sessions;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mio::event::{Event, Events};
use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::config::Config;
use crate::limits::{CONTROL_CLIENTS_MAX, EVENTS_PER_POLL, HANDOVER_MS_MAX};
use crate::ops::logging::LogHandle;
use crate::ops::watchdog::Watchdog;
use crate::replication::pool::Pool;
use crate::server::core::assets::Assets;
use crate::server::core::capacity::Capacity;
use crate::server::core::image::{self, Refusal, Terms};
use crate::server::core::system::Listener;
use crate::server::core::table::{self, RESERVED_FROM};
use crate::server::core::{Core, Readiness, build_pages};
use crate::sessions::Sessions;
pub use check::check;
use control::{Control, Event as ControlEvent};
use handover::{Channel, Taken};
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
const CONTROL: Token = Token(RESERVED_FROM + 5);
/// First of the tokens of its clients.
const CONTROL_CLIENTS: usize = RESERVED_FROM + 6;
const CONTROL_CLIENTS_END: usize = CONTROL_CLIENTS + CONTROL_CLIENTS_MAX;

const _: () = assert!(CONTROL_CLIENTS_END - RESERVED_FROM <= 15, "enough tokens are reserved");

/// Why the event loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A signal started a shutdown, and the drain ended.
    ShutDown,
    /// A second signal, with this number, aborted the drain.
    Aborted(u32),
    /// Another process has taken over.
    HandedOver,
}

/// A server whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    timer: TickTimer,
    /// Time for which the timer is armed, in nanoseconds of [`os::monotonic_ns`].
    armed_ns: u64,
    signals: Signals,
    /// Why the loop ends before the drain does.
    ended: Option<Outcome>,
    control: Option<Control>,
    /// The process before this one, which exits once this runs, and the time at which its loop stopped.
    predecessor: Option<(Channel, u64)>,
    /// The process that waits to take over.
    successor: Option<Channel>,
    core: Core<Linux>,
}

impl Server {
    /// Binds the listeners. `signals` must have been created before any other thread. `capacity` caps the number of players.
    /// `read_config` reads the configuration again for a reload.
    ///
    /// # Errors
    /// Returns an error if an address can't be bound, the keys can't be read, or no descriptors are left; the message names
    /// the settings.
    pub fn bind(
        config: Config,
        capacity: Capacity,
        assets: Assets,
        signals: Signals,
        log: LogHandle,
        read_config: ReadConfig,
    ) -> io::Result<Self> {
        let keys = keys::load(&config).map_err(io::Error::other)?;
        let mut listeners = Vec::new();
        for place in listener::places(&config) {
            listeners.push(place.bind()?);
        }
        let admin = (listeners.len() > 1).then(|| listeners.remove(1));
        let (public, timer) = (listeners.remove(0), TickTimer::new()?);
        let state_dir = config.state_dir.as_deref();
        let linux = Linux::new(public, admin, ReloadThread::new(read_config), log, state_dir)?;
        let cluster = bus::join(&config, linux.poll.registry(), None)?;
        let sessions = sessions::load(&config);
        let control = config.control_socket().and_then(|path| control::listen(&path, false));
        let mut core = Core::new(linux, config, capacity, assets, sessions, cluster).with_keys(keys);
        core.restore_bans(&core.system().bans.load());
        Self::with(timer, signals, control, core)
    }

    /// Takes over everything from the running server with this configuration, which then exits. The arguments are those of
    /// [`Server::bind`].
    ///
    /// # Errors
    /// Returns an error if no server answers, it refuses, or a step fails. The running server goes on then.
    pub fn take_over(
        config: Config,
        capacity: Capacity,
        assets: Assets,
        signals: Signals,
        log: LogHandle,
        read_config: ReadConfig,
    ) -> io::Result<Self> {
        let path = config.control_socket().ok_or_else(|| io::Error::other("CONTROL_SOCKET is not set"))?;
        let keys = keys::load(&config).map_err(io::Error::other)?;
        let timer = TickTimer::new()?;
        build_pages(&config);
        handover::warm(&path);
        let Taken { mut channel, public, admin, mut sockets, node, stopped_ns } =
            handover::take(&path, Terms::of(&config))?;
        // While the old process makes the image.
        let state_dir = config.state_dir.as_deref();
        let linux = Linux::new(public, admin, ReloadThread::new(read_config), log, state_dir)?;
        sockets.iter_mut().try_for_each(|(token, socket)| linux.report(socket, *token))?;
        let cluster = bus::join(&config, linux.poll.registry(), node)?;
        let image = handover::take_image(&mut channel)?;
        let parts = (image.as_slice(), sockets);
        let unsaved = Sessions::new(config.resume_ttl_s, None);
        let mut core = image::resume(linux, config, capacity, assets, unsaved, cluster, parts)
            .map_err(|refusal| io::Error::other(refusal.to_string()))?
            .with_keys(keys);
        channel.commit()?;
        // The old process has closed the file, and leaves the path of the control socket.
        let sessions = sessions::open(core.config());
        image::replace_session_store(&mut core, sessions);
        let mut server = Self::with(timer, signals, control::listen(&path, true), core)?;
        server.predecessor = Some((channel, stopped_ns));
        Ok(server)
    }

    fn with(
        timer: TickTimer,
        signals: Signals,
        mut control: Option<Control>,
        core: Core<Linux>,
    ) -> io::Result<Self> {
        let registry = core.system().poll.registry();
        registry.register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&signals.raw_fd()), SIGNALS, Interest::READABLE)?;
        if let Some(control) = &mut control {
            registry.register(control.listener(), CONTROL, Interest::READABLE)?;
        }
        Ok(Self {
            timer,
            armed_ns: 0,
            signals,
            ended: None,
            control,
            predecessor: None,
            successor: None,
            core,
        })
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
        if let Some((channel, stopped_ns)) = self.predecessor.take() {
            drop(channel);
            let pause_ms = (os::monotonic_ns() - stopped_ns) / 1_000_000;
            log::info!("took over {} players; the pause was {pause_ms} ms", self.core.engine().players());
        }
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.core.is_over() && self.ended.is_none() {
            self.arm_timer()?;
            self.wait(&mut events, &pool)?;
            self.dispatch(&events);
            self.core.turn(&mut pool);
            self.work_for_operators();
            self.hand_over(&pool);
        }
        Ok(self.ended.unwrap_or(Outcome::ShutDown))
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
                CONTROL => {
                    let registry = self.core.system().poll.registry();
                    self.control.iter_mut().for_each(|control| control.accept(registry));
                }
                Token(CONTROL_CLIENTS..CONTROL_CLIENTS_END) => {
                    let place = event.token().0 - CONTROL_CLIENTS;
                    self.control.iter_mut().for_each(|control| control.client_ready(place));
                }
                token => self.core.connection_ready(table::Token(token.0), readiness_of(event)),
            }
        }
    }

    /// Handles signals: the first stop signal starts the drain, a second one ends it.
    fn handle_signals(&mut self) {
        while let Some(request) = self.signals.next() {
            match request {
                SignalRequest::Stop(signal) if self.core.is_draining() => {
                    self.ended = Some(Outcome::Aborted(signal));
                }
                SignalRequest::Stop(_) => self.core.drain(),
                SignalRequest::Reload => {
                    self.reopen_log();
                    self.core.begin_reload();
                }
            }
        }
    }

    fn reopen_log(&self) {
        if self.core.system().log.reopen() {
            log::info!("reload: reopening LOG_FILE");
        }
    }

    /// Serves the control socket. Another process takes over once the core can be handed over.
    fn work_for_operators(&mut self) {
        let Some(control) = &mut self.control else { return };
        match control.work(&mut self.core) {
            None => {}
            Some(ControlEvent::Reload) => self.reopen_log(),
            Some(ControlEvent::Takeover(terms, stream)) => self.accept_successor(terms, stream),
        }
    }

    fn accept_successor(&mut self, terms: Result<Terms, Refusal>, stream: UnixStream) {
        let mut channel = Channel::new(stream, Duration::from_millis(HANDOVER_MS_MAX));
        let own = Terms::of(self.core.config());
        match terms.and_then(|terms| own.check(&terms)) {
            Ok(()) => self.successor = Some(channel),
            Err(refusal) => {
                log::warn!("takeover refused: {refusal}");
                handover::refuse(&mut channel, &refusal.to_string());
            }
        }
    }

    /// Hands the game over to the process that waits, if there is one and the core can be handed over. If that fails, this
    /// process goes on.
    fn hand_over(&mut self, pool: &Pool) {
        if self.core.is_draining() {
            // The new process reads the end of the stream.
            self.successor = None;
        }
        let Some(mut channel) = self.successor.take_if(|_| image::is_possible(&self.core, pool)) else {
            return;
        };
        let stopped_ns = os::monotonic_ns();
        // Closes the file, which the new process opens.
        self.core.system_mut().bans.finish();
        let ttl_s = self.core.config().resume_ttl_s;
        image::replace_session_store(&mut self.core, Sessions::new(ttl_s, None));
        match handover::give(&self.core, &mut channel, stopped_ns) {
            Ok(()) => {
                self.ended = Some(Outcome::HandedOver);
                self.control.iter_mut().for_each(Control::hand_over);
            }
            Err(error) => {
                log::error!("takeover failed, and this process goes on: {error}");
                image::count_failure(&mut self.core);
                let sessions = sessions::open(self.core.config());
                image::replace_session_store(&mut self.core, sessions);
            }
        }
    }
}

fn readiness_of(event: &Event) -> Readiness {
    let has_ended = event.is_read_closed() || event.is_error();
    Readiness { is_readable: event.is_readable() || has_ended, is_writable: event.is_writable(), has_ended }
}
