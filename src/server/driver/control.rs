//! The control socket: a Unix stream socket for processes of the same user and of root. Clients send lines of JSON: commands of
//! operators, see [`crate::control`], and the request of a process to take over, see [`super::handover`].
//!
//! It is served behind the game: one piece of work a turn, and then not for a multiple of its duration. Clients are few, lines are
//! short, and a client is read only once it has taken its last answer.

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};

use mio::event::Source as _;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use nix::unistd::getuid;
use rustix::net::sockopt::socket_peercred;
use serde_json::{Value as Json, json};

use super::linux::Linux;
use super::{CONTROL_CLIENTS, os};
use crate::control::{Command, answer};
use crate::limits::{CONTROL_CLIENTS_MAX, CONTROL_LINE_BYTES_MAX, CONTROL_PAUSE_FACTOR};
use crate::server::core::Core;
use crate::server::core::control::{List, Progress};
use crate::server::core::image::{Refusal, Terms};
use crate::server::core::table;

/// The listening socket and its clients.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    listener: UnixListener,
    clients: [Option<Client>; CONTROL_CLIENTS_MAX],
    /// The client that is served next.
    next: usize,
    /// No work before this time, in nanoseconds of the monotonic clock.
    paused_until_ns: u64,
    /// The path belongs to another process now.
    is_handed_over: bool,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    uid: u32,
    /// Time of the last byte from it, in nanoseconds of the monotonic clock.
    heard_ns: u64,
    input: Vec<u8>,
    has_ended: bool,
    output: Vec<u8>,
    list: Option<Box<List>>,
    /// The player whose messages it follows.
    traced: Option<table::Token>,
}

/// What a piece of work has led to, for the driver.
#[derive(Debug)]
pub(super) enum Event {
    /// A process asks to take over, on this connection in blocking mode.
    /// Terms of another version are refused.
    Takeover(Result<Terms, Refusal>, blocking::UnixStream),
    /// The log file has to be opened again, as for every reload.
    Reload,
}

/// Whether the other end of a socket belongs to a process of this user.
pub(super) fn is_same_user(socket: &impl AsFd) -> bool {
    peer(socket) == Some(getuid().as_raw())
}

/// Returns the user at the other end of a socket.
fn peer(socket: &impl AsFd) -> Option<u32> {
    socket_peercred(socket).ok().map(|peer| peer.uid.as_raw())
}

/// Listens at this path. A failure is logged: the server serves without operators and takeovers.
pub(super) fn listen(path: &Path, is_takeover: bool) -> Option<Control> {
    Control::listen(path, is_takeover)
        .map_err(|error| {
            log::warn!("CONTROL_SOCKET={}: {error}; ctl and takeovers are off", path.display());
        })
        .ok()
}

impl Control {
    /// Listens at this path, in place of a socket at which nobody listens. Another process that listens there keeps it,
    /// unless it hands over.
    ///
    /// # Errors
    /// The path is in use, or the directory can't be written.
    fn listen(path: &Path, is_takeover: bool) -> io::Result<Self> {
        if !is_takeover && blocking::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another server listens there"));
        }
        // Bound under another name, and renamed: at no time is the path without a socket.
        let bound = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&bound);
        let listener = UnixListener::bind(&bound)?;
        fs::set_permissions(&bound, fs::Permissions::from_mode(0o600))?;
        fs::rename(&bound, path)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            clients: [const { None }; CONTROL_CLIENTS_MAX],
            next: 0,
            paused_until_ns: 0,
            is_handed_over: false,
        })
    }

    /// Returns the listening socket, to register it.
    pub fn listener(&mut self) -> &mut UnixListener {
        &mut self.listener
    }

    /// Accepts the clients that wait. Without room, a new one displaces the one that has been silent for longest.
    pub fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let Some(uid) = peer(&stream).filter(|uid| *uid == 0 || *uid == getuid().as_raw()) else {
                let _ = stream.write(answer(Err("permission denied".to_owned())).as_bytes());
                continue;
            };
            let place = self.place();
            let interest = Interest::READABLE | Interest::WRITABLE;
            if stream.register(registry, Token(CONTROL_CLIENTS + place), interest).is_ok() {
                let client = Client {
                    stream,
                    uid,
                    heard_ns: os::monotonic_ns(),
                    input: Vec::new(),
                    has_ended: false,
                    output: Vec::new(),
                    list: None,
                    traced: None,
                };
                self.clients[place] = Some(client);
            }
        }
    }

    /// Returns a free place, or that of the client that has been silent for longest.
    fn place(&self) -> usize {
        let heard_ns = |client: &Option<Client>| client.as_ref().map_or(0, |client| client.heard_ns);
        let places = self.clients.iter().enumerate();
        places.min_by_key(|(_, client)| heard_ns(client)).map_or(0, |(place, _)| place)
    }

    /// Reads what a client has sent, and writes what it takes.
    pub fn client_ready(&mut self, place: usize) {
        if let Some(client) = &mut self.clients[place]
            && client.exchange().is_err()
        {
            self.clients[place] = None;
        }
    }

    /// Does one piece of work, if its time has come: a command, or a part of a list.
    pub fn work(&mut self, core: &mut Core<Linux>) -> Option<Event> {
        if !self.clients.iter().flatten().any(|client| client.traced.is_some()) {
            core.end_trace();
        }
        if self.clients.iter().all(Option::is_none) {
            return None;
        }
        let start_ns = os::monotonic_ns();
        if start_ns < self.paused_until_ns {
            return None;
        }
        let place = (0..CONTROL_CLIENTS_MAX)
            .map(|offset| (self.next + offset) % CONTROL_CLIENTS_MAX)
            .find(|&place| self.clients[place].as_ref().is_some_and(Client::has_work))?;
        self.next = place + 1;
        let client = self.clients[place].as_mut()?;
        let event = match client.work(core) {
            Some(Done::Takeover(terms)) => {
                let client = self.clients[place].take()?;
                client
                    .into_blocking(core.system().poll.registry())
                    .map(|stream| Event::Takeover(terms, stream))
            }
            done => {
                if client.exchange().is_err() {
                    self.clients[place] = None;
                }
                done.map(|_| Event::Reload)
            }
        };
        let end_ns = os::monotonic_ns();
        self.paused_until_ns = end_ns + (end_ns - start_ns) * CONTROL_PAUSE_FACTOR;
        event
    }

    /// Leaves the path to the process that has taken over.
    pub fn hand_over(&mut self) {
        self.is_handed_over = true;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if !self.is_handed_over {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A piece of work that the client can't do alone.
enum Done {
    Takeover(Result<Terms, Refusal>),
    Reload,
}

impl Client {
    fn has_work(&self) -> bool {
        let has_request = self.traced.is_none() && self.input.contains(&b'\n');
        self.output.is_empty() && (self.list.is_some() || self.traced.is_some() || has_request)
    }

    /// Writes the answer, and reads once it is taken.
    ///
    /// # Errors
    /// The client is gone, has sent an end without a whole line, or a line that is too long.
    fn exchange(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 512];
        while !self.has_ended && self.list.is_none() && !self.input.contains(&b'\n') {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    self.heard_ns = os::monotonic_ns();
                    self.input.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.input.len() > CONTROL_LINE_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        if self.has_ended && (self.traced.is_some() || !self.has_work()) {
            Err(ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    fn work(&mut self, core: &mut Core<Linux>) -> Option<Done> {
        if let Some(list) = &mut self.list {
            if let Some(result) = core.advance_list(list) {
                self.list = None;
                self.answer(Ok(result));
            }
            return None;
        }
        if let Some(traced) = self.traced {
            if let Some(lines) = core.take_trace(traced) {
                for line in lines {
                    self.answer(Ok(line));
                }
            } else {
                self.traced = None;
                self.answer(Ok(json!({ "ended": true })));
            }
            return None;
        }
        let end = self.input.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.input.drain(..=end).collect();
        if let Some(terms) = takeover(&line) {
            return Some(Done::Takeover(terms));
        }
        let command = match Command::parse(&line) {
            Ok(command) => command,
            Err(problem) => {
                self.answer(Err(problem));
                return None;
            }
        };
        let is_reload = matches!(command, Command::Reload {});
        match core.control(command, self.uid) {
            Ok(Progress::List(list)) => self.list = Some(list),
            Ok(Progress::Done(result)) => self.answer(Ok(result)),
            Ok(Progress::Trace(result, token)) => {
                self.traced = Some(token);
                self.answer(Ok(result));
            }
            Err(problem) => self.answer(Err(problem)),
        }
        is_reload.then_some(Done::Reload)
    }

    fn answer(&mut self, result: Result<Json, String>) {
        self.output.extend(answer(result).into_bytes());
    }

    fn into_blocking(mut self, registry: &Registry) -> Option<blocking::UnixStream> {
        let _ = self.stream.deregister(registry);
        let stream = blocking::UnixStream::from(OwnedFd::from(self.stream));
        stream.set_nonblocking(false).ok()?;
        Some(stream)
    }
}

/// Returns the terms of a process that asks to take over, if a line is that.
fn takeover(line: &[u8]) -> Option<Result<Terms, Refusal>> {
    let request: Json = serde_json::from_slice(line).ok()?;
    if request["command"] != "takeover" {
        return None;
    }
    let terms = serde_json::from_value(request).map(|super::handover::Request::Takeover { terms }| terms);
    Some(terms.map_err(|_| Refusal::Version))
}
