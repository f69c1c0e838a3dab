//! The new process: it asks, receives everything, and commits once it could go on.

use std::io;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};

use super::{Answer, Channel, Request};
use crate::cluster::message::NodeId;
use crate::limits::HANDOVER_MS_MAX;
use crate::server::core::image::Terms;
use crate::server::core::table::Token;
use crate::server::driver::control::is_same_user;
use crate::server::driver::socket::TcpSocket;

/// What the old process sends before the image. It goes on unless [`Channel::commit`] succeeds.
#[derive(Debug)]
pub struct Taken {
    pub(in crate::server::driver) channel: Channel,
    pub(in crate::server::driver) public: TcpListener,
    pub(in crate::server::driver) admin: Option<TcpListener>,
    /// The sockets of all connections, with their tokens.
    pub(in crate::server::driver) sockets: Vec<(Token, TcpSocket)>,
    /// This node's id in the cluster.
    pub(in crate::server::driver) node: Option<NodeId>,
    /// See [`super::Contents`].
    pub(in crate::server::driver) stopped_ns: u64,
}

/// Asks the server that listens at this path for everything it has, and receives the sockets.
///
/// # Errors
/// Nobody listens there, the server refuses, or it is too slow; the message is for the operator.
pub fn take(path: &Path, terms: Terms) -> io::Result<Taken> {
    let stream = UnixStream::connect(path).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("no server answers at CONTROL_SOCKET={}: {error}", path.display()),
        )
    })?;
    // An image of another user could name any sockets and any world.
    if !is_same_user(&stream) {
        return Err(io::Error::other(format!("CONTROL_SOCKET={} is another user's", path.display())));
    }
    let mut channel = Channel::new(stream, Duration::from_millis(HANDOVER_MS_MAX));
    channel.send_line(&Request::Takeover { terms })?;
    let contents = match channel.receive_line()? {
        Answer::Accepted(contents) => contents,
        Answer::Refused { reason } => {
            return Err(io::Error::other(format!("the running server refuses: {reason}")));
        }
    };
    let mut tokens = vec![0; contents.sockets * size_of::<u64>()];
    channel.receive(&mut tokens)?;
    let tokens = tokens.as_chunks().0.iter().map(|&token| Token(u64::from_le_bytes(token) as usize));
    let listeners = 1 + usize::from(contents.has_admin);
    let mut descriptors = channel.receive_descriptors(listeners + contents.sockets)?.into_iter();
    let public = listener_of(descriptors.next())?;
    let admin = contents.has_admin.then(|| listener_of(descriptors.next())).transpose()?;
    let sockets =
        descriptors.map(|descriptor| TcpSocket::new(TcpStream::from_std(net::TcpStream::from(descriptor))));
    let sockets = tokens.zip(sockets).collect();
    Ok(Taken { channel, public, admin, sockets, node: contents.node, stopped_ns: contents.stopped_ns })
}

/// Receives the image, which the old process makes after it has sent the sockets.
///
/// # Errors
/// The old process is gone, or too slow.
pub(in crate::server::driver) fn take_image(channel: &mut Channel) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    channel.receive(&mut length)?;
    let mut image = vec![0; u64::from_le_bytes(length) as usize];
    channel.receive(&mut image)?;
    Ok(image)
}

fn listener_of(descriptor: Option<OwnedFd>) -> io::Result<TcpListener> {
    let descriptor = descriptor.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(TcpListener::from_std(net::TcpListener::from(descriptor)))
}
