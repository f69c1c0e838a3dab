//! What the core needs of the operating system. The driver implements it over mio's sockets, the simulation over pipes with
//! faults. Calls are monomorphised: no message pays for a dynamic dispatch.

use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::capacity::Capacity;
use super::table::Token;
use crate::auth::KeySet;
use crate::cluster::bus::Bus;
use crate::config::Config;
use crate::server::core::assets::Assets;
use crate::sessions::SessionToken;

/// The listener that accepted a connection; it decides which resources are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listener {
    /// `HOST` and `PORT`: the game, files, health, and metrics unless `ADMIN_ADDR` is set.
    Public,
    /// `ADMIN_ADDR`: metrics and health.
    Admin,
}

/// The result of one `accept`.
#[derive(Debug)]
pub enum Accepted<S> {
    /// A connection, and the address of its peer.
    Connection(S, IpAddr),
    /// No connection waits.
    None,
    /// The connection failed before it was accepted; later ones are unaffected.
    Aborted,
    /// No descriptor is left; releasing a reserve descriptor helps.
    NoDescriptor(io::Error),
    /// The kernel is out of memory.
    NoMemory(io::Error),
}

/// A connected, non-blocking socket.
pub trait Socket: Read + Write + Debug {
    /// Shuts down the write side: the peer reads the end of the stream after the last byte.
    ///
    /// # Errors
    /// The peer is gone.
    fn shut_down_write(&mut self) -> io::Result<()>;

    /// Returns the address of this end; `None` if the peer is gone.
    fn local_ip(&self) -> Option<IpAddr>;
}

/// What the process uses of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory, in bytes; 0 if unknown.
    pub resident_bytes: u64,
    /// CPU time of all threads since the start, in nanoseconds.
    pub cpu_ns: u64,
    /// Log lines dropped since the start.
    pub log_lines_dropped: u64,
}

/// The configuration, the files and the keys of a reload, or all problems, one a line.
pub type Reloaded = Result<(Config, Assets, KeySet), String>;

/// The operating system.
pub trait System: Debug {
    /// A connection's socket.
    type Socket: Socket;
    /// The connection to the cluster's bus.
    type Bus: Bus;

    /// Returns the time of the monotonic clock, in nanoseconds.
    fn monotonic_ns(&self) -> u64;

    /// Returns the CPU time of this thread, in nanoseconds.
    fn thread_cpu_ns(&self) -> u64;

    /// Counts this thread's CPU time on from that of the loop's thread in another process, in nanoseconds.
    fn continue_cpu_time(&mut self, cpu_ns: u64);

    /// Returns the time since 1970; a clock before 1970 reads as 1970.
    fn unix_time(&self) -> Duration;

    /// Returns an unpredictable number, to seed hashes and spawn positions.
    fn random_seed(&mut self) -> u64;

    /// Generates a random session token; `None` if the system provides no random numbers.
    fn draw_token(&mut self) -> Option<SessionToken>;

    /// Returns what the process uses at present.
    fn usage(&self) -> Usage;

    /// Returns the port of the public listener.
    fn public_port(&self) -> u16;

    /// Returns the port of the admin listener, if there is one.
    fn admin_port(&self) -> Option<u16>;

    /// Accepts the next connection. A listener that does not exist has none.
    fn accept(&mut self, listener: Listener) -> Accepted<Self::Socket>;

    /// Stops listening at the public address, or listens again.
    ///
    /// # Errors
    /// Another process listens there without sharing the port.
    fn set_listening(&mut self, listens: bool) -> io::Result<()>;

    /// Starts reporting the readiness of a socket under this token.
    ///
    /// # Errors
    /// The kernel is out of memory.
    fn register(&mut self, socket: &mut Self::Socket, token: Token) -> io::Result<()>;

    /// Stops reporting the readiness of a socket.
    fn deregister(&mut self, socket: &mut Self::Socket);

    /// Opens a reserve descriptor. Returns `false` if none is left.
    fn hold_descriptor(&mut self) -> bool;

    /// Closes a reserve descriptor, so that the kernel can use it for the next connection.
    fn release_descriptor(&mut self);

    /// Raises the limit of open files for this number of players, as far as permitted, and returns the capacity. The players may be
    /// those of several processes.
    fn capacity_for(&mut self, players: usize, is_shared: bool) -> Capacity;

    /// Starts to read the configuration and the files again. `current` holds the files served until then.
    ///
    /// # Errors
    /// No thread can be started.
    fn begin_reload(&mut self, current: Arc<Assets>) -> io::Result<()>;

    /// Writes the bans to the state directory, if there is one, without blocking.
    fn save_bans(&mut self, text: String);

    /// Returns the result of the reload in progress, once it has one.
    fn finish_reload(&mut self) -> Option<Reloaded>;
}
