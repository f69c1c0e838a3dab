//! The old process: it sends everything, and waits for the new process to commit.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::{Answer, Channel, Contents};
use crate::server::core::table::Token;
use crate::server::core::{Core, image};
use crate::server::driver::linux::Linux;
use crate::server::driver::socket::TcpSocket;

/// Hands the core over. The caller has stopped its loop at this time, in nanoseconds of the monotonic clock, and goes on if
/// this fails.
///
/// # Errors
/// The new process is gone, refuses, or is too slow; or memory does not suffice.
pub(in crate::server::driver) fn give(
    core: &Core<Linux>,
    channel: &mut Channel,
    stopped_ns: u64,
) -> io::Result<()> {
    let linux = core.system();
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![linux.public.as_fd()];
    descriptors.extend(linux.admin.as_ref().map(|listener| listener.as_fd()));
    let (tokens, sockets): (Vec<Token>, Vec<&TcpSocket>) = image::sockets(core).unzip();
    descriptors.extend(sockets.into_iter().map(|socket| socket.as_fd()));
    let contents = Contents {
        has_admin: linux.admin.is_some(),
        sockets: tokens.len(),
        node: image::node_id(core),
        stopped_ns,
    };
    channel.send_line(&Answer::Accepted(contents))?;
    channel.send(
        tokens.iter().flat_map(|token| (token.0 as u64).to_le_bytes()).collect::<Vec<u8>>().as_slice(),
    )?;
    channel.send_descriptors(&descriptors)?;
    // Made while the new process receives and registers the sockets.
    let image = image::make(core).map_err(|error| io::Error::other(error.to_string()))?;
    channel.send(&(image.len() as u64).to_le_bytes())?;
    channel.send(&image)?;
    channel.await_commit()?;
    // The service manager must know the new process before this one exits.
    channel.await_release();
    Ok(())
}

/// Refuses a handover. The new process may be gone; the reason is logged by the caller.
pub(in crate::server::driver) fn refuse(channel: &mut Channel, reason: &str) {
    let _ = channel.send_line(&Answer::Refused { reason: reason.to_owned() });
}
