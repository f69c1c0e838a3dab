//! The operating system as the core sees it: `epoll` by mio, clocks, descriptors and files.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayVec;
use mio::net::TcpListener;
use mio::{Interest, Poll};

use super::bans_file::BansFile;
use super::reload::ReloadThread;
use super::socket::TcpSocket;
use super::{ADMIN_LISTENER, LISTENER, capacity, listener, os};
use crate::cluster::link::Link;
use crate::limits::RESERVE_DESCRIPTORS;
use crate::ops::logging::LogHandle;
use crate::server::core::assets::Assets;
use crate::server::core::capacity::Capacity;
use crate::server::core::system::{Accepted, Listener, Reloaded, System, Usage};
use crate::server::core::table::Token;
use crate::sessions::SessionToken;

/// The descriptors of the process that are not connections.
#[derive(Debug)]
pub struct Linux {
    pub(super) poll: Poll,
    pub(super) public: TcpListener,
    pub(super) admin: Option<TcpListener>,
    /// Descriptors held in reserve, each open on `/dev/null`.
    pub(super) reserve: ArrayVec<File, RESERVE_DESCRIPTORS>,
    pub(super) reload: ReloadThread,
    pub(super) log: LogHandle,
    pub(super) bans: BansFile,
    /// CPU time of the loops of earlier processes, in nanoseconds.
    pub(super) earlier_cpu_ns: u64,
}

impl Linux {
    /// Creates a poll, and registers the listeners.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new(
        mut public: TcpListener,
        mut admin: Option<TcpListener>,
        reload: ReloadThread,
        log: LogHandle,
        state_dir: Option<&Path>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut public, LISTENER, Interest::READABLE)?;
        if let Some(admin) = &mut admin {
            poll.registry().register(admin, ADMIN_LISTENER, Interest::READABLE)?;
        }
        let (reserve, bans) = (ArrayVec::new(), BansFile::new(state_dir));
        Ok(Self { poll, public, admin, reserve, reload, log, bans, earlier_cpu_ns: 0 })
    }

    /// Reports the readiness of a socket with this token.
    ///
    /// # Errors
    /// The kernel is out of memory.
    pub(super) fn report(&self, socket: &mut TcpSocket, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket.stream(), mio::Token(token.0), interest)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }
}

impl System for Linux {
    type Socket = TcpSocket;
    type Bus = Link;

    fn monotonic_ns(&self) -> u64 {
        os::monotonic_ns()
    }

    fn thread_cpu_ns(&self) -> u64 {
        self.earlier_cpu_ns + os::thread_cpu_ns()
    }

    fn continue_cpu_time(&mut self, cpu_ns: u64) {
        self.earlier_cpu_ns = cpu_ns.saturating_sub(os::thread_cpu_ns());
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn random_seed(&mut self) -> u64 {
        // The standard library seeds its hashers from the operating system, and can't fail.
        RandomState::new().hash_one(0)
    }

    fn draw_token(&mut self) -> Option<SessionToken> {
        SessionToken::draw()
    }

    fn usage(&self) -> Usage {
        Usage {
            resident_bytes: os::resident_bytes(),
            cpu_ns: os::process_cpu_ns(),
            log_lines_dropped: self.log.lines_dropped(),
        }
    }

    fn public_port(&self) -> u16 {
        self.local_addr().map_or(0, |address| address.port())
    }

    fn admin_port(&self) -> Option<u16> {
        self.admin.as_ref()?.local_addr().ok().map(|address| address.port())
    }

    fn accept(&mut self, at: Listener) -> Accepted<TcpSocket> {
        match (at, &self.admin) {
            (Listener::Public, _) => listener::accept(&self.public),
            (Listener::Admin, Some(admin)) => listener::accept(admin),
            (Listener::Admin, None) => Accepted::None,
        }
    }

    fn set_listening(&mut self, listens: bool) -> io::Result<()> {
        let change = if listens { os::listen_again } else { os::stop_listening };
        change(&self.public)
    }

    fn register(&mut self, socket: &mut TcpSocket, token: Token) -> io::Result<()> {
        // Fails only if the peer has disconnected, which the first read reports.
        let _ = socket.stream().set_nodelay(true);
        self.report(socket, token)
    }

    fn deregister(&mut self, socket: &mut TcpSocket) {
        // Closing the descriptor would deregister it as well, but mio reports errors only when it deregisters.
        if let Err(error) = self.poll.registry().deregister(socket.stream()) {
            log::debug!("deregistering a socket failed: {error}");
        }
    }

    fn hold_descriptor(&mut self) -> bool {
        File::open("/dev/null").is_ok_and(|file| self.reserve.try_push(file).is_ok())
    }

    fn release_descriptor(&mut self) {
        self.reserve.pop();
    }

    fn capacity_for(&mut self, players: usize, is_shared: bool) -> Capacity {
        capacity::raise_for(players, is_shared)
    }

    fn begin_reload(&mut self, current: Arc<Assets>) -> io::Result<()> {
        self.reload.begin(current)
    }

    fn save_bans(&mut self, text: String) {
        self.bans.save(text);
    }

    fn finish_reload(&mut self) -> Option<Reloaded> {
        self.reload.take_result()
    }
}
