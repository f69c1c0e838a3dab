//! The control socket: a Unix stream socket for processes of the same user. A client sends one line of JSON, see [`Request`].
//!
//! One client is served at a time, and without blocking. The next client displaces a client that sends no whole line.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry};
use nix::unistd::getuid;
use rustix::net::sockopt::socket_peercred;

use super::CONTROL_CLIENT;
use super::handover::Request;
use crate::limits::CONTROL_LINE_BYTES_MAX;

/// The listening socket, and the client in progress.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    listener: UnixListener,
    client: Option<Client>,
    /// The path belongs to another process now.
    is_handed_over: bool,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
}

/// Whether the other end of a socket belongs to a process of this user.
pub(super) fn is_same_user(socket: &impl AsFd) -> bool {
    socket_peercred(socket).is_ok_and(|peer| peer.uid.as_raw() == getuid().as_raw())
}

/// Listens at this path. A failure is logged: the server serves without takeovers.
pub(super) fn listen(path: &Path, is_takeover: bool) -> Option<Control> {
    Control::listen(path, is_takeover)
        .map_err(|error| log::warn!("CONTROL_SOCKET={}: {error}; takeovers are off", path.display()))
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
        Ok(Self { path: path.to_owned(), listener, client: None, is_handed_over: false })
    }

    /// Returns the listening socket, to register it.
    pub fn listener(&mut self) -> &mut UnixListener {
        &mut self.listener
    }

    /// Accepts the clients that wait. The latest one is served.
    pub fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            if is_same_user(&stream)
                && registry.register(&mut stream, CONTROL_CLIENT, Interest::READABLE).is_ok()
            {
                self.client = Some(Client { stream, line: Vec::new() });
            }
        }
    }

    /// Reads from the client. Returns its request, and its connection in blocking mode, once the line is complete.
    pub fn read(&mut self, registry: &Registry) -> Option<(Request, blocking::UnixStream)> {
        let client = self.client.as_mut()?;
        let (mut buffer, mut has_ended) = ([0; 512], false);
        loop {
            match client.stream.read(&mut buffer) {
                Ok(0) => {
                    has_ended = true;
                    break;
                }
                Ok(count) => client.line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.drop_client(),
            }
            if client.line.len() > CONTROL_LINE_BYTES_MAX {
                return self.drop_client();
            }
        }
        let Some(line) = client.line.strip_suffix(b"\n") else {
            return if has_ended { self.drop_client() } else { None };
        };
        let request = serde_json::from_slice(line).unwrap_or(Request::Unknown);
        let mut stream = self.client.take()?.stream;
        let _ = registry.deregister(&mut stream);
        let stream = blocking::UnixStream::from(OwnedFd::from(stream));
        stream.set_nonblocking(false).ok()?;
        Some((request, stream))
    }

    fn drop_client<T>(&mut self) -> Option<T> {
        self.client = None;
        None
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
